"""The five fields of a cron expression, checked one by one so that a fault can say which one is wrong and why."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

LONGEST = 500
"""Characters of an expression."""
SHOWN = 20
"""Characters of a wrong part that a fault shows."""

WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

TERM = re.compile(r"(?P<start>\*|[^-/]+)(?:-(?P<end>[^-/]+))?(?:/(?P<step>[0-9]{1,4}))?")


class CronError(ValueError):
    """Raised when an expression is wrong; the text says which field, and what was expected."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name, its bounds, the names its numbers have, and the special values it knows."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()
    special: str = r"(?!)"

    def check(self, text: str) -> None:
        """Raise a CronError unless `text` is a list of values, ranges and steps of this field."""
        for term in text.split(","):
            if not re.fullmatch(self.special, term):
                self._check_term(term)

    def _check_term(self, term: str) -> None:
        found = TERM.fullmatch(term)
        if found is None or (found["start"] == "*" and found["end"] is not None):
            raise self._wrong(term)
        start = self.first if found["start"] == "*" else self._value(found["start"])
        if found["end"] is not None and start > self._value(found["end"]):
            raise CronError(f"{self.name}: {shown(term)} runs backwards; write it as two ranges, separated by a comma")
        if found["step"] is None:
            return
        most = self.last - self.first
        if not 1 <= int(found["step"]) <= most:
            raise CronError(f"{self.name}: the step of {shown(term)} must be from 1 to {most}")

    def _value(self, text: str) -> int:
        """The number that a value stands for."""
        if text in self.names:
            return self.names.index(text) + (self.last - len(self.names) + 1 if self.first else 0)
        if not re.fullmatch(r"[0-9]{1,4}", text) or not self.first <= int(text) <= self.last:
            raise self._wrong(text)
        return int(text)

    def _wrong(self, text: str) -> CronError:
        named = f", a name from {self.names[0]} to {self.names[-1]}" if self.names else ""
        return CronError(
            f"{self.name}: {shown(text)} is none of *, a number from {self.first} to {self.last}{named},"
            " a range such as 1-5, a step such as */5"
        )


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31, special=r"LW?"),
    Field("month", 1, 12, MONTHS),
    Field("day of week", 0, 7, DAYS, special=r"[0-7]L|([0-7]|" + "|".join(DAYS) + r")#[1-5]"),
)
ORDER = ", ".join(field.name for field in FIELDS[:-1]) + " and " + FIELDS[-1].name


def shown(text: str) -> str:
    """A part of an expression in quotes, on one line."""
    return ascii(text if len(text) <= SHOWN else text[:SHOWN] + "...")


def five_fields(text: str) -> str:
    """The expression with its five fields in upper case; a word such as `@daily` is replaced by what it means.

    Raises:
        CronError: it is none.
    """
    if len(text) > LONGEST:
        raise CronError(f"is longer than {LONGEST} characters")
    if text.startswith("@"):
        return _word(text.strip().lower())
    if "TZ=" in text:
        raise CronError("names a time zone; set ALERT_REFRESH_TIMEZONE instead")
    parts = text.upper().split()
    if len(parts) in (6, 7):
        raise CronError(f"has {len(parts)} fields; seconds and years are not known, only {ORDER}")
    if len(parts) != len(FIELDS):
        raise CronError(f"has {len(parts)} fields instead of five: {ORDER}")
    for field, part in zip(FIELDS, parts, strict=True):
        field.check(part)
    return " ".join(parts)


def _word(word: str) -> str:
    if word in WORDS:
        return WORDS[word]
    if word == "@reboot":
        raise CronError("@reboot is no time; there is a refresh at every start anyway")
    near = difflib.get_close_matches(word[:SHOWN], WORDS, 1)
    raise CronError(f"{shown(word)} is none of {', '.join(WORDS)}" + (f"; did you mean {near[0]}?" if near else ""))
