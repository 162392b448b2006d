"""Parses YAML into plain values without PyYAML's constructors, which lose repeated keys and read `1:30` as 90.

Supported are text, `true`, `false`, `null`, decimal integers, lists, mappings, anchors and aliases; any other scalar
becomes `Other`. One document, and no tags except those of text, lists and mappings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from alert_refresh.engine import Permanent
from alert_refresh.mistakes import part
from alert_refresh.rules.forms.values import Other, mapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from alert_refresh.rules.forms.values import Path, Places

LARGEST = 8 * 1024 * 1024
"""Maximum bytes of YAML."""
LARGEST_ALIASED = 32 * 1024 * 1024
"""Maximum characters of the text with each alias expanded, as when the rules are written or hashed."""
DEEPEST = 20
"""Maximum nesting of collections; a rule has 3 or 4."""
LOOK = 1024
"""Values that are read between two checks of the deadline."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_TEXT = (None, "!", f"{_TAG}str")
_LIST = (None, "!", f"{_TAG}seq")
_MAPPING = (None, "!", f"{_TAG}map")
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,10})")
_RESOLVERS: dict[Any, list[tuple[str, re.Pattern[str]]]] = yaml.SafeLoader.yaml_implicit_resolvers
_PROBLEMS = {
    "did not find expected ',' or ']'": "expected a comma or ]",
    "did not find expected ',' or '}'": "expected a comma or }",
    "did not find expected '-' indicator": "expected - and a blank; the lines are not indented alike",
    "did not find expected key": "expected a key; the lines are not indented alike, or text follows a closing quote",
    "did not find expected node content": "expected a value",
    "did not find expected <document start>": "expected nothing more",
    "mapping values are not allowed in this context": "a colon that is followed by a blank is not allowed here; write "
    "the value in quotes, or indent the line as those before it",
    "block sequence entries are not allowed in this context": "an item that begins with - is not allowed here",
    "could not find expected ':'": "expected a colon after a key",
    "found unexpected end of stream": "the text ends within quotes",
    "found unexpected document indicator": "the document ends within quotes",
    "found character that cannot start any token": "a value cannot begin with this character; write it in quotes",
    "found unknown escape character": "this escape sequence is unknown",
    "did not find expected alphabetic or numeric character": "expected a name after & or *; write a value that begins "
    "so in quotes",
}
"""libyaml's problems in words of our own; one that is not here is not told, as it may hold text of the file."""
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+")
"""Numbers in YAML 1.2 that are not numbers in YAML 1.1, which PyYAML implements."""


def read(text: str, check: Callable[[], object], places: Places | None = None) -> Any:
    """The value of the document; None if there is none. `check` is called periodically and may raise.

    Raises:
        Permanent: malformed, unsupported or too large (error types `parse`, `too_large`).
    """
    loader = None
    try:
        loader = _LOADER(text)
        return _Builder(loader.get_event, check, places).document()
    except yaml.MarkedYAMLError as error:
        raise _refused(position(text, error)) from error
    except yaml.reader.ReaderError as error:
        bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
        line = text.count("\n", 0, bad.start() if bad else 0) + 1
        raise _refused(f": line {line} has a character that YAML does not allow") from error
    finally:
        if loader is not None:
            loader.dispose()


def position(text: str, error: Any) -> str:
    """The position where a text is malformed, the reason if known, and where that which is malformed begins."""
    mark, around = error.problem_mark, error.context_mark
    place = f": line {mark.line + 1}, column {mark.column + 1}"
    if text[mark.index : mark.index + 1] == "\t":
        return f"{place}: a tab cannot indent"
    reason = _PROBLEMS.get(error.problem)
    within = "" if around is None else f" (within what begins in line {around.line + 1})"
    return f"{place}{f': {reason}' if reason else ''}{within}"


def _refused(why: str) -> Permanent:
    return Permanent(f"the rules file is not YAML{why}", "parse")


class _Builder:
    """Builds plain values from YAML events."""

    def __init__(self, event: Callable[[], Any], check: Callable[[], object], places: Places | None) -> None:
        self._event = event
        self._check = check
        self._places = places
        self._values = 0
        self._size = 0
        self._anchors: dict[str, tuple[Any, int] | None] = {}

    def document(self) -> Any:
        self._event()
        event = self._event()
        if isinstance(event, yaml.StreamEndEvent):
            return None
        found = self._node(self._event(), (), 0)
        self._event()
        event = self._event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise _refused(f" of one document: a second one begins in line {_line(event)}")
        return found

    def _node(self, event: Any, path: Path, depth: int) -> Any:
        self._values += 1
        if self._values % LOOK == 0:
            self._check()
        before = self._size
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        elif depth == DEEPEST:
            raise _refused(f": more than {DEEPEST} nested lists and mappings in line {_line(event)}")
        else:
            if event.anchor is not None:
                self._anchors[event.anchor] = None
            collection = self._list if isinstance(event, yaml.SequenceStartEvent) else self._mapping
            value = collection(event, path, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._size - before
        return value

    def _alias(self, event: Any) -> Any:
        known = self._anchors.get(event.anchor)
        if known is None:
            raise _refused(f": the alias in line {_line(event)} has no anchor before it, or is inside its own anchor")
        value, size = known
        self._grow(size)
        return value

    def _scalar(self, event: Any) -> Any:
        self._tag(event, _TEXT)
        self._grow(len(event.value) + 1)
        return plain(event.value) if event.tag is None and not event.style else event.value

    def _list(self, event: Any, path: Path, depth: int) -> list[Any]:
        self._tag(event, _LIST)
        values: list[Any] = []
        while not isinstance(item := self._event(), yaml.SequenceEndEvent):
            within = path if self._places is None else self._below(path, len(values), item)
            values.append(self._node(item, within, depth))
        return values

    def _mapping(self, event: Any, path: Path, depth: int) -> dict[object, object]:
        self._tag(event, _MAPPING)
        pairs = []
        while not isinstance(item := self._event(), yaml.MappingEndEvent):
            key = self._key(item, path, depth)
            within = path if self._places is None else self._below(path, key, item)
            pairs.append((key, self._node(self._event(), within, depth)))
        return mapping(pairs)

    def _key(self, event: Any, path: Path, depth: int) -> object:
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and not event.style:
            where = f"the merge key << in line {_line(event)} is not supported"
            raise _refused(f" that is read: {where}; write the fields out")
        key = self._node(event, path, depth)
        return key if isinstance(key, str) else Other()

    def _below(self, path: Path, key: object, event: Any) -> Path:
        """The path of an item below `path`; its line is recorded."""
        assert self._places is not None
        self._places.note((*path, key), _line(event))
        return (*path, key)

    def _tag(self, event: Any, allowed: tuple[str | None, ...]) -> None:
        if event.tag not in allowed:
            name = "!!" + event.tag.removeprefix(_TAG) if event.tag.startswith(_TAG) else event.tag
            raise _refused(f" that is read: the tag {part(name)} in line {_line(event)} is not supported")

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > LARGEST_ALIASED:
            raise Permanent(
                f"the aliases make the rules file larger than {LARGEST_ALIASED >> 20} MiB of text", "too_large"
            )


def plain(text: str) -> object:
    """The value of a scalar without quotes."""
    for tag, pattern in _RESOLVERS.get(text[:1], ()):
        if pattern.match(text):
            return _typed(tag.removeprefix(_TAG), text)
    return Other() if _NUMBER.fullmatch(text) else text


def _typed(tag: str, text: str) -> object:
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() in ("true", "yes", "on")
    return int(text) if _WHOLE.fullmatch(text) else text if tag == "merge" else Other()


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1
