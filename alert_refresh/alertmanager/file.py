"""The configuration file that Alertmanager reads: replaced as a whole, its mode and owner kept, and the one before it.

Nothing else than this file, `.previous` beside it (a second name of the file that was replaced, so of the same mode and
owner) and temporary files beside it ever holds credentials.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from alert_refresh.engine import AttemptError, Permanent, Transient
from alert_refresh.files import write as atomic_file
from alert_refresh.files.read import STORAGE, Missing, read_file, shown

LARGEST = 256 * 1024 * 1024
PREVIOUS = ".previous"
FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ENFILE, errno.EMFILE, errno.ENOMEM))
"""A disk may get room again; a folder that may not be written to stays so until somebody mends it."""
NO_SECOND_NAMES = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES))
"""How a file system, or the kernel's protection of hard links, says that a file gets no second name."""


class ConfigFile:
    """The file at `path`; where that is a symlink, the file that it leads to at the time."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    @property
    def real(self) -> Path:
        """Where the file is now."""
        return Path(os.path.realpath(self._path))

    @property
    def places(self) -> tuple[Path, ...]:
        """The paths at which a change of it is seen: its own, and where it is now."""
        return tuple(dict.fromkeys((self._path, self.real)))

    def read(self) -> bytes | None:
        """Its content; None if there is no file.

        Raises:
            Transient, Permanent: it cannot be read (`storage`).
        """
        return self._read(self.real)

    def previous(self) -> bytes | None:
        """The content before the last one, if it can be read."""
        with suppress(AttemptError):
            return self._read(self._kept(self.real))
        return None

    def write(self, text: bytes, *, keep: bool = True) -> None:
        """Replace the content, or make the file with mode 0600; the content before is kept as `.previous`, if `keep`.

        Raises:
            Transient, Permanent: nothing is replaced (`storage`): the disk is full, the file may not be written, or
                it would get another owner.
        """
        path = self.real
        temporary = atomic_file.temporary_for(path)
        try:
            before = _state(path)
            if before is None:
                atomic_file.write_new(temporary, text)
            else:
                mode, owner = stat.S_IMODE(before.st_mode), (before.st_uid, before.st_gid)
                atomic_file.write_new(temporary, text, mode=mode, owner=owner)
                if keep:
                    self._keep(path, before)
            temporary.replace(path)
            atomic_file.sync_folder(path.parent)
        except OSError as error:
            raise unwritable(error) from error
        finally:
            with suppress(OSError):
                temporary.unlink()

    def restore(self, text: bytes) -> None:
        """Put this content in place of the last one; where it is the one before, without room on the disk.

        Raises:
            Transient, Permanent: see `write`.
        """
        path = self.real
        if self.previous() == text:
            with suppress(OSError):
                self._second_name(self._kept(path), path)
                atomic_file.sync_folder(path.parent)
                return
        self.write(text, keep=False)

    def remove(self) -> None:
        """Remove the file, which was not there before.

        Raises:
            Transient, Permanent: it cannot be removed (`storage`).
        """
        try:
            self.real.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(error) from error

    def remove_leftovers(self) -> None:
        """Remove temporary files that a process left which was killed."""
        path = self.real
        atomic_file.remove_leftovers(path.parent, (path.name, path.name + PREVIOUS))

    def _keep(self, path: Path, state: os.stat_result) -> None:
        """Give the file that is about to be replaced a second name; copy it where a folder has no second names."""
        kept = self._kept(path)
        try:
            self._second_name(path, kept)
        except OSError as error:
            if error.errno not in NO_SECOND_NAMES:
                raise
            mode, owner = stat.S_IMODE(state.st_mode), (state.st_uid, state.st_gid)
            atomic_file.write(kept, path.read_bytes(), mode=mode, owner=owner)

    def _second_name(self, path: Path, other: Path) -> None:
        """Let `other` be a name of the file at `path`, too."""
        temporary = atomic_file.temporary_for(other)
        try:
            os.link(path, temporary)
            temporary.replace(other)
        finally:
            # It is still there if both were names of the same file before.
            with suppress(OSError):
                temporary.unlink()

    @staticmethod
    def _kept(path: Path) -> Path:
        return path.with_name(path.name + PREVIOUS)

    @staticmethod
    def _read(path: Path) -> bytes | None:
        try:
            return read_file(path.parent, path, LARGEST)
        except Missing:
            return None


def _state(path: Path) -> os.stat_result | None:
    """The state of a regular file; None if there is none.

    Raises:
        OSError, Permanent: something else is there.
    """
    try:
        state = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(state.st_mode):
        raise Permanent(f"the configuration file '{shown(path.name)}' is not a regular file", STORAGE)
    return state


def unwritable(error: OSError) -> Transient | Permanent:
    """The attempt's error for a file that could not be written, without a path."""
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    kind = Transient if error.errno in FULL else Permanent
    return kind(f"the configuration file cannot be written: {reason}; the one that is there stays", STORAGE)
