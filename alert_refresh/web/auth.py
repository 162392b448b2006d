"""Authentication by bearer tokens, compared in constant time, from settings or from files that may be rotated."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections import deque
from typing import TYPE_CHECKING

from flask import g, request

from alert_refresh.engine import AttemptError
from alert_refresh.engine.threads import Call, spawn
from alert_refresh.web.errors import ApiError
from alert_refresh.web.token_file import read_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from alert_refresh.config import Config
    from alert_refresh.credential import Credential
    from alert_refresh.engine import Clock
    from alert_refresh.env import Token

ADMIN, READ, ANONYMOUS = "admin", "read", "anonymous"

CHECK_EVERY = 1.0
"""Seconds between two reads of a token file."""
READ_SECONDS = 0.5
"""Seconds that a request waits for a token file to be read."""
LOG_EVERY = 1.0
"""Seconds between two log lines about wrong tokens; a line has the number of those not logged."""
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="alert-refresh"'}

_GOOD = "holds a token again"
_EMPTY = "holds no token: no request is authorized by it"
_UNREADABLE = "is unreadable or not a token file: the tokens read last are still valid"
_HANGS = "is slow to read: the tokens read last are still valid"

log = logging.getLogger(__name__)


def digest(token: bytes) -> bytes:
    """The SHA-256 that is stored and compared instead of a token, so that all have the same length."""
    return hashlib.sha256(token).digest()


class TokenFile:
    """The tokens in a file, one per line: with two lines both are valid, for a rotation without interruption.

    The file is read again on requests, at most every `CHECK_EVERY` seconds, in a thread, for which a request waits at
    most `READ_SECONDS`. A missing or empty file authorizes no request. While the file cannot be read (it hangs, is
    too long, or is not a regular file) the tokens read last stay valid. `held` are the tokens read at the start.
    """

    def __init__(self, path: Path, clock: Clock, held: Iterable[Credential]) -> None:
        self._path = path
        self._clock = clock
        self._digests = tuple(digest(token.reveal().encode()) for token in held)
        self._reading: Call[None] | None = None
        self._wait_until = self._due = float("-inf")
        # The request that pops it reads the file; with a lock the others would wait.
        self._permit = deque([True])
        self._state = _GOOD

    def digests(self) -> tuple[bytes, ...]:
        """The digests of the tokens in the file, at most `CHECK_EVERY` seconds old if the file can be read."""
        now = self._clock.monotonic()
        if now >= self._due:
            self._begin(now)
        reading, left = self._reading, self._wait_until - now
        if reading is not None and left > 0 and not self._clock.wait(reading.ended, left):
            self._log_state(_HANGS)
        return self._digests

    def _begin(self, now: float) -> None:
        """Read the file in a thread, unless one is reading it."""
        try:
            self._permit.pop()
        except IndexError:
            return
        self._reading = reading = Call(self._read)
        self._wait_until = now + READ_SECONDS
        self._due = now + CHECK_EVERY
        try:
            spawn("token-reader", reading.run)
        except (RuntimeError, MemoryError):
            reading.ended.set()
            self._permit.append(True)

    def _read(self) -> None:
        try:
            self._digests = tuple(map(digest, read_tokens(self._path)))
            self._log_state(_GOOD if self._digests else _EMPTY)
        except (FileNotFoundError, NotADirectoryError):
            self._digests = ()
            self._log_state(_EMPTY)
        except (OSError, AttemptError):
            self._log_state(_UNREADABLE)
        finally:
            self._permit.append(True)

    def _log_state(self, state: str) -> None:
        """Log the state of the file when it changes."""
        if state != self._state:
            self._state = state
            log.log(logging.INFO if state is _GOOD else logging.WARNING, "The token file %s %s", self._path, state)


class Auth:
    """Authenticates and authorizes the current request. `wrong_token` is called for each invalid token."""

    def __init__(self, config: Config, clock: Clock, wrong_token: Callable[[], None]) -> None:
        tokens = {ADMIN: config.admin_token, READ: config.read_token}
        self._tokens = {name: self._reader(token, clock) for name, token in tokens.items() if token is not None}
        self._clock = clock
        self._wrong_token = wrong_token
        self._logged_at = float("-inf")
        self._unlogged = 0

    def who(self) -> str:
        """The name of the token in the current request: `admin`, `read`, or `anonymous` for no or an invalid token.

        Two Authorization headers are joined by a comma in the WSGI environment, and so are invalid.
        """
        header = request.environ.get("HTTP_AUTHORIZATION")
        if header is None or not self._tokens:
            return ANONYMOUS
        scheme, _, sent = header.partition(" ")
        given = digest(sent.encode("utf-8", "surrogatepass"))
        found = ANONYMOUS
        for name, digests in self._tokens.items():
            for one in digests():
                if hmac.compare_digest(given, one) and found == ANONYMOUS:
                    found = name
        if found == ANONYMOUS or scheme.lower() != "bearer":
            self._note_wrong()
            return ANONYMOUS
        return found

    def demand_admin(self, who: str) -> None:
        """Require the admin token, if one is configured.

        Raises:
            ApiError: 401 without a valid token, 403 with the read token.
        """
        if ADMIN not in self._tokens or who == ADMIN:
            return
        raise ApiError(403) if who == READ else ApiError(401, headers=CHALLENGE)

    def demand_read(self, who: str) -> None:
        """Require the read or the admin token; refuse every request if neither is configured.

        Raises:
            ApiError: 403 if no token is configured, 401 without a valid token.
        """
        if not self._tokens:
            raise ApiError(403, "Set ALERT_REFRESH_READ_TOKEN to let credentials be revealed")
        if who == ANONYMOUS:
            raise ApiError(401, headers=CHALLENGE)

    def _note_wrong(self) -> None:
        """Count an invalid token, and log at most one line per `LOG_EVERY` seconds."""
        self._wrong_token()
        now = self._clock.monotonic()
        if now < self._logged_at + LOG_EVERY:
            self._unlogged += 1
            return
        unlogged, self._unlogged, self._logged_at = self._unlogged, 0, now
        fields = {"ip": request.remote_addr, "request_id": g.request_id, "not_logged": unlogged}
        log.warning("A request had an invalid token", extra=fields)

    @staticmethod
    def _reader(token: Token, clock: Clock) -> Callable[[], tuple[bytes, ...]]:
        if token.file is not None:
            return TokenFile(token.file, clock, token.held).digests
        assert token.value is not None
        digests = (digest(token.value.reveal().encode()),)
        return lambda: digests
