"""Text for people: aligned tables, ages in words, JSON lines. Whatever controls a terminal is escaped."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

GAP = "   "
MINUTE, HOUR, DAY = 60, 3600, 86400


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns below their heads, aligned; None is `-`, and nothing pads the last column."""
    from alert_refresh.observe.formats import escape

    lines = [[escape(shown(cell)) for cell in line] for line in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def quantity(number: int, noun: str, nouns: str = "") -> str:
    """Such as `1 rule`, `2 rules` or `2 families`; `nouns` is for those that do not end with an s alone."""
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"


def pairs(fields: Mapping[str, object]) -> str:
    """`name: value` lines, aligned; a list has a line for each element, and an empty one is left out."""
    from alert_refresh.observe.formats import escape

    width = max(map(len, fields), default=0) + 1
    lines = []
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        for number, one in enumerate(values):
            head = f"{name}:" if number == 0 else ""
            lines.append(f"{head:<{width}} {escape(shown(one))}")
    return "\n".join(lines)


def shown(value: object) -> str:
    """A value as text: None and an empty text as `-`, yes and no, objects as JSON."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def json_line(fields: Any) -> str:
    """JSON on one line, in ASCII, and without DEL, the only control character that JSON leaves."""
    return json.dumps(fields).replace("\x7f", "\\u007f")


def age(seconds: float | None) -> str | None:
    """A duration as kubectl shows ages: `45s`, `3m12s`, `25m`, `3h5m`, `26h`, `2d3h`, `9d`."""
    if seconds is None:
        return None
    whole = max(0, int(seconds))
    for unit, letter, smaller, small in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "m"), (MINUTE, "m", 1, "s")):
        if whole >= 2 * unit:
            count, rest = divmod(whole, unit)
            more = rest // smaller if count < 8 else 0
            return f"{count}{letter}{more}{small}" if more else f"{count}{letter}"
    return f"{whole}s"


def unix(at: str | None) -> float | None:
    """RFC 3339 to Unix seconds; None for None, and for what is no time."""
    try:
        return None if at is None else datetime.fromisoformat(at).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def since(at: str | None, now: float) -> str | None:
    """How long ago a time in RFC 3339 was; `now` in Unix seconds."""
    then = unix(at)
    return None if then is None else age(now - then)


def until(at: str | None, now: float) -> str | None:
    """How long it is until a time in RFC 3339; `now` in Unix seconds."""
    then = unix(at)
    return None if then is None else age(then - now)
