"""Whether a file that is written in place is whole: it has rested, or its writer has closed it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from inotify_simple import flags

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

SETTLED = 0.5
"""Seconds without a change after which a file whose end nothing tells counts as written."""

GONE = flags.DELETE | flags.MOVED_FROM
WHOLE = flags.CLOSE_WRITE | flags.MOVED_TO
TOUCHED = flags.CREATE | flags.ATTRIB


def signature(state: os.stat_result) -> tuple[int, ...]:
    """Equal for a file that has not changed; its first two numbers name the file."""
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def written_in_place(state: os.stat_result, now: float, before: Sequence[int] | None) -> bool:
    """Whether a file was written to in the last moment, and has not been renamed since its signature was `before`.

    A rename, which one does with a whole file, moves the time of change on and leaves that of modification. So does
    a change of mode or owner, but that leaves the file the same one.
    """
    same = before is not None and tuple(before[:2]) == (state.st_dev, state.st_ino)
    return _recent(state, now) and (same or state.st_ctime_ns <= state.st_mtime_ns)


class Writers:
    """What inotify tells of the files in a folder: those that were closed after the last write, and those not yet.

    One thread tells it events, any thread may ask `closed`. Time is the machine's, as that of the events is.
    """

    def __init__(self) -> None:
        self._closed: dict[str, tuple[int, ...]] = {}
        self._open: dict[str, float] = {}

    def note(self, mask: int, name: str, path: Path) -> None:
        """An event of the file of that name."""
        if mask & WHOLE or (mask & flags.ATTRIB and name in self._closed):
            self._open.pop(name, None)
            if (state := _state(path)) is not None:
                self._closed[name] = signature(state)
        elif mask & GONE:
            self._open.pop(name, None)
            self._closed.pop(name, None)
        elif mask & flags.MODIFY or (mask & TOUCHED and (state := _state(path)) and _recent(state, time.time())):
            self._closed.pop(name, None)
            self._open[name] = time.monotonic()

    def closed(self, name: str, state: os.stat_result) -> bool:
        """Whether a file in this state was closed by its writer, or renamed into place."""
        return self._closed.get(name) == signature(state)

    def rest_in(self) -> float | None:
        """Seconds until the next file that is not closed has rested; None if there is none."""
        return max(0.0, min(self._open.values()) + SETTLED - time.monotonic()) if self._open else None

    def rested(self) -> bool:
        """Whether one has rested since this was asked last."""
        at = time.monotonic() - SETTLED
        found = [name for name, written in self._open.items() if written <= at]
        for name in found:
            del self._open[name]
        return bool(found)

    def forget(self) -> None:
        """Events were lost."""
        self._closed.clear()
        self._open.clear()


def _recent(state: os.stat_result, now: float) -> bool:
    return abs(now - state.st_mtime) < SETTLED


def _state(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
