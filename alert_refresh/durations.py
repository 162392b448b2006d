"""Durations as Go writes them (`1m30s`, `300ms`): read and printed in one place.

Source: time.ParseDuration and time.Duration.String of Go.
"""

from __future__ import annotations

import re

LONGEST = (2**63 - 1) / 1e9
"""Seconds; what Go's Duration holds, 292 years."""
SHORTEST = 1e-9
"""Seconds; what is shorter is 0, as in Go."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ns": 1e-9}
"""Seconds; the micro sign may be U+00B5 or the Greek letter."""
_PART = re.compile(rf"([0-9]{{1,20}}(?:\.[0-9]{{1,20}})?)({'|'.join(sorted(_UNITS, key=len, reverse=True))})")
_DURATION = re.compile(rf"(?:{_PART.pattern}){{1,8}}")


def parse(text: str) -> float:
    """Seconds, 0 or more; `0` needs no unit.

    Raises:
        ValueError: not a duration, or longer than 292 years; the message says which and never holds the text.
    """
    if text != "0" and not _DURATION.fullmatch(text):
        raise ValueError(f"is not a duration such as 30s, 5m or 1m30s{_why(text)}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if seconds > LONGEST:
        raise ValueError("is longer than 292 years")
    return seconds if seconds >= SHORTEST else 0.0


def _why(text: str) -> str:
    """The end of the message: the mistake that was probably made; empty if it is another one."""
    if re.fullmatch(r"[0-9.]+", text):
        return "; it has no unit"
    if re.match(r"[+-]", text):
        return "; it has a sign"
    if re.search(r"\s", text):
        return "; it has a blank"
    if not text.isascii():
        return "; it has a character that is not ASCII"
    if re.fullmatch(r"([0-9]+(\.[0-9]+)?[A-Za-z]+)+", text):
        return "; the units are h, m, s, ms, us and ns, in lower case"
    return ""


def show(seconds: float) -> str:
    """Seconds as one writes them in a setting: `1m30s`, `30s`, `200ms`; to the millisecond."""
    milliseconds = round(seconds * 1000)
    if milliseconds % 1000:
        return f"{milliseconds}ms" if milliseconds < 1000 else f"{milliseconds / 1000:g}s"
    minutes, rest = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{value}{unit}" for value, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if value]
    return "".join(parts) or "0s"
