"""Plain values from text, as YAML and JSON give them: what they mark as unusable, and where in the text each one is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FEW = 10
"""So many of anything are listed in a message."""
MOST_PLACES = 100_000
"""Values whose lines are kept at once."""
LONGEST_KEY = 60
"""Characters of a key that are display."""

Path = tuple[object, ...]
"""Keys and indexes that lead to a value."""


class Other:
    """A value that no field has, such as a date or a number with a fraction; as a key, one that is not text."""


class Repeated(dict[object, object]):
    """A mapping that had some keys more than once; `keys_repeated` are those, and their first values count."""

    keys_repeated: tuple[object, ...] = ()


def mapping(pairs: Iterable[tuple[object, object]]) -> dict[object, object]:
    """The mapping of these pairs, a `Repeated` one if a key occurs more than once."""
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    first, repeated = Repeated(), dict[object, None]()
    for key, value in pairs:
        if key in first:
            repeated[key] = None
        else:
            first[key] = value
    first.keys_repeated = tuple(repeated)
    return first


class Places:
    """The lines of values. `keep` says of which paths the lines are wanted."""

    def __init__(self, keep: Callable[[Path], bool]) -> None:
        self._keep = keep
        self._lines: dict[Path, tuple[int, ...]] = {}

    def note(self, path: Path, line: int) -> None:
        """What `path` leads to is in that line, counted from 1; a key that is repeated is in several."""
        lines = self._lines.get(path, ())
        if len(lines) < FEW and line not in lines and len(self._lines) < MOST_PLACES and self._keep(path):
            self._lines[path] = (*lines, line)

    def lines(self, path: Path) -> tuple[int, ...]:
        """Where that value is, or the nearest around it that is known."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, ())

    def below(self, key: object) -> Places:
        """The places below the top mapping's `key`; these very ones if the top is no mapping that has it."""
        if (key,) not in self._lines:
            return self
        found = Places(self._keep)
        found._lines = {path[1:]: lines for path, lines in self._lines.items() if path[0] == key}
        return found


def in_lines(lines: tuple[int, ...]) -> str:
    """Lines as a message ends with them; nothing if none is known."""
    if not lines:
        return ""
    return f" (line {lines[0]})" if len(lines) == 1 else f" (lines {', '.join(map(str, lines[:FEW]))})"


def display(key: object) -> str:
    """A key as a message may show it, whatever it holds."""
    return json.dumps(key[:LONGEST_KEY]) if isinstance(key, str) else "a key that is not text"
