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
"""Seconds without an event after which a burst is over."""
BURST = 0.1
"""Seconds after which a burst is reported even if it goes on."""

ENTRIES = flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO | flags.ONLYDIR
SELF = flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT | flags.IGNORED
CONTENT = ENTRIES | flags.CLOSE_WRITE | flags.ATTRIB | flags.DELETE_SELF | flags.MOVE_SELF
WRITES = flags.CLOSE_WRITE | flags.MODIFY | flags.DELETE_SELF
REPLACED = ENTRIES | flags.DELETE_SELF | flags.IGNORED

DEEPEST = 16
"""Folders within each other that are read and watched."""
FOLDERS_WATCHED = 1000
"""So many subfolders are watched; changes in more of them are found by the periodic refresh."""
FILES_WATCHED = 500
"""Files that are also watched individually: a write to a bind mount, or through another hard link, causes no event in
the folder."""


class FolderWatch(Watch):
    """Calls `notify(Trigger.FILE)` when something in a folder changes, also when the folder itself is replaced.

    Hidden entries are ignored, except the `..data` of a mounted volume. With `names` only these entries are watched;
    with `subfolders` also everything below the folder, except hidden folders. A file that is written in place is
    reported when its writer closes it, or when it has not changed for a while; `writers` tracks which were closed.

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
        # `stop` may be called before or after `run`, so both descriptors stay open for the lifetime of this object.
        weakref.finalize(self, _release, self._inotify, self._stop)
        self._poll = select.poll()
        self._poll.register(self._stop, select.POLLIN)
        self._poll.register(self._inotify.fileno(), select.POLLIN)
        self._watched: dict[int, Path] = {}
        self._files: dict[int, str] = {}
        self._watches: dict[str, int] = {}
        self.writers = Writers()
        self._armed: int | None = None
        # Here rather than in `run`: a change between the first refresh and `run` would be missed.
        self._arm()

    def run(self) -> None:
        """Report changes until stopped; a burst of events is reported once."""
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
        """End `run` immediately, also one that has not begun."""
        os.eventfd_write(self._stop, 1)

    def _stopped(self) -> bool:
        """Wait for an event or an unchanged file; returns whether `stop` was called (its eventfd is never read)."""
        seconds = self.writers.rest_in()
        events = self._poll.poll(None if seconds is None else math.ceil(seconds * 1000))
        return any(descriptor == self._stop for descriptor, _ in events)

    def _read_events(self) -> bool:
        """Read the queued events; returns whether one of them is a change."""
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
        """Whether an event is a change that is reported."""
        if event.mask & flags.Q_OVERFLOW:
            return True
        if event.mask & flags.MODIFY:
            return False
        if event.wd in self._files:
            return bool(event.mask & flags.CLOSE_WRITE)
        if not event.name or not self._is_inside(event.wd):
            return False
        return self._matches(event.name) if event.wd == self._armed else not _is_hidden(event.name)

    def _is_inside(self, descriptor: int) -> bool:
        """Whether a watch is of the folder or of one below it, and not of its parent."""
        return descriptor == self._armed or self._folder in self._watched[descriptor].parents

    def _matches(self, name: str) -> bool:
        """Whether an entry of the folder is watched."""
        return name in self._names if self._names is not None else not _is_hidden(name)

    def _track(self, event: Event) -> None:
        """Record the event for `writers`, and watch the new file after one was replaced."""
        if event.mask & flags.Q_OVERFLOW:
            self.writers.forget()
            return
        name = self._files.get(event.wd) or self._name(event)
        if not name or event.name == DATA or event.mask & flags.ISDIR or not self._matches(event.name or name):
            return
        self.writers.note(event.mask, name, self._folder / name)
        if event.mask & REPLACED and "/" not in name:
            self._watch_file(name)

    def _name(self, event: Event) -> str:
        """The path below the folder of what an event is about, empty if it is about nothing in it."""
        if not event.name or not self._is_inside(event.wd):
            return ""
        return str((self._watched[event.wd] / event.name).relative_to(self._folder))

    def _watch_file(self, name: str) -> None:
        """Watch the file with this name, instead of a previous one with the same name."""
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
        """Whether the set of watched folders must be rebuilt."""
        if event.wd in self._files:
            return False
        if event.mask & (SELF | flags.Q_OVERFLOW):
            return True
        return bool(self._subfolders and event.mask & flags.ISDIR) if self._is_inside(event.wd) else True

    def _arm(self) -> None:
        """Watch the folder, its subfolders, and its nearest existing parent, which reports a replaced folder."""
        wanted: dict[int, Path] = {}
        files: list[str] = []
        self._armed = None
        # Parent first, so that a folder created meanwhile is seen by one of the two watches.
        above = self._nearest_parent()
        with suppress(OSError):
            wanted[self._inotify.add_watch(above, ENTRIES)] = above
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            self._armed = self._inotify.add_watch(self._folder, CONTENT | flags.MODIFY)
            wanted[self._armed] = self._folder
            folders, files = self._children(self._folder)
            self._arm_folders(folders, wanted)
        for name in {*self._watches, *files}:
            self._watch_file(name)
        for old in self._watched.keys() - wanted.keys():
            with suppress(OSError):
                self._inotify.rm_watch(old)
        self._watched = wanted
        if self._armed is None and above != self._nearest_parent():
            self._arm()

    def _arm_folders(self, folders: list[Path], wanted: dict[int, Path]) -> None:
        """Watch these subfolders and those below them, except what is inside a mounted volume."""
        depth = 1
        while folders and depth <= DEEPEST:
            deeper: list[Path] = []
            for path in folders:
                # An unreadable subfolder must not prevent the others from being watched.
                with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                    if len(wanted) >= FOLDERS_WATCHED:
                        return
                    watch = self._inotify.add_watch(path, CONTENT | flags.MODIFY)
                    if watch not in wanted:
                        wanted[watch] = path
                        deeper += [] if os.path.lexists(path / DATA) else self._children(path)[0]
            folders, depth = deeper, depth + 1

    def _children(self, folder: Path) -> tuple[list[Path], list[str]]:
        """The subfolders of a folder, and the names of its files that are watched individually."""
        if self._names is not None:
            return [], [name for name in self._names if name != DATA]
        folders: list[Path] = []
        files: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if _is_folder(entry):
                    folders.append(folder / entry.name)
                else:
                    files.append(entry.name)
        return folders if self._subfolders else [], files[:FILES_WATCHED]

    def _nearest_parent(self) -> Path:
        """The nearest existing parent; the root is its own."""
        return next((parent for parent in self._folder.parents if parent.is_dir()), self._folder)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name != DATA


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a symlink to one; a symlink loop is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _release(inotify: INotify, descriptor: int) -> None:
    inotify.close()
    os.close(descriptor)
