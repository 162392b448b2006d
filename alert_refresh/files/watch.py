"""Files below a folder: read without being led out of it or held up, and watched for changes."""

from __future__ import annotations

import errno
import math
import os
import select
import stat
import weakref
from contextlib import suppress
from ctypes import CDLL
from typing import TYPE_CHECKING

import inotify_simple
from inotify_simple import INotify, flags

from alert_refresh.engine import Permanent, Transient, Trigger, Watch
from alert_refresh.files.at_rest import Writers, signature

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from inotify_simple import Event

# Else the first INotify runs ldconfig to find it, which takes 10 ms of a worker's start.
inotify_simple._libc = CDLL(None, use_errno=True)

STORAGE = "storage"
TOO_LARGE = "too_large"

DATA = "..data"
"""The symlink that the kubelet swaps to replace all files of a mounted volume at once."""

READ_ONLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))
PASSING = frozenset((errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT))

QUIET = 0.005
"""Seconds without a further event after which a burst of them is over."""
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
"""So many files are also watched themselves: one that is a mount of its own, or has another name elsewhere, can be
written without its folder seeing it."""


class Missing(Transient):
    """Raised when there is no such file or folder; it may be on its way."""


class Changed(Transient):
    """Raised when a file changed while it was read."""


class Exhausted(Transient):
    """Raised when this process, not the file, is the reason: no file descriptors or memory left."""


def shown(name: str) -> str:
    """A file's name as printable text: bytes that are not UTF-8, control characters and backslashes are escaped."""
    return "".join(one if one.isprintable() and one != "\\" else _escaped(one) for one in name)


def _escaped(character: str) -> str:
    if character.isascii():
        return character.encode("unicode_escape").decode()
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def storage_error(error: OSError, what: str) -> Transient | Permanent:
    """An attempt's error for one of the operating system's, told without its path."""
    if isinstance(error, FileNotFoundError):
        return Missing(f"{what} is missing", STORAGE)
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    kind = Exhausted if error.errno in EXHAUSTED else Transient if error.errno in PASSING else Permanent
    return kind(f"{what} cannot be read: {reason}", STORAGE)


def read_file(root: Path, path: Path, limit: int) -> bytes:
    """The content of a regular file below `root`; a symlink counts as where it leads.

    Raises:
        Missing: there is no such file.
        Permanent: it is no regular file, leads out of `root`, or may not be read (`storage`), or is larger than
            `limit` bytes (`too_large`).
        Changed, Exhausted, Transient: it may work another time (`storage`).
    """
    what = f"file '{shown(path.name)}'"
    try:
        return read_descriptor(os.open(_resolved(root, path, what), READ_ONLY), what, limit)
    except OSError as error:
        raise storage_error(error, what) from error


def read_descriptor(descriptor: int, what: str, limit: int) -> bytes:
    """The content of a regular file that was opened, which is then closed; raises as `read_file` does, or OSError."""
    with open(descriptor, "rb") as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Permanent(f"{what} is no regular file", STORAGE)
        if before.st_size > limit:
            raise Permanent(f"{what} is larger than {limit} bytes", TOO_LARGE)
        content = file.read(before.st_size + 1)
        if len(content) != before.st_size or signature(os.fstat(descriptor)) != signature(before):
            raise Changed(f"{what} changed while it was read", STORAGE)
        return content


def _resolved(root: Path, path: Path, what: str) -> str | Path:
    """Where `path` leads, if that is a regular file below `root`; an open of a device or FIFO must not even begin."""
    state = os.lstat(path)
    real: str | Path = path
    if stat.S_ISLNK(state.st_mode) or path.parent != root:
        real, base = os.path.realpath(path, strict=True), os.path.realpath(root, strict=True)
        if os.path.commonpath((real, base)) != base:
            raise Permanent(f"{what} leads out of its folder", STORAGE)
        state = os.lstat(real)
    if not stat.S_ISREG(state.st_mode):
        raise Permanent(f"{what} is no regular file", STORAGE)
    return real


