"""Walks a folder of manifests with its subfolders: manifest files and mounted Secrets."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from alert_refresh.engine import AttemptError, Permanent
from alert_refresh.files.read import STORAGE, TOO_LARGE, shown, storage_error
from alert_refresh.files.watch import DEEPEST
from alert_refresh.targets.folder.mounted import EXTENSIONS, is_mounted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAX_ENTRIES = 20_000
MISNAMED = re.compile(r"\.(?:ya?ml|json)(?![a-z])", re.IGNORECASE)
"""In the name of a file that was probably meant to be a manifest: the extension in upper case, or another one after."""
TEMPORARY = ("~", "#", ".swp", ".swx", ".tmp")
"""Ends of the names of an editor's own files."""
NOT_A_MANIFEST = "is no *.yaml, *.yml or *.json"
NO_MANIFESTS = "a subfolder without ..data holds no manifest (*.yaml, *.yml, *.json)"


class Entry(NamedTuple):
    """A manifest file, a mounted Secret, or a subfolder with the reason why it cannot be read; `name` is the path
    relative to the folder. With `skipped` it is neither, for that reason, and somebody may expect that it is.
    """

    name: str
    is_mount: bool = False
    error: AttemptError | None = None
    skipped: str | None = None


class Walk:
    """One walk of a folder. Hidden entries are skipped: they belong to editors or the kubelet."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._left = MAX_ENTRIES
        self._seen: set[tuple[int, int]] = set()

    def entries(self) -> list[Entry]:
        """Every entry that may be a part, sorted by displayed name.

        Raises:
            Transient, Permanent: the folder itself cannot be read (`storage`), or holds too much (`too_large`).
        """
        return sorted(self._entries(self._names(""), 0), key=lambda one: shown(one.name))

    def _entries(self, names: Iterable[tuple[str, bool]], depth: int) -> Iterator[Entry]:
        """The entries that these names in one folder stand for."""
        for name, is_folder in names:
            if is_folder:
                yield from self._subfolder(name, depth + 1)
            elif name.endswith(EXTENSIONS):
                yield Entry(name)
            elif MISNAMED.search(name.rpartition("/")[2]) and not name.endswith(TEMPORARY):
                yield Entry(name, skipped=NOT_A_MANIFEST)

    def _subfolder(self, name: str, depth: int) -> Iterator[Entry]:
        if is_mounted(self._root / name):
            yield Entry(name, is_mount=True)
            return
        try:
            if self._is_new(name):
                if depth > DEEPEST:
                    raise Permanent(f"folder '{shown(name)}' is more than {DEEPEST} folders deep", STORAGE)
                yield from self._inside(name, depth)
        except AttemptError as error:
            if error.error_type != STORAGE:
                raise
            yield Entry(name, error=error)

    def _inside(self, name: str, depth: int) -> Iterator[Entry]:
        """What is in a subfolder; if there is nothing but other files, the subfolder with that reason."""
        names = self._names(name + "/")
        found = False
        for entry in self._entries(names, depth):
            found = True
            yield entry
        if not found and any(not is_folder and not one.endswith(TEMPORARY) for one, is_folder in names):
            yield Entry(name, skipped=NO_MANIFESTS)

    def _is_new(self, name: str) -> bool:
        """Whether a subfolder is inside the folder and is visited for the first time: symlinks may lead out or loop."""
        path, what = self._root / name, f"folder '{shown(name)}'"
        try:
            real, base = os.path.realpath(path, strict=True), os.path.realpath(self._root, strict=True)
            state = path.stat()
        except OSError as error:
            raise storage_error(error, what) from error
        if os.path.commonpath((real, base)) != base:
            raise Permanent(f"{what} leads out of its folder", STORAGE)
        key = state.st_dev, state.st_ino
        new = key not in self._seen and real != base
        self._seen.add(key)
        return new

    def _names(self, inside: str) -> list[tuple[str, bool]]:
        """The names in one folder, and whether each is a folder."""
        found = []
        try:
            with os.scandir(self._root / inside) as entries:
                for entry in entries:
                    self._left -= 1
                    if self._left < 0:
                        raise Permanent(f"the folder holds more than {MAX_ENTRIES} files", TOO_LARGE)
                    if not entry.name.startswith("."):
                        found.append((inside + entry.name, _is_folder(entry)))
        except OSError as error:
            raise storage_error(
                error, f"folder '{shown(inside[:-1])}'" if inside else "the folder TARGET_DIRECTORY"
            ) from error
        return sorted(found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a symlink whose destination is inaccessible and may be one."""
    try:
        return entry.is_dir()
    except OSError as error:
        return error.errno != errno.ELOOP
