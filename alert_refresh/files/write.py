"""Atomic writes: a reader sees the complete old or the complete new content."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MARK = "alert-refresh-"
"""What makes the name of a temporary file one that nobody else gives to a file."""

Owner = tuple[int, int]
"""User and group, as numbers."""


def write(path: Path, data: bytes, *, mode: int = 0o600, owner: Owner | None = None) -> None:
    """Replace the content of `path`: a temporary file beside it, fsync, rename, fsync of the folder.

    Raises:
        OSError: the file is unchanged, and no temporary file is left, for example when the disk is full or when the
            file may not be given to its `owner`.
    """
    temporary = temporary_for(path)
    try:
        write_new(temporary, data, mode=mode, owner=owner)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def temporary_for(path: Path) -> Path:
    """A new name beside `path`, for what is to replace it; `remove_leftovers` knows it again."""
    return path.with_name(f".{path.name}.{MARK}{secrets.token_hex(8)}")


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove the temporary files of writes to files of these names that did not end, as when a process was killed."""
    ours = re.compile(rf"\.(?:{'|'.join(map(re.escape, names))})\.{MARK}[0-9a-f]{{16}}")
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if ours.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    (folder / entry.name).unlink()


def write_new(path: Path, data: bytes, *, mode: int = 0o600, owner: Owner | None = None) -> None:
    """Create a file with this content, on disk when this returns.

    Raises:
        OSError: also if the file exists; it may be incomplete.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode & 0o600)
    try:
        made = os.fstat(file)
        if owner is not None and owner != (made.st_uid, made.st_gid):
            os.fchown(file, *owner)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fchmod(file, mode)
        os.fsync(file)
    finally:
        os.close(file)


def sync_folder(path: Path) -> None:
    """Have the entries of a folder on disk.

    Raises:
        OSError: the folder cannot be opened, or the disk fails.
    """
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
