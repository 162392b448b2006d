"""YAML as trees of what is written, so that a configuration keeps its meaning for Alertmanager's Go parser.

A scalar without quotes stays as it is written, such as `yes`, `012`, `1e3` or `~`: what it means is decided by the
type that Alertmanager reads it into. Aliases are expanded; repeated keys are faults. Comments are lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from alert_refresh.rules.forms.yaml_text import position

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_EXPANDED = 16 * 1024 * 1024
"""Maximum characters of a text with each alias expanded."""
DEEPEST = 100
"""Maximum nesting of collections; each level of routes takes two."""
LONGEST_KEY = 1000
"""Maximum characters of a key as it is written; YAML allows 1024."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_TEXT = (None, "!", f"{_TAG}str")
_TYPED = frozenset(f"{_TAG}{name}" for name in ("int", "float", "bool", "null", "timestamp", "binary", "merge"))
_COLLECTION = {yaml.SequenceStartEvent: (None, "!", f"{_TAG}seq"), yaml.MappingStartEvent: (None, "!", f"{_TAG}map")}
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_WORDS = _NULL | frozenset(
    f(word) for word in ("y", "n", "yes", "no", "true", "false", "on", "off") for f in (str.lower, str.title, str.upper)
)
_TYPED_PLAIN = re.compile(
    r"(?=.*[0-9A-Za-z])[-+.0-9][-+.0-9A-Za-z_:]*(?<!:)(?:(?<=-[0-9]|[0-9]{2})[ \t]+[0-9][-+0-9:. Z]*(?<![: ]))?",
    re.ASCII,
)
"""What Go's parser may read as a number or a time."""
_SAFE_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*", re.ASCII)
_PRINTABLE = re.compile(r"[ !#-\[\]-~]*")
_LITERAL = re.compile(r"[ -&(-~]*")
_ESCAPED = re.compile(r'[\x00-\x1f"\\\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]')


class BadYaml(ValueError):
    """Raised when a text cannot be used: the line and the reason, without the text."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar: its text, the line where it begins, whether it has no quotes, and its tag unless that is of text."""

    text: str
    line: int
    plain: bool = False
    tag: str | None = None

    @property
    def value(self) -> str:
        """What Go reads into a string; empty for null."""
        return "" if self.plain and self.text in _NULL else self.text


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping as pairs, in their order."""

    pairs: tuple[tuple[Scalar, Node], ...]
    line: int

    def without(self, *names: str) -> tuple[tuple[Scalar, Node], ...]:
        """The pairs with other keys than these."""
        return tuple(pair for pair in self.pairs if pair[0].text not in names)

    def get(self, name: str) -> Node | None:
        """What Go's parser finds under a key; None if it is absent or null."""
        found = {key.text: value for key, value in self.merged()}.get(name)
        return None if found is None or is_null(found) else found

    def merged(self) -> tuple[tuple[Scalar, Node], ...]:
        """The pairs with merge keys (`<<`) resolved as Go's parser does: what comes last counts."""
        found: dict[str, tuple[Scalar, Node]] = {}
        for key, value in self.pairs:
            if key.text == "<<" and key.plain:
                for one in value.items[::-1] if isinstance(value, Sequence) else (value,):
                    found |= {pair[0].text: pair for pair in one.merged()} if isinstance(one, Mapping) else {}
            else:
                found[key.text] = key, value
        return tuple(found.values())


Node = Scalar | Sequence | Mapping


def is_null(node: Node) -> bool:
    """Whether a node is no value."""
    return isinstance(node, Scalar) and node.plain and node.text in _NULL


def text(value: str) -> Scalar:
    """A scalar that is text, whatever it looks like."""
    return Scalar(value, 0)


def read(source: str) -> Node | None:
    """The one document of a text; None if it has none.

    Raises:
        BadYaml: it is malformed, too large or too deep, has a repeated key, or a tag that has no meaning.
    """
    loader = None
    try:
        loader = _LOADER(source)
        return _Reading(loader).document()
    except yaml.MarkedYAMLError as error:
        raise BadYaml(f"it is not YAML{position(source, error)}") from None
    except yaml.reader.ReaderError:
        bad = yaml.reader.Reader.NON_PRINTABLE.search(source)
        line = source.count("\n", 0, bad.start() if bad else 0) + 1
        raise BadYaml(f"line {line} has a character that YAML does not allow") from None
    finally:
        if loader is not None:
            loader.dispose()


