"""A Secret volume mounted by the kubelet: a folder whose symlink `..data` leads to the files of one version."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from alert_refresh.engine import Permanent
from alert_refresh.files.read import READ_ONLY, STORAGE, Changed, read_descriptor, shown, storage_error
from alert_refresh.files.watch import DATA
from alert_refresh.targets.secret.shapes import keys_of, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EXTENSIONS = (".yaml", ".yml", ".json")
"""Of manifest files."""
MAX_KEYS = 1000


def is_mounted(folder: str | Path) -> bool:
    """Whether the folder is a mounted volume, or may be one: reading an inaccessible folder reports the error."""
    try:
        os.lstat(f"{folder}/{DATA}")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def read_mounted(root: Path, folder: Path, limit: int) -> dict[str, bytes]:
    """The keys and values of one version, never a mix of two.

    The version's folder is held open, so a later one is recognized even if it has the same name.

    Raises:
        Missing, Changed: the version was replaced meanwhile; read it again.
        Permanent, Transient: it cannot be read (`storage`), or all values together are larger than `limit`, or are too
            many (`too_large`).
    """
    what = f"folder '{shown(folder.name)}'"
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


def manifests_in(values: Mapping[str, bytes]) -> list[str]:
    """The keys of a mounted Secret that are manifest files; none if it is itself a target."""
    manifests = [key for key in values if key.endswith(EXTENSIONS)]
    return [] if keys_of(shape_of(values), values) else manifests


def _values(folder: int, limit: int) -> dict[str, bytes]:
    values: dict[str, bytes] = {}
    total = 0
    for name in sorted(os.listdir(folder)):
        if name.startswith(".") or not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            continue
        if len(values) == MAX_KEYS:
            raise Permanent(f"a mounted Secret has more than {MAX_KEYS} keys", "too_large")
        key = shown(name)
        values[key] = read_descriptor(os.open(name, READ_ONLY, dir_fd=folder), f"key '{key}'", limit)
        total += len(values[key])
        if total > limit:
            raise Permanent(f"a mounted Secret is larger than {limit} bytes", "too_large")
    return values
