"""Who asks: bearer tokens, compared in constant time, from settings or from files that may be rotated."""

from __future__ import annotations

import hashlib
import hmac
import logging
from typing import TYPE_CHECKING

from flask import g, request

from alert_refresh.web.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from alert_refresh.config import Config, Token
    from alert_refresh.engine import Clock

ADMIN, READ, ANONYMOUS = "admin", "read", "anonymous"

CHECK_EVERY = 1.0
"""Seconds between two looks at a token file."""
LOG_EVERY = 1.0
"""Seconds between two log lines about wrong tokens; a line says how many were not logged."""
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="alert-refresh"'}

log = logging.getLogger(__name__)


def digest(token: bytes) -> bytes:
    """What is kept and compared instead of a token: of one length whatever was sent."""
    return hashlib.sha256(token).digest()


class TokenFile:
    """The tokens in a file, one a line: with two lines both are valid, so that clients can be moved over.

    The file is read at most once a second. One that is gone or empty lets nobody in.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._read_at = float("-inf")
        self._digests: tuple[bytes, ...] = ()
        self._usable = True

    def digests(self) -> tuple[bytes, ...]:
        """The digests of the tokens in the file now, or a second ago."""
        now = self._clock.monotonic()
        if now >= self._read_at + CHECK_EVERY:
            self._read_at = now
            self._digests = tuple(digest(line.strip()) for line in self._lines() if line.strip())
            if bool(self._digests) != self._usable:
                self._usable = bool(self._digests)
                log.log(
                    logging.INFO if self._usable else logging.WARNING,
                    "The token file %s %s",
                    self._path,
                    "holds a token again" if self._usable else "holds no token: nobody is let in by it",
                )
        return self._digests

    def _lines(self) -> list[bytes]:
        try:
            return self._path.read_bytes().splitlines()
        except OSError:
            return []


class Auth:
    """Tells who sent the current request, and refuses those who may not. `wrong_token` is called for each wrong one."""

    def __init__(self, config: Config, clock: Clock, wrong_token: Callable[[], None]) -> None:
        tokens = {ADMIN: config.admin_token, READ: config.read_token}
        self._tokens = {name: self._reader(token, clock) for name, token in tokens.items() if token is not None}
        self._clock = clock
        self._wrong_token = wrong_token
        self._logged_at = float("-inf")
        self._unlogged = 0

    def who(self) -> str:
        """The name of the token the current request carries: `admin`, `read`, or `anonymous` for none or a wrong one.

        Two Authorization headers reach us joined by a comma, and so are a wrong one.
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
        """Let only the admin token pass; everybody if none is configured.

        Raises:
            ApiError: 401 without a valid token, 403 with the read token.
        """
        if ADMIN not in self._tokens or who == ADMIN:
            return
        raise ApiError(403) if who == READ else ApiError(401, headers=CHALLENGE)

    def demand_read(self, who: str) -> None:
        """Let only the read and the admin token pass, whichever are configured; nobody if neither is.

        Raises:
            ApiError: 403 without a token configured, 401 without a valid token.
        """
        if not self._tokens:
            raise ApiError(403, "Set ALERT_REFRESH_READ_TOKEN to let credentials be revealed")
        if who == ANONYMOUS:
            raise ApiError(401, headers=CHALLENGE)

    def _note_wrong(self) -> None:
        """Count it, and log at most one line a second: a flood of them must not flood the log."""
        self._wrong_token()
        now = self._clock.monotonic()
        if now < self._logged_at + LOG_EVERY:
            self._unlogged += 1
            return
        unlogged, self._unlogged, self._logged_at = self._unlogged, 0, now
        fields = {"ip": request.remote_addr, "request_id": g.request_id, "not_logged": unlogged}
        log.warning("A request carried a wrong token", extra=fields)

    @staticmethod
    def _reader(token: Token, clock: Clock) -> Callable[[], tuple[bytes, ...]]:
        if token.file is not None:
            return TokenFile(token.file, clock).digests
        assert token.value is not None
        digests = (digest(token.value.reveal().encode()),)
        return lambda: digests
