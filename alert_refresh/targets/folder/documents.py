"""Parses the documents in a manifest file: YAML (several in one file) or JSON, under limits, without type coercion.

YAML's plain `true`, `1234` or `2001-01-01` is not a string, and is not converted to one: it becomes a `NotText`.
Anchors, aliases and merge keys (`<<`) are supported and counted; tags and repeated keys are refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from alert_refresh.targets.secret import json_text
from alert_refresh.targets.secret.json_text import Unusable
from alert_refresh.targets.secret.words import shown

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 64
MAX_NODES = 1_000_000
MAX_ALIASED = 10_000
"""The highest number of nodes to which the aliases in one file may expand."""

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
RESOLVERS: dict[str | None, list[tuple[str, re.Pattern[str]]]] = yaml.SafeLoader.yaml_implicit_resolvers
NULL = "tag:yaml.org,2002:null"
TEXT_TAGS = (None, "!", "tag:yaml.org,2002:str")
MAP_TAGS = (None, "!", "tag:yaml.org,2002:map")
LIST_TAGS = (None, "!", "tag:yaml.org,2002:seq")
NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+")
"""Numbers of YAML 1.2, which Kubernetes' own tools accept too; PyYAML implements 1.1."""


class NotText:
    """A YAML scalar that is not a string; `source` is its text."""

    __slots__ = ("source",)

    def __init__(self, source: str) -> None:
        self.source = source


def load(name: str, content: bytes, check: Callable[[], object]) -> list[Any]:
    """All documents in the file of this name; `check` is called between them and may raise.

    Raises:
        Unusable: malformed, too complex, or empty as a file is while it is being written.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable("encoding: is not UTF-8") from error
    if not text.strip():
        raise Unusable("schema: is empty")
    return [_json(text)] if name.endswith(".json") else _yaml(text, check)


def _json(text: str) -> Any:
    if text.count("{") + text.count("[") + text.count(",") > MAX_NODES:
        raise Unusable(f"too_complex: more than {MAX_NODES} elements")
    try:
        value = json_text.unique(text)
        if "\\u" in text:
            json_text.refuse_lone_surrogates(value)
        return value
    except RecursionError as error:
        raise Unusable("too_complex: nested too deeply") from error


def _yaml(text: str, check: Callable[[], object]) -> list[Any]:
    documents = []
    loader = None
    try:
        loader = LOADER(text)
        builder = _Builder(loader.get_event)
        while not isinstance(event := loader.get_event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                documents.append(builder.document())
                check()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Unusable(f"schema: is not valid YAML{place}") from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, Unusable):
            raise
        raise Unusable("encoding: has a character that YAML does not allow") from error
    finally:
        if loader is not None:
            loader.dispose()
    return documents


class _Builder:
    """Builds plain values from YAML events."""

    def __init__(self, event: Callable[[], Any]) -> None:
        self._event = event
        self._nodes = 0
        self._aliased = 0
        self._anchors: dict[str, tuple[Any, int] | None] = {}

    def document(self) -> Any:
        self._anchors = {}
        return self._node(self._event(), 1)

    def _node(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if depth > MAX_DEPTH:
            raise Unusable(f"too_complex: nested deeper than {MAX_DEPTH}")
        before = self._nodes
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise Unusable(f"too_complex: more than {MAX_NODES} elements")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(event, depth)
        else:
            value = self._mapping(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._nodes - before
        return value

    def _alias(self, event: Any) -> Any:
        known = self._anchors.get(event.anchor)
        if known is None:
            raise Unusable(f"too_complex: {_at(event)}: an alias stands for nothing, or for what it is in")
        value, size = known
        self._aliased += size
        self._nodes += size
        if self._aliased > MAX_ALIASED:
            raise Unusable(f"too_complex: aliases stand for more than {MAX_ALIASED} elements")
        return value

    def _scalar(self, event: Any) -> Any:
        if event.tag not in TEXT_TAGS:
            raise Unusable(f"schema: {_at(event)}: a tag is not allowed")
        if event.style or event.tag is not None:
            return event.value
        return plain(event.value)

    def _sequence(self, event: Any, depth: int) -> list[Any]:
        if event.tag not in LIST_TAGS:
            raise Unusable(f"schema: {_at(event)}: a tag is not allowed")
        values = []
        while not isinstance(item := self._event(), yaml.SequenceEndEvent):
            values.append(self._node(item, depth + 1))
        return values

    def _mapping(self, event: Any, depth: int) -> dict[str, Any]:
        if event.tag not in MAP_TAGS:
            raise Unusable(f"schema: {_at(event)}: a tag is not allowed")
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(item := self._event(), yaml.MappingEndEvent):
            if _is_merge_key(item):
                merged = self._merge(item, depth) | merged
                continue
            key = self._node(item, depth + 1)
            if not isinstance(key, str):
                raise Unusable(f"schema: {_at(item)}: a key is no string; put it in quotes")
            if key in values:
                raise Unusable(f"repeated_key: {_at(item)}: {shown(key)} is repeated; a key may be there once")
            values[key] = self._node(self._event(), depth + 1)
        return merged | values

    def _merge(self, key: Any, depth: int) -> dict[str, Any]:
        """The items that a merge key adds: of one mapping, or of several of which the first has precedence."""
        value = self._node(self._event(), depth + 1)
        merged: dict[str, Any] = {}
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, dict):
                raise Unusable(f"schema: {_at(key)}: the merge key << takes a mapping or a list of mappings")
            merged = one | merged
        return merged


def _is_merge_key(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.value == "<<" and not event.style and event.tag is None


def _at(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def plain(text: str) -> str | NotText | None:
    """The value of an unquoted scalar: a string, None for null, or a `NotText`."""
    for tag, pattern in RESOLVERS.get(text[:1], []) + RESOLVERS.get(None, []):
        if pattern.match(text):
            return None if tag == NULL else NotText(text)
    return NotText(text) if NUMBER.fullmatch(text) else text
