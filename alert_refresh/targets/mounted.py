"""A Secret that the kubelet mounted: a folder whose `..data` leads to the files of one version of it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from alert_refresh.engine import Permanent
from alert_refresh.folder import DATA, READ_ONLY, STORAGE, Changed, read_descriptor, storage_error

if TYPE_CHECKING:
    from pathlib import Path

MAX_KEYS = 1000


def is_mounted(folder: str | Path) -> bool:
    """Whether the folder is a mounted volume."""
    return os.path.lexists(f"{folder}/{DATA}")


def read_mounted(root: Path, folder: Path, limit: int) -> dict[str, bytes]:
    """The keys and values of one version: never some of the old and some of the new.

    The version's folder is held open, so what is read can be told from any later one, even of the same name.

    Raises:
        Missing, Changed: the version was replaced meanwhile; read it again.
        Permanent, Transient: it cannot be read (`storage`), or a value is larger than `limit` (`too_large`).
    """
    what = f"folder {folder.name!a}"
    try:
        base, version = os.path.realpath(root, strict=True), os.path.realpath(folder / DATA, strict=True)
        if os.path.commonpath((base, version)) != base:
            raise Permanent(f"{what} leads out of its folder", STORAGE)
        descriptor = os.open(version, READ_ONLY | os.O_DIRECTORY)
        try:
            values = _values(descriptor, limit)
            if not os.path.samestat((folder / DATA).stat(), os.fstat(descriptor)):
                raise Changed(f"{what} changed while it was read", STORAGE)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error(error, what) from error
    return values


def _values(folder: int, limit: int) -> dict[str, bytes]:
    values: dict[str, bytes] = {}
    for name in sorted(os.listdir(folder)):
        if name.startswith(".") or not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            continue
        if len(values) == MAX_KEYS:
            raise Permanent(f"a mounted Secret has more than {MAX_KEYS} keys", "too_large")
        values[name] = read_descriptor(os.open(name, READ_ONLY, dir_fd=folder), f"key {name!a}", limit)
    return values
