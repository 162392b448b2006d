"""Parses the documents in a manifest file: YAML (several in one file) or JSON, under limits, without type coercion.

YAML's plain `true`, `1234` or `2001-01-01` is not a string, and is not converted to one: it becomes a `NotText`.
Anchors, aliases and merge keys (`<<`) are supported and counted; tags and repeated keys are refused.
"""

from __future__ import annotations

import re
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

from alert_refresh.targets.secret import json_text
from alert_refresh.targets.secret.json_text import Unusable
from alert_refresh.targets.secret.words import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


class Located(dict[str, Any]):
    """A mapping that knows its line in the file, and that of each of its keys."""

    line: int = 1
    lines: Mapping[str, int] = MappingProxyType({})

    def with_kind(self, kind: str) -> Located:
        """The same with that kind."""
        made = Located(self, kind=kind)
        made.line, made.lines = self.line, self.lines
        return made


def load(name: str, content: bytes, check: Callable[[], object], *, located: bool = False) -> list[Any]:
    """All documents in the file of this name; `check` is called between them and may raise.

    With `located` their mappings are `Located`, which takes more time.

    Raises:
        Unusable: malformed, too complex, or empty as a file is while it is being written.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable("encoding: is not UTF-8") from error
    if not text.strip():
        raise Unusable("schema: is empty")
    return [_json(text, located)] if name.endswith(".json") else _yaml(text, check, located)


def _json(text: str, located: bool) -> Any:
    if text.count("{") + text.count("[") + text.count(",") > MAX_NODES:
        raise Unusable(f"too_complex: more than {MAX_NODES} elements")
    try:
        made: list[Located] = []
        value = json_text.unique(text, partial(_made, made) if located else dict)
        if "\\u" in text:
            json_text.refuse_lone_surrogates(value)
        for one, (line, lines) in zip(made, json_text.object_lines(text) if located else (), strict=True):
            one.line, one.lines = line, lines
        return value
    except RecursionError as error:
        raise Unusable("too_complex: nested too deeply") from error


def _made(made: list[Located], pairs: list[tuple[str, Any]]) -> Located:
    made.append(Located(pairs))
    return made[-1]


def _yaml(text: str, check: Callable[[], object], located: bool) -> list[Any]:
    documents = []
    loader = None
    try:
        loader = LOADER(text)
        builder = _Builder(loader.get_event, located)
        while not isinstance(event := loader.get_event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                documents.append(builder.document())
                check()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Unusable(f"schema: is not valid YAML{place}", mark.line + 1 if mark else None) from error
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

    def __init__(self, event: Callable[[], Any], located: bool) -> None:
        self._event = event
        self._located = located
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
            raise _unusable("too_complex", event, "an alias stands for nothing, or for what it is in")
        value, size = known
        self._aliased += size
        self._nodes += size
        if self._aliased > MAX_ALIASED:
            raise Unusable(f"too_complex: aliases stand for more than {MAX_ALIASED} elements")
        return value

    def _scalar(self, event: Any) -> Any:
        if event.tag not in TEXT_TAGS:
            raise _unusable("schema", event, "a tag is not allowed")
        if event.style or event.tag is not None:
            return event.value
        return plain(event.value)

    def _sequence(self, event: Any, depth: int) -> list[Any]:
        if event.tag not in LIST_TAGS:
            raise _unusable("schema", event, "a tag is not allowed")
        values = []
        while not isinstance(item := self._event(), yaml.SequenceEndEvent):
            values.append(self._node(item, depth + 1))
        return values

    def _mapping(self, event: Any, depth: int) -> dict[str, Any]:
        if event.tag not in MAP_TAGS:
            raise _unusable("schema", event, "a tag is not allowed")
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(item := self._event(), yaml.MappingEndEvent):
            if _is_merge_key(item):
                merged = self._merge(item, depth) | merged
                continue
            key = self._node(item, depth + 1)
            if not isinstance(key, str):
                raise _unusable("schema", item, "a key is no string; put it in quotes")
            if key in values:
                raise _unusable("repeated_key", item, f"{shown(key)} is repeated; a key may be there once")
            values[key] = self._node(self._event(), depth + 1)
            if self._located:
                lines[key] = item.start_mark.line + 1
        return self._mapped(merged | values, event, lines)

    def _mapped(self, values: dict[str, Any], event: Any, lines: dict[str, int]) -> dict[str, Any]:
        """The mapping that begins with `event`."""
        if not self._located:
            return values
        made = Located(values)
        made.line, made.lines = event.start_mark.line + 1, lines
        return made

    def _merge(self, key: Any, depth: int) -> dict[str, Any]:
        """The items that a merge key adds: of one mapping, or of several of which the first has precedence."""
        value = self._node(self._event(), depth + 1)
        merged: dict[str, Any] = {}
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, dict):
                raise _unusable("schema", key, "the merge key << takes a mapping or a list of mappings")
            merged = one | merged
        return merged


def _is_merge_key(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.value == "<<" and not event.style and event.tag is None


def _unusable(code: str, event: Any, problem: str) -> Unusable:
    line = event.start_mark.line + 1
    return Unusable(f"{code}: line {line}: {problem}", line)


def plain(text: str) -> str | NotText | None:
    """The value of an unquoted scalar: a string, None for null, or a `NotText`."""
    for tag, pattern in RESOLVERS.get(text[:1], []) + RESOLVERS.get(None, []):
        if pattern.match(text):
            return None if tag == NULL else NotText(text)
    return NotText(text) if NUMBER.fullmatch(text) else text
