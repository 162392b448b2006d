"""Plain values parsed from YAML or JSON: markers for unusable ones, and their lines in the text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from alert_refresh.mistakes import may_be_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FEW = 10
"""Items of any list that are shown in a message."""
MOST_PLACES = 100_000
"""Maximum number of values whose lines are recorded."""
LONGEST_KEY = 60
"""Characters of a key that are display."""

Path = tuple[object, ...]
"""The keys and indexes that lead to a value."""


class Other:
    """A value that is valid in no field, such as a date or a fraction; as a key, one that is not text."""


class Repeated(dict[object, object]):
    """A mapping in whose text some keys were repeated: `keys_repeated`; it has the first value of each."""

    keys_repeated: tuple[object, ...] = ()


def mapping(pairs: Iterable[tuple[object, object]]) -> dict[object, object]:
    """A mapping of these pairs; a `Repeated` if a key occurs more than once."""
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
    """The lines of values, by path. `keep` selects the paths that are recorded."""

    def __init__(self, keep: Callable[[Path], bool]) -> None:
        self._keep = keep
        self._lines: dict[Path, tuple[int, ...]] = {}

    def note(self, path: Path, line: int) -> None:
        """Record the line, counted from 1, of the value at `path`; a repeated key has several."""
        lines = self._lines.get(path, ())
        if len(lines) < FEW and line not in lines and len(self._lines) < MOST_PLACES and self._keep(path):
            self._lines[path] = (*lines, line)

    def lines(self, path: Path) -> tuple[int, ...]:
        """The lines of the value at `path`, or of the nearest enclosing value that was recorded."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, ())

    def below(self, key: object) -> Places:
        """The places below `key` of the top-level mapping; `self` if there is no such key."""
        if (key,) not in self._lines:
            return self
        found = Places(self._keep)
        found._lines = {path[1:]: lines for path, lines in self._lines.items() if path[0] == key}
        return found


def in_lines(lines: tuple[int, ...]) -> str:
    """Lines as a suffix of a message, such as ` (line 17)`; empty if none is known."""
    if not lines:
        return ""
    return f" (line {lines[0]})" if len(lines) == 1 else f" (lines {', '.join(map(str, lines[:FEW]))})"


def display(key: object) -> str:
    """A key, made safe to show in a message; one that may hold a credential is not shown."""
    if not isinstance(key, str):
        return "a key that is not text"
    return "a key that is not shown" if may_be_secret(key) else json.dumps(key[:LONGEST_KEY])
