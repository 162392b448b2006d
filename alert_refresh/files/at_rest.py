"""Whether a file that is written in place is complete: unchanged for a while, or closed by its writer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from inotify_simple import flags

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

SETTLED = 0.5
"""Seconds without a change after which a file counts as completely written."""

GONE = flags.DELETE | flags.MOVED_FROM
WHOLE = flags.CLOSE_WRITE | flags.MOVED_TO
TOUCHED = flags.CREATE | flags.ATTRIB


def signature(state: os.stat_result) -> tuple[int, ...]:
    """A tuple that is equal while a file has not changed; its first two numbers (device, inode) identify the file."""
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def written_in_place(state: os.stat_result, now: float, before: Sequence[int] | None) -> bool:
    """Whether a file was modified within the last `SETTLED` seconds, and not renamed into place since `before`.

    A rename, which publishes a complete file, updates ctime but not mtime. A change of mode or owner does too, but
    keeps device and inode.
    """
    same = before is not None and tuple(before[:2]) == (state.st_dev, state.st_ino)
    return _recent(state, now) and (same or state.st_ctime_ns <= state.st_mtime_ns)


class Writers:
    """Tracks, from inotify events, which files in a folder were closed after the last write and which were not.

    One thread calls `note`; `closed` is thread-safe. Uses the system's clock, as the events do.
    """

    def __init__(self) -> None:
        self._closed: dict[str, tuple[int, ...]] = {}
        self._open: dict[str, float] = {}

    def note(self, mask: int, name: str, path: Path) -> None:
        """Record an inotify event of the file with that name."""
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
        """Whether a file in this state was closed by its writer or renamed into place."""
        return self._closed.get(name) == signature(state)

    def rest_in(self) -> float | None:
        """Seconds until the next unclosed file has been unchanged for `SETTLED` seconds; None without one."""
        return max(0.0, min(self._open.values()) + SETTLED - time.monotonic()) if self._open else None

    def rested(self) -> bool:
        """Whether a file has become unchanged for `SETTLED` seconds since the last call."""
        at = time.monotonic() - SETTLED
        found = [name for name, written in self._open.items() if written <= at]
        for name in found:
            del self._open[name]
        return bool(found)

    def forget(self) -> None:
        """Discard everything, after events were lost."""
        self._closed.clear()
        self._open.clear()


def _recent(state: os.stat_result, now: float) -> bool:
    return abs(now - state.st_mtime) < SETTLED


def _state(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
