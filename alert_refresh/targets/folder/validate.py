"""Manifests checked before they are applied: every fault that the daemon would find in them, with its file and line."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from alert_refresh.engine import AttemptError, Fault
from alert_refresh.files.read import TOO_LARGE, read_file, shown
from alert_refresh.targets.assemble import Candidate, winners
from alert_refresh.targets.bulkhead import Bulkhead
from alert_refresh.targets.folder.documents import Located, load
from alert_refresh.targets.folder.manifest import NAMESPACE, find, objects, without_twins
from alert_refresh.targets.folder.mounted import EXTENSIONS, is_mounted, manifests_in, read_mounted
from alert_refresh.targets.folder.parts import MAX_FILE, MAX_TOTAL
from alert_refresh.targets.folder.walk import Entry, Walk
from alert_refresh.targets.secret.fields import FIELDS
from alert_refresh.targets.secret.json_text import Unusable
from alert_refresh.targets.secret.parse import parse
from alert_refresh.targets.secret.shapes import JSON_SHAPES, shape_of
from alert_refresh.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from alert_refresh.targets.secret.selector import Selector

VALUES = ("stringData", "data")
"""Where a manifest has its values; the first goes before the second."""


class Place(NamedTuple):
    """Where something is: a file, a line if it is known, and which Secret it is or the number of the object."""

    file: str
    line: int | None = None
    namespace: str | None = None
    secret: str | None = None
    document: int | None = None


class Finding(NamedTuple):
    """A fault of a field, and where."""

    place: Place
    fault: Fault


class LeftOut(NamedTuple):
    """An object, file or subfolder that is no target, and why."""

    place: Place
    reason: str


@dataclass(slots=True)
class Report:
    """What the manifests hold: how many valid targets, every fault and every object that is no target, in order."""

    targets: int = 0
    faults: list[Finding] = field(default_factory=list)
    skipped: list[LeftOut] = field(default_factory=list)


class Validation:
    """Collects manifests, as `selector` and `deny_private` would have the daemon read them, for one report."""

    def __init__(self, selector: Selector, *, deny_private: bool) -> None:
        self._selector = selector
        self._deny_private = deny_private
        self._bulkhead = Bulkhead()
        self._report = Report()
        self._candidates: list[Candidate] = []
        self._order: dict[str, int] = {}
        self._objects: dict[str, tuple[str, Any]] = {}

    def add_file(self, name: str, content: bytes) -> None:
        """Read a manifest file."""
        self._order.setdefault(name, len(self._order))
        if len(content) > MAX_FILE:
            self._fault(Place(name), "file", f"{TOO_LARGE}: is larger than {MAX_FILE} bytes")
            return
        for fault in self._bulkhead.hold(shown(name), "file", partial(self._read, name, content)) or ():
            self._report.faults.append(Finding(Place(name), fault))

    def add_folder(self, folder: Path) -> None:
        """Read every manifest and mounted Secret of a folder.

        Raises:
            Transient, Permanent: the folder cannot be read, or holds too much.
        """
        root, total = folder.absolute(), 0
        entries = [Entry("", is_mount=True)] if is_mounted(root) else Walk(root).entries()
        for entry in entries:
            name = str(folder / entry.name)
            self._order.setdefault(name, len(self._order))
            if total > MAX_TOTAL:
                self._fault(Place(name), "file", f"{TOO_LARGE}: the folder holds more than {MAX_TOTAL} bytes")
                return
            try:
                total += self._add_entry(root, name, entry)
            except AttemptError as error:
                self._fault(Place(name), "file", f"{error.error_type}: {error}")

    def report(self) -> Report:
        """Everything that was found, with the names that several Secrets have."""
        served, losers = winners(without_twins(self._candidates))
        for loser in losers:
            assert not isinstance(loser.result, Target)
            file, document = self._objects[loser.uid]
            for fault in loser.result:
                line = line_of(document, fault.field)
                self._report.faults.append(Finding(Place(file, line, loser.namespace, loser.secret), fault))
        self._report.targets = len(served)
        self._report.faults.sort(key=lambda one: (self._order[one.place.file], one.place.line or 0))
        self._report.skipped.sort(key=lambda one: (self._order[one.place.file], one.place.line or 0))
        return self._report

    def _add_entry(self, root: Path, name: str, entry: Entry) -> int:
        """Read an entry of a folder; returns its size."""
        if entry.error is not None:
            raise entry.error
        if entry.skipped is not None:
            self._report.skipped.append(LeftOut(Place(name), entry.skipped))
            return 0
        if not entry.is_mount:
            content = read_file(root, root / entry.name, MAX_FILE)
            self.add_file(name, content)
            return len(content)
        values = read_mounted(root, root / entry.name, MAX_FILE)
        manifests = manifests_in(values)
        for key in manifests:
            self.add_file(f"{name}/{key}", values[key])
        if not manifests:
            self._add_mounted(name, shown(entry.name or root.name), values)
        return sum(map(len, values.values()))

    def _add_mounted(self, name: str, secret: str, values: Mapping[str, bytes]) -> None:
        result = self._bulkhead.hold(
            secret,
            "secret",
            lambda: parse(values, namespace=NAMESPACE, secret=secret, deny_private=self._deny_private),
        )
        self._objects[name] = name, None
        self._candidates.append(Candidate(NAMESPACE, secret, name, "", result))

    def _read(self, name: str, content: bytes) -> None:
        """Take what is in a file."""
        try:
            documents = load(_name_for(name, content), content, lambda: None, located=True)
            found = find(name, documents, self._selector, self._bulkhead, deny_private=self._deny_private)
        except Unusable as error:
            self._fault(Place(name, error.line), "file", str(error))
            return
        placed = {number: document for number, (document, _) in enumerate(objects(documents), 1)}
        for number, document in placed.items():
            self._objects[f"{name}#{number}"] = name, document
        self._candidates += found.candidates
        for nameless in found.nameless:
            inside = () if isinstance(nameless.result, Target) else nameless.result
            for fault in (*nameless.faults, *inside):
                line = line_of(placed[nameless.number], fault.field)
                self._report.faults.append(Finding(Place(name, line, document=nameless.number), fault))
        for left in found.skipped:
            number = int(left.origin["document"])
            namespace, secret = left.key or (None, None)
            place = Place(name, line_of(placed[number], ""), namespace, secret, None if left.key else number)
            self._report.skipped.append(LeftOut(place, left.reason))

    def _fault(self, place: Place, field_name: str, message: str) -> None:
        self._report.faults.append(Finding(place, Fault(field_name, message)))


def line_of(document: Any, name: str) -> int | None:
    """The line of a field: its own key's, else that of the key that holds the target, else that of the object."""
    if not isinstance(document, Located):
        return None
    lines = dict(document.lines)
    metadata = document.get("metadata")
    if isinstance(metadata, Located):
        lines |= {f"metadata.{key}": line for key, line in metadata.lines.items()}
    if name.startswith("metadata."):
        return lines.get(name, lines.get("metadata", document.line))
    values: dict[str, int] = {}
    for section in VALUES:
        if isinstance(found := document.get(section), Located):
            values = {**found.lines, **values}
    shape = shape_of(values)
    if shape in JSON_SHAPES and (name in FIELDS or name not in {**values, **lines}):
        return values.get(shape, document.line) if name else document.line
    return values.get(name, lines.get(name, document.line))


def _name_for(name: str, content: bytes) -> str:
    """A name that tells the format: where the file's own does not, an object's brace at the beginning means JSON."""
    if name.endswith(EXTENSIONS):
        return name
    return ".json" if content.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else ".yaml"


def counted(findings: Iterable[Finding]) -> int:
    """Of how many Secrets, objects or files these faults are."""
    return len({one.place._replace(line=None) for one in findings})
