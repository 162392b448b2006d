"""Reading regular files below one folder: no symlink out of it is followed, and no FIFO or device is opened."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from alert_refresh.engine import Permanent, Transient
from alert_refresh.files.at_rest import signature

if TYPE_CHECKING:
    from pathlib import Path

STORAGE = "storage"
TOO_LARGE = "too_large"

READ_ONLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))
PASSING = frozenset((errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT))


class Missing(Transient):
    """Raised when a file or folder does not exist; it may be created later."""


class Changed(Transient):
    """Raised when a file changed while it was read."""


class Exhausted(Transient):
    """Raised when the process is out of file descriptors or memory; the file itself may be fine."""


def shown(name: str) -> str:
    """A file's name as printable text: bytes that are not UTF-8, control characters and backslashes are escaped."""
    return "".join(one if one.isprintable() and one != "\\" else _escaped(one) for one in name)


def _escaped(character: str) -> str:
    if character.isascii():
        return character.encode("unicode_escape").decode()
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def storage_error(error: OSError, what: str) -> Transient | Permanent:
    """The attempt's error for an `OSError`; the message contains `what` and the reason, not the path."""
    if isinstance(error, FileNotFoundError):
        return Missing(f"{what} is missing", STORAGE)
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    kind = Exhausted if error.errno in EXHAUSTED else Transient if error.errno in PASSING else Permanent
    return kind(f"{what} cannot be read: {reason}", STORAGE)


def read_file(root: Path, path: Path, limit: int) -> bytes:
    """The content of a regular file below `root`; symlinks are followed within `root`.

    Raises:
        Missing: the file does not exist.
        Permanent: it is not a regular file, leads out of `root`, or is not readable (`storage`), or it is larger than
            `limit` bytes (`too_large`).
        Changed, Exhausted, Transient: a retry may work (`storage`).
    """
    what = f"file '{shown(path.name)}'"
    try:
        return read_descriptor(os.open(_resolved(root, path, what), READ_ONLY), what, limit)
    except OSError as error:
        raise storage_error(error, what) from error


def read_descriptor(descriptor: int, what: str, limit: int) -> bytes:
    """The content of an opened regular file; closes `descriptor`. Raises what `read_file` raises, or OSError."""
    try:
        file = open(descriptor, "rb")  # noqa: SIM115 - closed below
    except OSError:
        # `open` does not close a descriptor that it refuses, such as a folder's.
        os.close(descriptor)
        raise
    with file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Permanent(f"{what} is not a regular file", STORAGE)
        if before.st_size > limit:
            raise Permanent(f"{what} is larger than {limit} bytes", TOO_LARGE)
        content = file.read(before.st_size + 1)
        if len(content) != before.st_size or signature(os.fstat(descriptor)) != signature(before):
            raise Changed(f"{what} changed while it was read", STORAGE)
        return content


def _resolved(root: Path, path: Path, what: str) -> str | Path:
    """The resolved path, if it is a regular file below `root`; checked first, as opening a FIFO or device may block."""
    state = os.lstat(path)
    real: str | Path = path
    if stat.S_ISLNK(state.st_mode) or path.parent != root:
        real, base = os.path.realpath(path, strict=True), os.path.realpath(root, strict=True)
        if os.path.commonpath((real, base)) != base:
            raise Permanent(f"{what} leads out of its folder", STORAGE)
        state = os.lstat(real)
    if not stat.S_ISREG(state.st_mode):
        raise Permanent(f"{what} is not a regular file", STORAGE)
    return real
