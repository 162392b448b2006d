"""The parts of a folder, files and mounted Secrets, each read again only when it has changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from alert_refresh.engine import AttemptError, Fault, Permanent, Rejected, Skipped
from alert_refresh.files.at_rest import signature, written_in_place
from alert_refresh.files.read import STORAGE, TOO_LARGE, Changed, Exhausted, Missing, read_file, shown, storage_error
from alert_refresh.targets.assemble import Candidate
from alert_refresh.targets.folder.documents import load
from alert_refresh.targets.folder.manifest import NAMESPACE, Found, find
from alert_refresh.targets.folder.mounted import manifests_in, read_mounted
from alert_refresh.targets.folder.recognise import recognise
from alert_refresh.targets.secret.parse import parse

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from alert_refresh.engine import Clock, Deadline
    from alert_refresh.targets.bulkhead import Bulkhead
    from alert_refresh.targets.folder.recognise import Nameless
    from alert_refresh.targets.folder.walk import Entry
    from alert_refresh.targets.secret.selector import Selector

MAX_FILE = 16 << 20
MAX_TOTAL = 64 << 20

STAMP = 0.1
"""Seconds after which a further change certainly has a different modification time."""


class OverBudget(Permanent):
    """Raised when a folder exceeds the limits for everything in it together (error type `too_large`)."""


class Left(NamedTuple):
    """A Secret that a file no longer holds, and why."""

    namespace: str
    secret: str
    reason: str


@dataclass(frozen=True, slots=True)
class Part:
    """The content of a file or mounted Secret.

    `last` are the Secrets of its last good version; while it has a `fault`, they are its candidates. `signature`
    is None if the file may have changed within its time stamp, `inode` names the file that was read. `left` is what
    the version before this one held and this one does not, `others` are the keys of objects without a usable name.
    """

    signature: tuple[int, ...] | None = None
    digest: bytes = b""
    candidates: tuple[Candidate, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    last: tuple[Candidate, ...] = ()
    fault: Fault | None = None
    inode: tuple[int, ...] = ()
    left: tuple[Left, ...] = ()
    others: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Memo:
    """The state for the next refresh: the parts by name, and the number of the refresh that read all of them."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    number: int = 0


def broken(name: str, fault: Fault, last: tuple[Candidate, ...], known: Part | None = None) -> Part:
    """A part that cannot be used: its last Secrets all get this fault; without any, the part itself is rejected."""
    return replace(
        known or Part(),
        candidates=tuple(msgspec.structs.replace(candidate, result=(fault,)) for candidate in last),
        rejected=() if last else (Rejected({"file": name}, (fault,)),),
        last=last,
        fault=fault,
    )


