"""The Secrets in the documents of a manifest file: which are selected, and what is wrong with the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from alert_refresh.engine import Fault
from alert_refresh.targets.assemble import Candidate
from alert_refresh.targets.folder.documents import Located, NotText
from alert_refresh.targets.folder.recognise import Nameless
from alert_refresh.targets.secret.json_text import Unusable
from alert_refresh.targets.secret.parse import parse_base64
from alert_refresh.targets.secret.words import shown
from alert_refresh.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from alert_refresh.targets.bulkhead import Bulkhead
    from alert_refresh.targets.secret.selector import Selector

VALUES = {"data": "data", "stringdata": "stringData"}
"""The keys of a manifest that have values, by how they are in lower case."""
NAMESPACE = "default"
"""The namespace of a manifest without one."""


class LeftOut(NamedTuple):
    """An object that is not a target; `key` is the namespace and name of the Secret that it may have been before."""

    key: tuple[str, str] | None
    origin: dict[str, str]
    reason: str


@dataclass(slots=True)
class Found:
    """The content of a file: selected Secrets, objects without a usable name, and objects that are not targets."""

    candidates: list[Candidate] = field(default_factory=list)
    nameless: list[Nameless] = field(default_factory=list)
    skipped: list[LeftOut] = field(default_factory=list)


def find(file: str, documents: Iterable[Any], selector: Selector, bulkhead: Bulkhead, *, deny_private: bool) -> Found:
    """The Secrets in the order of the documents. Only labels select: type, `immutable` and a deletion do not matter.

    Of a Secret only name, labels, creation time and values are used, and no annotation. An object that cannot be used
    becomes a separate fault; so does one for which parsing raises an exception.

    Raises:
        Unusable: no object is a manifest.
    """
    found = Found()
    odd = []
    for number, (document, fault) in enumerate(objects(documents), 1):
        place = f"{file}#{number}"
        if fault is not None:
            odd.append((fault, document))
            found.nameless.append(Nameless(place, number, (fault,), _name(document)))
            continue
        read = partial(_read, place, number, document, selector, bulkhead, deny_private)
        one = bulkhead.hold(place, "secret", read)
        if isinstance(one, Candidate):
            found.candidates.append(one)
        elif isinstance(one, LeftOut):
            found.skipped.append(one)
        else:
            found.nameless.append(one if isinstance(one, Nameless) else Nameless(place, number, one, _name(document)))
    if odd and len(odd) == len(found.nameless) and not found.candidates and not found.skipped:
        fault, document = odd[0]
        raise Unusable(fault.message, document.line if isinstance(document, Located) else None)
    return found


def without_twins(candidates: Iterable[Candidate]) -> list[Candidate]:
    """All candidates; where two manifests are the same Secret the first good one is it."""
    found = []
    valid: set[tuple[str, str]] = set()
    for candidate in candidates:
        key = candidate.namespace, candidate.secret
        if isinstance(candidate.result, Target):
            if key in valid:
                fault = Fault("metadata.name", "duplicate_name: another manifest is this Secret too")
                found.append(msgspec.structs.replace(candidate, result=(fault,)))
                continue
            valid.add(key)
        found.append(candidate)
    return found


def _read(
    place: str, number: int, manifest: dict[str, Any], selector: Selector, bulkhead: Bulkhead, deny_private: bool
) -> Candidate | LeftOut | Nameless:
    """Classify one object."""
    metadata = manifest.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name, namespace = _name(manifest), metadata.get("namespace", NAMESPACE)
    key = (namespace, name) if name is not None and isinstance(namespace, str) else None
    origin = {"document": str(number)} | ({"namespace": key[0], "secret": key[1]} if key else {})
    if (reason := _not_a_secret(manifest)) is not None:
        return LeftOut(key, origin, reason)
    labels, faults = _strings("metadata.labels", metadata.get("labels"))
    if not faults and not selector.matches(labels):
        return LeftOut(key, origin, _not_selected(selector, labels))
    if name is None:
        missing = metadata.get("name") in (None, "")
        faults.append(Fault("metadata.name", "schema: is required" if missing else "schema: is not a string"))
    if not isinstance(namespace, str):
        faults.append(Fault("metadata.namespace", "schema: is not a string"))
    data, wrong = _strings("data", manifest.get("data"))
    strings, also_wrong = _strings("stringData", manifest.get("stringData"))
    where, secret = key or (NAMESPACE, "unknown")
    result = bulkhead.hold(
        f"{where}/{secret}" if key else place,
        "secret",
        lambda: parse_base64(data, strings, namespace=where, secret=secret, deny_private=deny_private),
    )
    if key is None:
        return Nameless(place, number, tuple(faults), name, result)
    faults += wrong + also_wrong + _misspelt(manifest)
    return Candidate(where, secret, place, _created(metadata), tuple(faults) or result)


def _misspelt(manifest: Iterable[str]) -> list[Fault]:
    """A fault for each key that is not read and was meant to have values."""
    meant = ((key, VALUES.get(key.lower().replace("_", ""), key)) for key in manifest)
    return [
        Fault(key, f"unknown_field: is no field of a Secret; did you mean '{right}'?")
        for key, right in meant
        if key != right
    ]


def _not_a_secret(manifest: dict[str, Any]) -> str | None:
    """Why an object is not a readable Secret, or None."""
    kind, version = manifest["kind"], manifest.get("apiVersion", "v1")
    if "sops" in manifest or kind.startswith("ENC["):
        return "is encrypted by SOPS; decrypt it before it is put into this folder"
    if kind == "SealedSecret":
        return "is a SealedSecret; only its controller can decrypt it, into a Secret of the cluster"
    if kind == "Secret" and version == "v1":
        return None
    if kind.lower() == "secret" and version in ("v1", "V1"):
        return "its kind is not Secret of v1: kind and apiVersion are written 'Secret' and 'v1'"
    of = shown(version) if isinstance(version, str) else "no version"
    return f"its kind is not Secret of v1 but {shown(kind)} of {of}"


def _not_selected(selector: Selector, labels: Mapping[str, str]) -> str:
    """Why an object is not selected: its values of the selector's labels."""
    have = [f"{key} is {shown(labels[key])}" if key in labels else f"it has no label {key}" for key in selector.keys]
    return f"the label selector does not select it: {', '.join(have)}"


def _name(document: Any) -> str | None:
    """The name in an object's metadata; None without a valid one."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) and name else None


def objects(documents: Iterable[Any], default_kind: str = "") -> Iterator[tuple[Any, Fault | None]]:
    """Every object with its kind, or with its fault; lists are expanded, empty documents are skipped.

    An object's place is its number here, counted from 1.
    """
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            yield document, Fault("document", "schema: holds something that is no object")
            continue
        kind = document.get("kind", default_kind)
        if not isinstance(kind, str) or not kind:
            yield document, Fault("kind", "schema: holds an object without a kind")
        elif kind in ("List", "SecretList"):
            items = document.get("items")
            items = [] if items is None else items
            if isinstance(items, list):
                yield from objects(items, "Secret" if kind == "SecretList" else "")
            else:
                yield document, Fault("items", "schema: the items of a list are no list")
        else:
            yield (document.with_kind(kind) if isinstance(document, Located) else document | {"kind": kind}), None


def _strings(where: str, value: Any) -> tuple[dict[str, str], list[Fault]]:
    """A mapping of strings, and a fault for each other value; an unquoted number is not converted to a string."""
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
