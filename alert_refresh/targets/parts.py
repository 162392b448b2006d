"""The parts of a folder, files and mounted Secrets, each read again only when it has changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from alert_refresh.engine import AttemptError, Fault, Permanent, Rejected
from alert_refresh.folder import STORAGE, TOO_LARGE, Changed, Exhausted, Missing, read_file, signature, storage_error
from alert_refresh.targets.assemble import Candidate
from alert_refresh.targets.documents import load
from alert_refresh.targets.json_text import Unusable
from alert_refresh.targets.mounted import read_mounted
from alert_refresh.targets.secret_manifest import NAMESPACE, find
from alert_refresh.targets.shapes import keys_of, shape_of
from alert_refresh.targets.target import parse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from alert_refresh.engine import Clock, Deadline
    from alert_refresh.targets.selector import Selector

EXTENSIONS = (".yaml", ".yml", ".json")
MAX_FILE = 16 << 20
MAX_TOTAL = 64 << 20

SETTLED = 0.1
"""Seconds after which a further change is sure to have another time stamp."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a file or mounted Secret holds.

    `last` are the Secrets of its last good version; while it has a `fault`, they are its candidates. `signature`
    is None if the file may have changed within its time stamp.
    """

    signature: tuple[int, ...] | None = None
    digest: bytes = b""
    candidates: tuple[Candidate, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    skipped: int = 0
    last: tuple[Candidate, ...] = ()
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Memo:
    """What the next refresh gets back: the parts by name."""

    parts: Mapping[str, Part] = field(default_factory=dict)


def broken(name: str, fault: Fault, last: tuple[Candidate, ...], known: Part | None = None) -> Part:
    """A part that cannot be used: its last Secrets all have this fault; without any, the part itself is rejected."""
    return replace(
        known or Part(),
        candidates=tuple(msgspec.structs.replace(candidate, result=(fault,)) for candidate in last),
        rejected=() if last else (Rejected({"file": name}, (fault,)),),
        last=last,
        fault=fault,
    )


class Reader:
    """Reads parts for one refresh; measures the seconds spent reading and parsing."""

    def __init__(
        self, root: Path, memo: Memo, selector: Selector, clock: Clock, deadline: Deadline, deny_private: bool
    ) -> None:
        self._root = root
        self._memo = memo
        self._selector = selector
        self._clock = clock
        self._deadline = deadline
        self._deny_private = deny_private
        self._total = 0
        self.parse_seconds = 0.0

    def begin(self) -> None:
        """Begin to look at the whole folder."""
        self._total = 0

    def part(self, path: Path, *, is_mount: bool, final: bool) -> dict[str, Part]:
        """What is at this path, usable or not.

        Raises:
            Missing, Changed: it went or changed meanwhile (unless `final`: then that is its fault).
            Transient, Permanent: not this part is the reason, or the limits are exceeded.
        """
        self._deadline.check()
        try:
            return self.mounted(path) if is_mount else {path.name: self._file(path)}
        except AttemptError as error:
            passing = isinstance(error, (Missing, Changed)) and not final
            if passing or isinstance(error, Exhausted) or error.error_type != STORAGE:
                raise
            return {path.name: broken(path.name, Fault("file", f"storage: {error}"), self._last(path.name))}

    def mounted(self, folder: Path) -> dict[str, Part]:
        """A mounted Secret, which may itself hold manifests; raises what reading raises."""
        values = read_mounted(self._root, folder, MAX_FILE)
        self._count(sum(map(len, values.values())))
        shape = shape_of(values)
        manifests = [key for key in values if key.endswith(EXTENSIONS)]
        if manifests and not keys_of(shape, values):
            return {name: self._content(name, values[key]) for key in manifests for name in (f"{folder.name}/{key}",)}
        digest = sha256(repr(sorted(values.items())).encode()).digest()
        known = self._memo.parts.get(folder.name)
        if known is not None and known.digest == digest and known.fault is None:
            return {folder.name: known}
        began = self._clock.monotonic()
        result = parse(values, namespace=NAMESPACE, secret=folder.name, deny_private=self._deny_private)
        self.parse_seconds += self._clock.monotonic() - began
        candidates = (Candidate(NAMESPACE, folder.name, folder.name, "", result),)
        return {folder.name: Part(None, digest, candidates, last=candidates)}

    def _file(self, path: Path) -> Part:
        try:
            state = path.stat()
        except OSError as error:
            raise storage_error(error, f"file {path.name!a}") from error
        self._count(state.st_size if state.st_size <= MAX_FILE else 0)
        seen = signature(state)
        known = self._memo.parts.get(path.name)
        if known is not None and known.signature == seen:
            return known
        content = read_file(self._root, path, MAX_FILE)
        settled = max(state.st_mtime, state.st_ctime) + SETTLED < self._clock.time()
        return self._content(path.name, content, seen if settled else None)

    def _content(self, name: str, content: bytes, seen: tuple[int, ...] | None = None) -> Part:
        """A manifest file's part; parsed unless it is what it was."""
        digest = sha256(content).digest()
        known = self._memo.parts.get(name)
        if known is not None and known.digest == digest:
            return replace(known, signature=seen)
        began = self._clock.monotonic()
        try:
            documents = load(name, content, self._deadline.check)
            found = find(name, documents, self._selector, deny_private=self._deny_private)
        except Unusable as error:
            return broken(name, Fault("file", str(error)), self._last(name), Part(seen, digest))
        finally:
            self.parse_seconds += self._clock.monotonic() - began
        rejected = tuple(Rejected({"file": name, "document": str(number)}, faults) for number, faults in found.nameless)
        candidates = tuple(found.candidates)
        return Part(seen, digest, candidates, rejected, found.skipped, candidates)

    def _last(self, name: str) -> tuple[Candidate, ...]:
        """The Secrets of the last good version of a file, or of all files in a mounted folder."""
        known = self._memo.parts.get(name)
        if known is not None:
            return known.last
        inside = f"{name}/"
        return tuple(
            one for part_name, part in self._memo.parts.items() if part_name.startswith(inside) for one in part.last
        )

    def _count(self, size: int) -> None:
        self._total += size
        if self._total > MAX_TOTAL:
            raise Permanent(f"the folder holds more than {MAX_TOTAL} bytes", TOO_LARGE)
