"""Watching a folder and the files in it with inotify."""

from __future__ import annotations

import math
import os
import select
import weakref
from contextlib import suppress
from ctypes import CDLL
from typing import TYPE_CHECKING

import inotify_simple
from inotify_simple import INotify, flags

from alert_refresh.engine import Trigger, Watch
from alert_refresh.files.at_rest import Writers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from inotify_simple import Event

# Without this the first INotify runs ldconfig to find the C library, which takes 10 ms of a worker's start.
inotify_simple._libc = CDLL(None, use_errno=True)

DATA = "..data"
"""The symlink that the kubelet swaps to replace all files of a mounted volume at once."""

QUIET = 0.005
"""Seconds without a further event after which a burst of them is over."""
BURST = 0.1
"""Seconds after which a burst is reported even if it goes on."""

ENTRIES = flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO | flags.ONLYDIR
SELF = flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT | flags.IGNORED
CONTENT = ENTRIES | flags.CLOSE_WRITE | flags.ATTRIB | flags.DELETE_SELF | flags.MOVE_SELF
WRITES = flags.CLOSE_WRITE | flags.MODIFY | flags.DELETE_SELF
REPLACED = ENTRIES | flags.DELETE_SELF | flags.IGNORED

FILES_WATCHED = 500
"""So many files are also watched themselves: one that is a mount of its own, or has another name elsewhere, can be
written without its folder seeing it."""