class FolderWatch(Watch):
    """Calls `notify(Trigger.FILE)` when something in a folder changes, also when the folder itself is replaced.

    Of hidden entries only the `..data` of a mounted volume counts. With `names` only these entries count; with
    `subfolders` also what is inside the folder's folders, but for hidden ones. A file that is written in place counts
    when its writer closes it, or when it has rested; `writers` knows which were closed.

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
            if not self._take() and not self.writers.rested():
                continue
            for _ in range(round(BURST / QUIET)):
                if select.select([self._stop], [], [], QUIET)[0]:
                    return
                if not self._take():
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

    def _take(self) -> bool:
        """Read the events that have come; whether one of them is a change."""
        known = self._watched.keys() | self._files.keys()
        events = [event for event in self._inotify.read(timeout=0) if event.wd in known or event.wd < 0]
        changed = any(self._counts(event) for event in events)
        altered = any(self._alters(event) for event in events)
        for event in events:
            self._follow(event)
        if altered:
            before = self._armed
            self._arm()
            changed |= self._armed != before
        return changed

    def _counts(self, event: Event) -> bool:
        """Whether this is a change of what is watched."""
        if event.mask & flags.Q_OVERFLOW:
            return True
        if event.mask & flags.MODIFY:
            return False
        if event.wd in self._files:
            return bool(event.mask & flags.CLOSE_WRITE)
        if not event.name or not self._is_inside(event.wd):
            return False
        return self._means(event.name) if event.wd == self._armed else not _is_hidden(event.name)

    def _is_inside(self, descriptor: int) -> bool:
        """Whether a watch is of the folder or of one of its folders, and not of the one above."""
        return descriptor == self._armed or self._folder in self._watched[descriptor].parents

    def _means(self, name: str) -> bool:
        """Whether an entry of the folder is one that counts."""
        return name in self._names if self._names is not None else not _is_hidden(name)

    def _follow(self, event: Event) -> None:
        """Note who writes, and watch the file itself that has another one's place."""
        if event.mask & flags.Q_OVERFLOW:
            self.writers.forget()
            return
        name = self._files.get(event.wd) or self._name(event)
        if not name or event.name == DATA or event.mask & flags.ISDIR or not self._means(event.name or name):
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

    def _alters(self, event: Event) -> bool:
        """Whether something else must be watched from now on."""
        if event.wd in self._files:
            return False
        if event.mask & (SELF | flags.Q_OVERFLOW):
            return True
        return bool(self._subfolders and event.mask & flags.ISDIR) if self._is_inside(event.wd) else True

    def _arm(self) -> None:
        """Watch the folder, the folders in it, and the nearest one above, which tells when it is replaced."""
        wanted: dict[int, Path] = {}
        files: list[str] = []
        self._armed = None
        # From above, so that what comes into being meanwhile is seen by one or the other.
        above = self._above()
        with suppress(OSError):
            wanted[self._inotify.add_watch(above, ENTRIES)] = above
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            self._armed = self._inotify.add_watch(self._folder, CONTENT | flags.MODIFY)
            wanted[self._armed] = self._folder
            folders, files = self._inside(self._folder)
            self._arm_folders(folders, wanted)
        for name in {*self._watches, *files}:
            self._watch_file(name)
        for old in self._watched.keys() - wanted.keys():
            with suppress(OSError):
                self._inotify.rm_watch(old)
        self._watched = wanted
        if self._armed is None and above != self._above():
            self._arm()

    def _arm_folders(self, folders: list[Path], wanted: dict[int, Path]) -> None:
        """Watch these subfolders and those in them; a mounted volume's hold nothing that counts."""
        depth = 1
        while folders and depth <= DEEPEST:
            deeper: list[Path] = []
            for path in folders:
                # One that may not be read must not keep the others from being watched.
                with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                    if len(wanted) >= FOLDERS_WATCHED:
                        return
                    watch = self._inotify.add_watch(path, CONTENT | flags.MODIFY)
                    if watch not in wanted:
                        wanted[watch] = path
                        deeper += [] if os.path.lexists(path / DATA) else self._inside(path)[0]
            folders, depth = deeper, depth + 1

    def _inside(self, folder: Path) -> tuple[list[Path], list[str]]:
        """The folders in a folder, and the names of its files that are watched themselves."""
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

    def _above(self) -> Path:
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
