"""Files below a folder: read without being led out of it or held up, and watched for changes."""

from __future__ import annotations

import errno
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


class Missing(Transient):
    """Raised when there is no such file or folder; it may be on its way."""


class Changed(Transient):
    """Raised when a file changed while it was read."""


class Exhausted(Transient):
    """Raised when this process, not the file, is the reason: no file descriptors or memory left."""


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
    what = f"file {path.name!a}"
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


def signature(state: os.stat_result) -> tuple[int, ...]:
    """Equal for a file that has not changed."""
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


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

    Of hidden entries only the `..data` of a mounted volume counts. With `names` only these entries count;
    with `subfolders` also what is directly inside the folder's folders.

    Raises:
        OSError: inotify is not to be had.
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
        self._armed: int | None = None
        # Now and not in `run`: a change between the first refresh and then would be missed.
        self._arm()

    def run(self) -> None:
        """Report changes until stopped; a burst of events is one change."""
        while not self._stopped():
            if not self._take():
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
        """Wait for an event; whether it is the one that stops. That one is never read, so it stays."""
        return any(descriptor == self._stop for descriptor, _ in self._poll.poll())

    def _take(self) -> bool:
        """Read the events that have come; whether one of them is a change."""
        events = [event for event in self._inotify.read(timeout=0) if event.wd in self._watched or event.wd < 0]
        changed = any(self._counts(event) for event in events)
        if any(self._alters(event) for event in events):
            before = self._armed
            self._arm()
            changed |= self._armed != before
        return changed

    def _counts(self, event: Event) -> bool:
        """Whether this is a change of what is watched."""
        if event.mask & flags.Q_OVERFLOW:
            return True
        where = self._watched[event.wd]
        if not event.name or (event.wd != self._armed and where.parent != self._folder):
            return False
        if event.wd == self._armed and self._names is not None:
            return event.name in self._names
        return bool(event.name == DATA or not event.name.startswith("."))

    def _alters(self, event: Event) -> bool:
        """Whether something else must be watched from now on."""
        if event.mask & (SELF | flags.Q_OVERFLOW):
            return True
        if event.wd == self._armed:
            return bool(self._subfolders and event.mask & flags.ISDIR)
        return self._watched[event.wd].parent != self._folder

    def _arm(self) -> None:
        """Watch the folder, the folders in it, and the nearest one above, which tells when it is replaced."""
        wanted: dict[int, Path] = {}
        self._armed = None
        # From above, so that what comes into being meanwhile is seen by one or the other.
        above = self._above()
        with suppress(OSError):
            wanted[self._inotify.add_watch(above, ENTRIES)] = above
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            self._armed = self._inotify.add_watch(self._folder, CONTENT)
            wanted[self._armed] = self._folder
            if self._subfolders:
                with os.scandir(self._folder) as entries:
                    for entry in entries:
                        if not entry.name.startswith(".") and _is_folder(entry):
                            wanted[self._inotify.add_watch(entry.path, CONTENT)] = self._folder / entry.name
        for old in self._watched.keys() - wanted.keys():
            with suppress(OSError):
                self._inotify.rm_watch(old)
        self._watched = wanted
        if self._armed is None and above != self._above():
            self._arm()

    def _above(self) -> Path:
        """The nearest folder above that is there; of the root, itself."""
        return next((parent for parent in self._folder.parents if parent.is_dir()), self._folder)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is or leads to a folder; a link that leads in a circle does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _release(inotify: INotify, descriptor: int) -> None:
    inotify.close()
    os.close(descriptor)
