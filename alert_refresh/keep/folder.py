"""The state folder: what may be trusted of what is in it, and how it is written."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from typing import TYPE_CHECKING

from alert_refresh.engine import AttemptError, RefreshError
from alert_refresh.files import write as atomic_file
from alert_refresh.files.read import READ_ONLY, read_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OTHERS = stat.S_IRWXO
GROUP = stat.S_IRWXG
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
ASIDE = ".rejected"
"""What is added to the name of a file that was moved aside."""

log = logging.getLogger(__name__)


class Refused(RefreshError):
    """Raised when a file or the folder may not be used; `str()` is the reason, without content."""


class FolderRefused(Refused):
    """Raised when the whole folder may not be used."""


class StateFolder:
    """Reads and writes files of this program's own in one folder; it has no subfolders."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> None:
        """Refuse a folder in which others could replace files.

        Raises:
            FolderRefused: others may write to it, or it is not a folder.
            OSError: it does not exist, or cannot be looked at.
        """
        state = self._path.stat()
        if not stat.S_ISDIR(state.st_mode):
            raise FolderRefused("the state folder is not a folder")
        if state.st_mode & stat.S_IWOTH and not state.st_mode & stat.S_ISVTX:
            raise FolderRefused("everybody may write to the state folder; take that right away (chmod o-w)")

    def remove_leftovers(self, *names: str) -> None:
        """Remove the temporary files of writes to these files that did not end."""
        atomic_file.remove_leftovers(self._path, names)

    def read(self, name: str, limit: int) -> bytes | None:
        """The content of a file that only we can have written; None if there is none.

        Raises:
            Refused: it belongs to somebody else, is readable by others, or is no regular file with one name.
        """
        try:
            descriptor = _checked(self._path / name, READ_ONLY)
            return None if descriptor is None else read_descriptor(descriptor, "the file", limit)
        except AttemptError as error:
            raise Refused(str(error)) from error
        except OSError as error:
            raise Refused(f"it cannot be read: {reason(error)}") from error

    def has(self, name: str) -> bool:
        """Whether there is such a file; True where that cannot be told."""
        try:
            (self._path / name).lstat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def write(self, name: str, data: bytes) -> None:
        """Replace a file as a whole; on an error before the rename the old one stays.

        Raises:
            Refused, OSError: it could not be written.
        """
        self.check()
        atomic_file.write(self._path / name, data)

    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a file, and to the disk.

        Raises:
            Refused, OSError: not all of it was written.
        """
        self.check()
        descriptor = _checked(self._path / name, APPEND)
        assert descriptor is not None
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def set_aside(self, name: str) -> None:
        """Rename a file that was refused, so that it can be looked at; an earlier one is replaced."""
        with contextlib.suppress(OSError):
            (self._path / name).replace(self._path / (name + ASIDE))


def reason(error: OSError) -> str:
    """Why a call of the operating system failed, without the path."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _checked(path: Path, flags: int) -> int | None:
    """A descriptor of a file that is ours alone; None if there is no such file."""
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ENOENT and not flags & os.O_CREAT:
            return None
        if error.errno == errno.ELOOP:
            raise Refused("it is a symbolic link") from error
        raise
    with contextlib.ExitStack() as refused:
        refused.callback(os.close, descriptor)
        _demand_ours(descriptor, path.name)
        refused.pop_all()
    return descriptor


def _demand_ours(descriptor: int, name: str) -> None:
    """Refuse what others may have written or read; take away the rights of a group, which volumes set by themselves.

    A file of ours that others could read is closed to them, though it is refused: it may hold credentials.
    """
    state = os.fstat(descriptor)
    ours = stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid()
    if ours and state.st_mode & OTHERS:
        os.fchmod(descriptor, 0o600)
    for applies, said in PROBLEMS:
        if applies(state):
            raise Refused(said)
    if state.st_mode & OTHERS:
        raise Refused("others could read or write it")
    if state.st_mode & GROUP:
        os.fchmod(descriptor, 0o600)
        log.warning("A kept file was open to its group and is not any more: %s", name)


PROBLEMS: tuple[tuple[Callable[[os.stat_result], bool], str], ...] = (
    (lambda state: not stat.S_ISREG(state.st_mode), "it is not a regular file"),
    (lambda state: state.st_uid != os.geteuid(), "it belongs to another user"),
    (lambda state: state.st_nlink != 1, "it has more than one name (a hard link)"),
)
