"""Secrets in the documents of a manifest file: which of them are meant, and what is wrong with the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Fault
from alert_refresh.targets.assemble import Candidate
from alert_refresh.targets.documents import NotText
from alert_refresh.targets.json_text import Unusable
from alert_refresh.targets.target import parse_base64

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alert_refresh.targets.selector import Selector

NAMESPACE = "default"
"""Of a manifest that names none."""


@dataclass(slots=True)
class Found:
    """What a file holds: Secrets that the selector selects, faults of those without a name, and how many others."""

    candidates: list[Candidate] = field(default_factory=list)
    nameless: list[tuple[int, tuple[Fault, ...]]] = field(default_factory=list)
    skipped: int = 0


def find(file: str, documents: Iterable[Any], selector: Selector, *, deny_private: bool) -> Found:
    """Secrets by the documents' order. Only labels decide: a type, `immutable` or a deletion do not matter.

    Of a Secret nothing but its name, labels, creation time and values is kept, and no annotation.

    Raises:
        Unusable: a document is no manifest at all.
    """
    found = Found()
    for number, manifest in enumerate(_objects(documents), 1):
        if manifest["kind"] != "Secret" or manifest.get("apiVersion", "v1") != "v1":
            found.skipped += 1
            continue
        metadata = manifest.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        labels, faults = _strings("metadata.labels", metadata.get("labels"))
        if not faults and not selector.matches(labels):
            found.skipped += 1
            continue
        name, namespace = metadata.get("name"), metadata.get("namespace", NAMESPACE)
        if not isinstance(name, str) or not name:
            faults.append(Fault("metadata.name", "schema: is not a string" if name else "schema: is required"))
        if not isinstance(namespace, str):
            faults.append(Fault("metadata.namespace", "schema: is not a string"))
        if not isinstance(name, str) or not name or not isinstance(namespace, str):
            found.nameless.append((number, tuple(faults)))
            continue
        data, wrong = _strings("data", manifest.get("data"))
        strings, also_wrong = _strings("stringData", manifest.get("stringData"))
        faults += wrong + also_wrong
        result = tuple(faults) or parse_base64(
            data, strings, namespace=namespace, secret=name, deny_private=deny_private
        )
        found.candidates.append(Candidate(namespace, name, f"{file}#{number}", _created(metadata), result))
    return found


def _objects(documents: Iterable[Any], default_kind: str = "") -> Iterator[dict[str, Any]]:
    """Every object with its kind, those in lists one by one; empty documents are stepped over."""
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            raise Unusable("schema: holds something that is no object")
        kind = document.get("kind", default_kind)
        if not isinstance(kind, str) or not kind:
            raise Unusable("schema: holds an object without a kind")
        if kind in ("List", "SecretList"):
            items = document.get("items")
            items = [] if items is None else items
            if not isinstance(items, list):
                raise Unusable("schema: the items of a list are no list")
            yield from _objects(items, "Secret" if kind == "SecretList" else "")
        else:
            yield document | {"kind": kind}


def _strings(where: str, value: Any) -> tuple[dict[str, str], list[Fault]]:
    """A mapping of strings, and a fault for each value that is none; an unquoted number is not made a string."""
    if value is None:
        return {}, []
    if not isinstance(value, dict):
        return {}, [Fault(where, "schema: is not an object")]
    faults = [
        Fault(key if where != "metadata.labels" else where, "schema: is not a string; put it in quotes")
        for key, one in value.items()
        if not isinstance(one, str)
    ]
    return value, faults


def _created(metadata: dict[str, Any]) -> str:
    created = metadata.get("creationTimestamp")
    if isinstance(created, NotText):
        return created.source
    return created if isinstance(created, str) else ""
