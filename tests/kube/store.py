"""The state of the stand-in: Secrets with resourceVersions, and the history that lists and watches read."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.kube import protobuf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.kube.selectors import Requirement

PADDING = b'"padding":""'
KEPT_LISTS = 64
"""So many past states can be continued; older ones answer 410 like compacted ones."""


class Conflict(Exception):
    """Raised when a write meets another state than it expects; `reason` is the API server's word."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a Secret. `body` is its JSON without kind, `encoded` its protobuf (None if there is none for it);
    `padding` bytes are put into it when it is sent.
    """

    namespace: str
    name: str
    version: int
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    body: bytes
    padding: int = 0
    encoded: protobuf.Encoded | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    def item(self) -> bytes:
        """As it stands in a list."""
        if not self.padding:
            return self.body
        return self.body.replace(PADDING, b'"padding":"' + b"x" * self.padding + b'"', 1)

    def whole(self) -> bytes:
        """As it stands alone or in an event."""
        return b'{"kind":"Secret","apiVersion":"v1",' + self.item()[1:]

    def partial(self) -> bytes:
        """Its metadata alone, as it stands in a list."""
        metadata = json.dumps(json.loads(self.item())["metadata"], separators=(",", ":")).encode()
        return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":%b}' % metadata

    def document(self) -> dict[str, Any]:
        """As a dictionary of its own."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    def at(self, version: int) -> Stored:
        """The same content with another resourceVersion."""
        return encode(self.document(), version, self.padding)

    def matches(self, query: Query) -> bool:
        """Whether a list or watch of `query` shows it."""
        return (
            (not query.namespace or self.namespace == query.namespace)
            and all(one.matches(self.labels) for one in query.labels)
            and all(one.matches(self.fields) for one in query.fields)
        )


@dataclass(frozen=True, slots=True)
class Query:
    """Which Secrets are requested; an empty namespace means all."""

    namespace: str = ""
    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A write: what was there before it and after it."""

    version: int
    old: Stored | None
    new: Stored | None

    def event(self, query: Query) -> tuple[str, Stored] | None:
        """Its type and object as a watch of `query` sees it; to leave the selector is to be deleted."""
        was = self.old is not None and self.old.matches(query)
        if self.new is not None and self.new.matches(query):
            return ("MODIFIED" if was else "ADDED"), self.new
        if was and self.old is not None:
            return "DELETED", self.old.at(self.version)
        return None


def encode(document: dict[str, Any], version: int, padding: int = 0) -> Stored:
    """Freeze a Secret's dictionary as that version."""
    metadata = document["metadata"]
    metadata["resourceVersion"] = str(version)
    name, namespace = metadata["name"], metadata["namespace"]
    fields = {"metadata.name": name, "metadata.namespace": namespace, "type": document.get("type", "")}
    body = json.dumps(document, separators=(",", ":")).encode()
    labels = metadata.get("labels") or {}
    return Stored(namespace, name, version, labels, fields, body, padding, protobuf.encode(document))


class Backup(NamedTuple):
    """A state that `Store.restore` brings back."""

    version: int
    objects: dict[tuple[str, str], Stored]
    history: list[Change]


@dataclass(eq=False, slots=True)
class Store:
    """All Secrets. Versions grow by one with every write; `changed` is notified of each."""

    version: int = 1000
    objects: dict[tuple[str, str], Stored] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    oldest: int = 1000
    """Watches may begin here or later; `compact` moves it."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    lists: dict[int, tuple[Stored, ...]] = field(default_factory=dict)
    restored: int = 0
    """How often an older state was brought back; watches of before have ended."""

    def at(self, version: int | None = None) -> tuple[int, tuple[Stored, ...]] | None:
        """All Secrets in key order, now or as they were at `version`; None if that is no longer known."""
        with self.changed:
            if version is not None and version != self.version:
                known = self.lists.get(version)
                return None if known is None else (version, known)
            if self.version not in self.lists:
                self.lists[self.version] = tuple(self.objects[key] for key in sorted(self.objects))
                while len(self.lists) > KEPT_LISTS:
                    del self.lists[next(iter(self.lists))]
            return self.version, self.lists[self.version]

    def since(self, version: int) -> list[Change]:
        """Every change after `version`, oldest first."""
        with self.changed:
            return self.history[bisect_right(self.history, version, key=lambda change: change.version) :]

    def compact(self) -> None:
        """Compact the history: continue tokens and older resourceVersions answer 410 from now on."""
        with self.changed:
            self.lists.clear()
            self.history.clear()
            self.oldest = self.version
            self.changed.notify_all()

    def backup(self) -> Backup:
        """The state as it is now."""
        with self.changed:
            return Backup(self.version, dict(self.objects), list(self.history))

    def restore(self, backup: Backup) -> None:
        """Bring a state back as etcd does from a backup: versions go on from its own, and running watches end."""
        with self.changed:
            self.version, self.objects, self.history = backup.version, dict(backup.objects), list(backup.history)
            self.oldest = min(self.oldest, self.version)
            self.lists.clear()
            self.restored += 1
            self.changed.notify_all()

    def create(self, document: dict[str, Any], padding: int = 0) -> Stored:
        """Add a Secret; metadata is completed.

        Raises:
            Conflict: it exists.
        """
        metadata = document["metadata"]
        metadata.setdefault("namespace", "default")
        metadata["uid"] = str(uuid.uuid4())
        metadata.setdefault("creationTimestamp", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        with self.changed:
            key = metadata["namespace"], metadata["name"]
            if key in self.objects:
                raise Conflict(409, "AlreadyExists", f'secrets "{key[1]}" already exists')
            return self._write(None, _settled(document), padding)

    def replace(self, document: dict[str, Any]) -> Stored:
        """Put a new version of a Secret; uid and creation time stay.

        Raises:
            Conflict: it does not exist, or the document names an older resourceVersion.
        """
        metadata = document["metadata"]
        with self.changed:
            old = self.objects.get((metadata["namespace"], metadata["name"]))
            if old is None:
                raise Conflict(404, "NotFound", f'secrets "{metadata["name"]}" not found')
            if metadata.get("resourceVersion") not in (None, "", str(old.version)):
                raise Conflict(409, "Conflict", "the object has been modified; please apply your changes to the latest")
            before = old.document()["metadata"]
            metadata.update(uid=before["uid"], creationTimestamp=before["creationTimestamp"])
            return self._write(old, _settled(document), old.padding)

    def delete(self, namespace: str, name: str) -> Stored:
        """Remove a Secret and return its last version.

        Raises:
            Conflict: it does not exist.
        """
        with self.changed:
            old = self.objects.pop((namespace, name), None)
            if old is None:
                raise Conflict(404, "NotFound", f'secrets "{name}" not found')
            self.version += 1
            self.history.append(Change(self.version, old, None))
            self.changed.notify_all()
            return old

    def _write(self, old: Stored | None, document: dict[str, Any], padding: int) -> Stored:
        self.version += 1
        new = encode(document, self.version, padding)
        self.objects[new.key] = new
        self.history.append(Change(self.version, old, new))
        self.changed.notify_all()
        return new


def _settled(document: dict[str, Any]) -> dict[str, Any]:
    """The document as the server keeps it: stringData folded into data, a type, no kind."""
    text = document.pop("stringData", None) or {}
    if text:
        data = dict(document.get("data") or {})
        data.update({key: base64.b64encode(value.encode()).decode() for key, value in text.items()})
        document["data"] = data
    document.setdefault("type", "Opaque")
    document.pop("kind", None)
    document.pop("apiVersion", None)
    return document
