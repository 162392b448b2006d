"""Parses one JSON document, or JSON lines, into plain values, detecting repeated keys and recording lines."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Permanent
from alert_refresh.rules.forms.values import Other, mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alert_refresh.rules.forms.values import Places

LOOK = 1024
"""Lines or tokens that are read between two checks of the deadline."""

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{},\n]|[^\s\[\]{},:"]++')


def _integer(text: str) -> object:
    """A whole number; `Other` for one with so many digits that parsing it is slow."""
    return int(text) if len(text) < 20 else Other()


def _other(_: str) -> Other:
    """`Other` for a number with a fraction, or one that is not JSON, such as NaN."""
    return Other()


_decode = json.JSONDecoder(
    object_pairs_hook=mapping, parse_int=_integer, parse_float=_other, parse_constant=_other
).decode


def read(text: str, check: Callable[[], object]) -> Any:
    """The value of the document, or a list with the value of each line; a single rule becomes a list of one.

    Raises:
        Permanent: malformed (error type `parse`).
    """
    try:
        found = _decode(text)
    except RecursionError as error:
        raise Permanent("the rules file is JSON with too many nested lists and mappings", "parse") from error
    except json.JSONDecodeError as error:
        if not _is_lines(text):
            raise _refused("JSON", error.lineno, error) from error
        return [value for _, value in _lines(text, check)]
    return [found] if _is_rule(found) else found


def locate(text: str, check: Callable[[], object], places: Places) -> None:
    """Record in `places` the lines of a text that `read` has parsed."""
    if _is_lines(text):
        for index, (line, _) in enumerate(_lines(text, check)):
            places.note((index,), line)
    else:
        _Scan(places, check, [0] if _is_rule(_decode(text)) else []).run(text)


def _is_rule(found: object) -> bool:
    return isinstance(found, dict) and "id" in found


def _is_lines(text: str) -> bool:
    """Whether the first line that is not blank is a complete object, and more lines follow."""
    first, _, rest = text.strip().partition("\n")
    if not rest or not first.startswith("{"):
        return False
    try:
        _decode(first)
    except (json.JSONDecodeError, RecursionError):
        return False
    return True


def _lines(text: str, check: Callable[[], object]) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text.split("\n"), 1):
        if number % LOOK == 0:
            check()
        if line.strip():
            try:
                yield number, _decode(line)
            except json.JSONDecodeError as error:
                raise _refused("JSON lines", number, error) from error
            except RecursionError as error:
                raise Permanent(
                    f"the rules file is not JSON lines: line {number} is nested too deeply", "parse"
                ) from error


def _refused(form: str, line: int, error: json.JSONDecodeError) -> Permanent:
    return Permanent(f"the rules file is not {form}: line {line}, column {error.colno}", "parse")


class _Scan:
    """Records the lines of the values of a well-formed document."""

    def __init__(self, places: Places, check: Callable[[], object], path: list[object]) -> None:
        """`path` is the path of the document itself."""
        self._places = places
        self._check = check
        self._path = path

    def run(self, text: str) -> None:
        line, key_follows = 1, False
        for number, part in enumerate(match[0] for match in _TOKEN.finditer(text)):
            if number % LOOK == 0:
                self._check()
            if part == "\n":
                line += 1
                continue
            if key_follows and part[0] == '"':
                self._path[-1] = json.loads(part)
                self._places.note(tuple(self._path), line)
            elif part not in ("]", "}", ",") and self._path and isinstance(self._path[-1], int):
                self._places.note(tuple(self._path), line)
            key_follows = self._step(part)

    def _step(self, part: str) -> bool:
        """Enter a collection, leave it or go to its next item; returns whether a key follows."""
        if part in ("{", "["):
            self._path.append(None if part == "{" else 0)
        elif part in ("]", "}"):
            self._path.pop()
        elif part == ",":
            self._path[-1] = self._path[-1] + 1 if isinstance(self._path[-1], int) else None
        return part == "{" or (part == "," and self._path[-1] is None)