class _Reading:
    """The events of one text, turned into nodes."""

    def __init__(self, loader: Any) -> None:
        self._event = loader.get_event
        self._size = 0
        self._anchors: dict[str, tuple[Node, int] | None] = {}

    def document(self) -> Node | None:
        self._event()
        if isinstance(self._event(), yaml.StreamEndEvent):
            return None
        found = self._node(self._event(), 0)
        self._event()
        event = self._event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise BadYaml(f"a second document begins in line {_line(event)}; Alertmanager would not read it")
        return found

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._size
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        else:
            if depth == DEEPEST:
                raise BadYaml(f"more than {DEEPEST} nested lists and mappings in line {_line(event)}")
            if event.tag not in _COLLECTION[type(event)]:
                raise BadYaml(f"the tag in line {_line(event)} is not supported")
            if event.anchor is not None:
                self._anchors[event.anchor] = None
            self._grow(1)
            collection = self._sequence if isinstance(event, yaml.SequenceStartEvent) else self._mapping
            node = collection(event, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = node, self._size - before
        return node

    def _alias(self, event: Any) -> Node:
        known = self._anchors.get(event.anchor)
        if known is None:
            raise BadYaml(f"the alias in line {_line(event)} has no anchor before it, or is inside its own anchor")
        self._grow(known[1])
        return known[0]

    def _scalar(self, event: Any) -> Scalar:
        self._grow(len(event.value) + 1)
        plain = event.tag is None and not event.style
        if event.tag not in _TEXT and event.tag not in _TYPED:
            raise BadYaml(f"the tag in line {_line(event)} is not supported")
        tag = None if event.tag in _TEXT else event.tag.removeprefix(_TAG)
        return Scalar(event.value, _line(event), plain, tag)

    def _sequence(self, event: Any, depth: int) -> Sequence:
        items = []
        while not isinstance(item := self._event(), yaml.SequenceEndEvent):
            items.append(self._node(item, depth))
        return Sequence(tuple(items), _line(event))

    def _mapping(self, event: Any, depth: int) -> Mapping:
        pairs: list[tuple[Scalar, Node]] = []
        seen: set[tuple[str, bool]] = set()
        while not isinstance(item := self._event(), yaml.MappingEndEvent):
            key = self._node(item, depth)
            if not isinstance(key, Scalar) or key.tag is not None or len(scalar(key)) > LONGEST_KEY:
                raise BadYaml(f"the key in line {_line(item)} is not a short text")
            if is_null(key):
                raise BadYaml(f"the key in line {_line(item)} is empty")
            name = (key.text, key.plain and key.text == "<<")
            if name in seen:
                raise BadYaml(f"the key in line {_line(item)} is there twice")
            seen.add(name)
            pairs.append((key, self._node(self._event(), depth)))
        return Mapping(tuple(pairs), _line(event))

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > LARGEST_EXPANDED:
            raise BadYaml(f"its aliases make it larger than {LARGEST_EXPANDED >> 20} MiB")


def quoted(value: str) -> str:
    """A text in quotes: in single ones where that saves escapes."""
    if _PRINTABLE.fullmatch(value):
        return f'"{value}"'
    if _LITERAL.fullmatch(value):
        return f"'{value}'"
    return f'"{_ESCAPED.sub(_escape, value)}"'


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in '"\\':
        return f"\\{character}"
    if character == "\n":
        return "\\n"
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def scalar(node: Scalar) -> str:
    """A scalar on one line, with the same meaning for Go's parser as where it was read."""
    if node.tag is not None:
        return f"!!{node.tag} {quoted(node.text)}"
    if not node.plain:
        return quoted(node.text)
    keep = (
        node.text in _WORDS
        or node.text == "<<"
        or _TYPED_PLAIN.fullmatch(node.text)
        or _SAFE_PLAIN.fullmatch(node.text)
    )
    return node.text if keep else quoted(node.text)


def write(node: Mapping | Sequence, pad: str = "") -> Iterator[str]:
    """The lines of a list or a mapping that is not empty, in block style, each after `pad`."""
    if isinstance(node, Sequence):
        for item in node.items:
            yield from _item(item, pad)
    else:
        yield from write_pairs(node.pairs, pad)


def write_pairs(pairs: tuple[tuple[Scalar, Node], ...], pad: str = "") -> Iterator[str]:
    """The lines of the pairs of a mapping."""
    for key, value in pairs:
        inline = _inline(value)
        if inline is not None:
            yield f"{pad}{scalar(key)}: {inline}".rstrip()
        else:
            assert not isinstance(value, Scalar)
            yield f"{pad}{scalar(key)}:"
            yield from write(value, pad if isinstance(value, Sequence) else f"{pad}  ")


def _item(item: Node, pad: str) -> Iterator[str]:
    """The lines of an item of a list: its first line has the dash where the others have blanks."""
    inline = _inline(item)
    if inline is not None:
        yield f"{pad}- {inline}".rstrip()
        return
    assert not isinstance(item, Scalar)
    lines = write(item, f"{pad}  ")
    yield f"{pad}- {next(lines)[len(pad) + 2 :]}"
    yield from lines


def _inline(node: Node) -> str | None:
    """A scalar or an empty collection on one line; None for other nodes."""
    if isinstance(node, Scalar):
        return scalar(node)
    if isinstance(node, Sequence):
        return None if node.items else "[]"
    return None if node.pairs else "{}"


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1