class FolderWatch(Watch):
    """Calls `notify(Trigger.FILE)` when something in a folder changes, also when the folder itself is replaced.

    Of hidden entries only the `..data` of a mounted volume counts. With `names` only these entries count;
    with `subfolders` also what is directly inside the folder's folders. A file that is written in place counts when
    its writer closes it, or when it has rested; `writers` knows which were closed.

    Raises:
        OSError: inotify is unavailable.
    """

    def __init__(
        self,
        folder: Path,
        notify: Callable[[Trigger], None],
        *,
        names: Collection[str] | None = None,
        subfolders: bool = False,
    ) -> None:
        self._folder = folder.absolute()
        self._notify = notify
        self._names = names
        self._subfolders = subfolders
        self._inotify = INotify(nonblocking=True)
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # `stop` may come before `run` or after it, so both stay open as long as this object lives.
        weakref.finalize(self, _release, self._inotify, self._stop)
        self._poll = select.poll()
        self._poll.register(self._stop, select.POLLIN)
        self._poll.register(self._inotify.fileno(), select.POLLIN)
        self._watched: dict[int, Path] = {}
        self._files: dict[int, str] = {}
        self._watches: dict[str, int] = {}
        self.writers = Writers()
        self._armed: int | None = None
        # Now and not in `run`: a change between the first refresh and then would be missed.
        self._arm()

    def run(self) -> None:
        """Report changes until stopped; a burst of events is one change."""
        while not self._stopped():
            if not self._read_events() and not self.writers.rested():
                continue
            for _ in range(round(BURST / QUIET)):
                if select.select([self._stop], [], [], QUIET)[0]:
                    return
                if not self._read_events():
                    break
            self._notify(Trigger.FILE)

    def stop(self) -> None:
        """End `run` at once, also one that has not begun."""
        os.eventfd_write(self._stop, 1)

    def _stopped(self) -> bool:
        """Wait for an event, or for a file to rest; whether it is the one that stops, which is never read."""
        seconds = self.writers.rest_in()
        events = self._poll.poll(None if seconds is None else math.ceil(seconds * 1000))
        return any(descriptor == self._stop for descriptor, _ in events)

    def _read_events(self) -> bool:
        """Read the events that have come; whether one of them is a change."""
        known = self._watched.keys() | self._files.keys()
        events = [event for event in self._inotify.read(timeout=0) if event.wd in known or event.wd < 0]
        changed = any(self._is_change(event) for event in events)
        altered = any(self._requires_rearm(event) for event in events)
        for event in events:
            self._track(event)
        if altered:
            before = self._armed
            self._arm()
            changed |= self._armed != before
        return changed

    def _is_change(self, event: Event) -> bool:
        """Whether this is a change of what is watched."""
        if event.mask & flags.Q_OVERFLOW:
            return True
        if event.mask & flags.MODIFY:
            return False
        if event.wd in self._files:
            return bool(event.mask & flags.CLOSE_WRITE)
        where = self._watched[event.wd]
        if not event.name or (event.wd != self._armed and where.parent != self._folder):
            return False
        return self._matches(event.name) if event.wd == self._armed else not _is_hidden(event.name)

    def _matches(self, name: str) -> bool:
        """Whether an entry of the folder is one that counts."""
        return name in self._names if self._names is not None else not _is_hidden(name)

    def _track(self, event: Event) -> None:
        """Note who writes, and watch the file itself that has another one's place."""
        if event.mask & flags.Q_OVERFLOW:
            self.writers.forget()
            return
        name = self._files.get(event.wd) or (event.name if event.wd == self._armed else "")
        if not name or name == DATA or event.mask & flags.ISDIR or not self._matches(name):
            return
        self.writers.note(event.mask, name, self._folder / name)
        if event.mask & REPLACED:
            self._watch_file(name)

    def _watch_file(self, name: str) -> None:
        """Watch the file that has this name now, if there is one, in place of the one that had it before."""
        old, new = self._watches.pop(name, None), None
        with suppress(OSError):
            if (old is not None or len(self._files) < FILES_WATCHED) and (path := self._folder / name).is_file():
                new = self._watches[name] = self._inotify.add_watch(path, WRITES)
                self._files[new] = name
        if old is not None and old != new and self._files.get(old) == name:
            del self._files[old]
            with suppress(OSError):
                self._inotify.rm_watch(old)

    def _requires_rearm(self, event: Event) -> bool:
        """Whether something else must be watched from now on."""
        if event.wd in self._files:
            return False
        if event.mask & (SELF | flags.Q_OVERFLOW):
            return True
        if event.wd == self._armed:
            return bool(self._subfolders and event.mask & flags.ISDIR)
        return self._watched[event.wd].parent != self._folder

    def _arm(self) -> None:
        """Watch the folder, the folders in it, and the nearest one above, which tells when it is replaced."""
        wanted: dict[int, Path] = {}
        files: list[str] = []
        self._armed = None
        # From above, so that what comes into being meanwhile is seen by one or the other.
        above = self._nearest_parent()
        with suppress(OSError):
            wanted[self._inotify.add_watch(above, ENTRIES)] = above
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            self._armed = self._inotify.add_watch(self._folder, CONTENT | flags.MODIFY)
            wanted[self._armed] = self._folder
            folders, files = self._children()
            for name in folders:
                # One that may not be read must not keep the others from being watched.
                with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                    wanted[self._inotify.add_watch(self._folder / name, CONTENT)] = self._folder / name
        for name in {*self._watches, *files}:
            self._watch_file(name)
        for old in self._watched.keys() - wanted.keys():
            with suppress(OSError):
                self._inotify.rm_watch(old)
        self._watched = wanted
        if self._armed is None and above != self._nearest_parent():
            self._arm()

    def _children(self) -> tuple[list[str], list[str]]:
        """The names of the folders and of the files in the folder that are watched themselves."""
        if self._names is not None:
            return [], [name for name in self._names if name != DATA]
        folders: list[str] = []
        files: list[str] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    (folders if _is_folder(entry) else files).append(entry.name)
        return folders if self._subfolders else [], files[:FILES_WATCHED]

    def _nearest_parent(self) -> Path:
        """The nearest folder above that is there; of the root, itself."""
        return next((parent for parent in self._folder.parents if parent.is_dir()), self._folder)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name != DATA


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is or leads to a folder; a link that leads in a circle does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _release(inotify: INotify, descriptor: int) -> None:
    inotify.close()
    os.close(descriptor)
