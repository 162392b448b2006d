"""The outcomes of all kinds' attempts, appended to one file of JSON lines, so that a restart does not forget them.

Each line is an `Outcome` with a check value as its last field. A line that was not written whole does not match its
check value and is left out. When there are more than `MOST` lines the file is written anew with the last `KEPT`, and
with the last outcome and the last success of each kind.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from alert_refresh.engine import Outcome, Result
from alert_refresh.keep.folder import FolderRefused, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alert_refresh.keep.folder import StateFolder

NAME = "outcomes.jsonl"
MOST = 2000
KEPT = 1000
MOST_LINES = 10 * MOST
"""Lines of a file that is read; this program writes none with so many."""
LARGEST = 64 * 1024 * 1024
LONGEST_ERROR = 2000
"""Characters of an error that are kept."""
CHECK = 8
_TAIL = len(',"check":""}') + 2 * CHECK

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Outcome).decode


class OutcomesFile:
    """Used by one thread at a time."""

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self._lines = 0
        self._damaged = False

    def read(self) -> list[Outcome]:
        """The outcomes that are kept, oldest first. A file that may not be trusted is moved aside, with a WARNING."""
        try:
            data = self._folder.read(NAME, LARGEST) or b""
        except Refused as error:
            self._reject(error)
            return []
        if data.count(b"\n") > MOST_LINES:
            self._reject(Refused("it has more lines than this program writes"))
            return []
        lines = data.splitlines()
        found = [outcome for line in lines if (outcome := parse(line)) is not None]
        torn = bool(data) and not data.endswith(b"\n")
        if len(found) + torn < len(lines):
            log.warning("%d kept outcomes are damaged and are left out", len(lines) - torn - len(found))
        self._lines, self._damaged = len(lines), torn or len(found) < len(lines)
        return found

    def append(self, outcomes: Sequence[Outcome]) -> None:
        """Add outcomes, oldest first.

        Raises:
            OSError, Refused: not all of them were written.
        """
        if self._damaged or self._lines + len(outcomes) > MOST:
            self._rewrite(outcomes)
            return
        data = b"".join(map(line_of, outcomes))
        self._damaged = True  # until all of it is written
        try:
            self._folder.append(NAME, data)
        except FolderRefused:
            raise
        except Refused as error:
            self._reject(error)
            self._folder.append(NAME, data)
        self._damaged = False
        self._lines += len(outcomes)

    def _rewrite(self, outcomes: Sequence[Outcome]) -> None:
        kept = worth_keeping([*self.read(), *outcomes])
        # Lines of which it was not known whether they were written are not written twice.
        lines = dict.fromkeys(map(line_of, kept))
        self._folder.write(NAME, b"".join(lines))
        self._lines, self._damaged = len(lines), False

    def _reject(self, error: Refused) -> None:
        log.warning("outcomes_rejected", extra={"error": str(error)})
        self._folder.set_aside(NAME)
        self._lines, self._damaged = 0, False


def line_of(outcome: Outcome) -> bytes:
    """The line of an outcome, with its line end. Held names, which may be many, and monotonic times are not kept."""
    error = outcome.error if outcome.error is None else outcome.error[:LONGEST_ERROR]
    body = _encode(replace(outcome, error=error, hold=None, seen_at=None))
    return body[:-1] + b',"check":"' + _check(body) + b'"}\n'


def parse(line: bytes) -> Outcome | None:
    """The outcome of a line, without its line end; None if it is damaged."""
    body = line[:-_TAIL] + b"}"
    if line[-_TAIL:] != b',"check":"' + _check(body) + b'"}':
        return None
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def last_of(outcomes: Iterable[Outcome], kind: str) -> tuple[Outcome | None, float | None]:
    """The last outcome of a kind that was not cancelled, and when its last success ended (Unix seconds)."""
    last, succeeded_at = None, None
    for outcome in outcomes:
        if outcome.kind == kind and outcome.result is not Result.CANCELLED:
            last = outcome
            if outcome.result is Result.SUCCESS:
                succeeded_at = outcome.started_at + outcome.duration
    return last, succeeded_at


def worth_keeping(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The last `KEPT` outcomes, and before them those of each kind that `last_of` tells of."""
    marks: dict[tuple[str, bool], Outcome] = {}
    for outcome in outcomes:
        if outcome.result is not Result.CANCELLED:
            marks[outcome.kind, False] = outcome
        if outcome.result is Result.SUCCESS:
            marks[outcome.kind, True] = outcome
    needed = {id(one) for one in marks.values()}
    return [one for one in outcomes[:-KEPT] if id(one) in needed] + list(outcomes[-KEPT:])


def _check(body: bytes) -> bytes:
    return blake2b(body, digest_size=CHECK).hexdigest().encode()