class Reader:
    """Reads parts for one refresh; measures the seconds spent reading and parsing.

    Parts are named as `shown` names their files. `closed` tells whether a file in that state was closed by its writer.
    `unsettled` are files that may still be being written: what they held before counts, if anything did.
    """

    def __init__(
        self,
        root: Path,
        memo: Memo | None,
        clock: Clock,
        deadline: Deadline,
        *,
        selector: Selector,
        deny_private: bool,
        bulkhead: Bulkhead,
        closed: Callable[[str, os.stat_result], bool],
    ) -> None:
        self._root = root
        self.is_first = memo is None
        self._memo = memo or Memo()
        self._clock = clock
        self.deadline = deadline
        self._selector = selector
        self._deny_private = deny_private
        self._bulkhead = bulkhead
        self._closed = closed
        self._total = 0
        self.unsettled: set[str] = set()
        self.parse_seconds = 0.0

    def begin(self) -> None:
        """Start a scan of the whole folder."""
        self._total = 0
        self.unsettled.clear()

    def part(self, entry: Entry, *, final: bool) -> dict[str, Part]:
        """Read a file or mounted Secret; if it cannot be read, its last Secrets are kept with the error as their fault.

        Raises:
            Missing, Changed: it was removed or replaced meanwhile; scan the folder again (if `final`, this becomes a
                fault instead).
            Transient, Permanent: the cause is not in this part, or the limits of the whole folder are exceeded.
        """
        self.deadline.check()
        path, name = self._root / entry.name, shown(entry.name or self._root.name)
        if entry.skipped is not None:
            return {name: self._skipped(name, entry.skipped)}
        try:
            if entry.error is not None:
                raise entry.error
            return self._mounted(name, path) if entry.is_mount else self._file(name, path, entry.name)
        except AttemptError as error:
            passing = isinstance(error, (Missing, Changed)) and not final
            own = error.error_type in (STORAGE, TOO_LARGE) and not isinstance(error, (Exhausted, OverBudget))
            whole = path == self._root and error.error_type == STORAGE
            if passing or not own or whole:
                raise
            return {name: broken(name, Fault("file", f"{error.error_type}: {error}"), self._last(name))}

    def again(self, names: Collection[str], entries: Iterable[Entry], *, final: bool) -> dict[str, Part]:
        """All parts as they are known, but for those of these names: they are read again, where there is an entry of
        that name; raises as `part`.
        """
        found = {shown(entry.name): entry for entry in entries}
        parts: dict[str, Part] = {}
        for name, part in self._memo.parts.items():
            if name not in names:
                parts[name] = part
            elif name in found:
                parts |= self.part(found[name], final=final)
        return parts

    def _skipped(self, name: str, reason: str) -> Part:
        """A file or subfolder that is no part; what it held when it was one is gone."""
        known = self._memo.parts.get(name)
        left = tuple(Left(one.namespace, one.secret, reason) for one in known.last) if known is not None else ()
        return Part(skipped=(Skipped({"file": name}, reason),), left=left)

    def _mounted(self, name: str, folder: Path) -> dict[str, Part]:
        """A mounted Secret, whose values may be manifests; raises what reading raises."""
        values = read_mounted(self._root, folder, MAX_FILE)
        self._count(sum(map(len, values.values())))
        if manifests := manifests_in(values):
            return {one: self._content(one, values[key]) for key in manifests for one in (f"{name}/{key}",)}
        digest = sha256(repr(sorted(values.items())).encode()).digest()
        known = self._memo.parts.get(name)
        if known is not None and known.digest == digest and known.fault is None:
            return {name: known}
        began = self._clock.monotonic()
        result = self._bulkhead.hold(
            name,
            "secret",
            lambda: parse(values, namespace=NAMESPACE, secret=name, deny_private=self._deny_private),
        )
        self.parse_seconds += self._clock.monotonic() - began
        candidates = (Candidate(NAMESPACE, name, name, "", result),)
        return {name: Part(None, digest, candidates, last=candidates)}

    def _file(self, name: str, path: Path, below: str) -> dict[str, Part]:
        """A manifest file; None if it is new and may still be being written."""
        state = _state(path)
        self._count(state.st_size if state.st_size <= MAX_FILE else 0)
        seen = signature(state)
        known = self._memo.parts.get(name)
        if known is not None and known.signature == seen:
            return {name: known}
        now = self._clock.time()
        before = None if known is None else known.inode
        if written_in_place(state, now, before) and not self._closed(below, state):
            self.unsettled.add(name)
            return self._before(name)
        content = read_file(self._root, path, MAX_FILE)
        if signature(_state(path)) != seen:
            raise Changed(f"file '{name}' changed while it was read", STORAGE)
        settled = max(state.st_mtime, state.st_ctime) + STAMP < now
        return {name: replace(self._content(name, content, seen if settled else None), inode=seen[:2])}

    def _before(self, name: str) -> dict[str, Part]:
        """The earlier content of a file that is being written; at the first refresh it is unknown, which is a fault."""
        known = self._memo.parts.get(name)
        if known is None and self.is_first:
            known = broken(name, Fault("file", "storage: is still being written"), ())
        return {} if known is None else {name: known}

    def _content(self, name: str, content: bytes, seen: tuple[int, ...] | None = None) -> Part:
        """The part of a manifest file; parsed only if it has changed."""
        digest = sha256(content).digest()
        known = self._memo.parts.get(name)
        if known is not None and known.digest == digest:
            return replace(known, signature=seen, left=())
        began = self._clock.monotonic()
        found = self._bulkhead.hold(name, "file", lambda: self._found(name, content))
        self.parse_seconds += self._clock.monotonic() - began
        if not isinstance(found, Found):
            return broken(name, found[0], self._last(name), Part(seen, digest))
        return replace(
            _placed(name, found, self._last(name), known.others if known else ()), signature=seen, digest=digest
        )

    def _found(self, name: str, content: bytes) -> Found:
        documents = load(name, content, self.deadline.check)
        return find(name, documents, self._selector, self._bulkhead, deny_private=self._deny_private)

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
            raise OverBudget(f"the folder holds more than {MAX_TOTAL} bytes", TOO_LARGE)


def _state(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise storage_error(error, f"file '{shown(path.name)}'") from error


def _placed(name: str, found: Found, last: tuple[Candidate, ...], others: Iterable[object]) -> Part:
    """The content of a file, given the Secrets and the other objects that it held before.

    An object without a valid name counts as the Secret that it was before, now invalid. A Secret without such an object
    has been removed from the file, and so has one that is not selected any more.
    """
    before = Counter(others)
    odd: list[tuple[Nameless, Candidate | None]] = []
    fresh: list[Nameless] = []
    for one in found.nameless:
        if before[one.key] > 0:
            before[one.key] -= 1
            odd.append((one, None))
        else:
            fresh.append(one)
    there = {(one.namespace, one.secret) for one in found.candidates}
    why = {skipped.key: skipped.reason for skipped in found.skipped}
    lost = {(one.namespace, one.secret): one for one in last if (one.namespace, one.secret) not in there}
    odd += recognise(fresh, [lost[key] for key in lost if key not in why])
    kept = [(one, lost.pop((secret.namespace, secret.secret))) for one, secret in odd if secret is not None]
    none = [one for one, secret in odd if secret is None]
    damaged = (msgspec.structs.replace(secret, uid=one.place, result=one.faults) for one, secret in kept)
    return Part(
        candidates=(*found.candidates, *damaged),
        rejected=tuple(Rejected({"file": name, "document": str(one.number)}, one.faults) for one in none),
        skipped=tuple(Skipped({"file": name} | one.origin, one.reason) for one in found.skipped),
        last=(*found.candidates, *(secret for _, secret in kept)),
        left=tuple(Left(*key, why.get(key, "the file no longer holds it")) for key in lost),
        others=tuple(one.key for one in none),
    )
