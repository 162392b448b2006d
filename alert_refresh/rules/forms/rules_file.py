"""Parses the content of a file of rules in any format: warm, YAML, JSON or JSON lines. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from alert_refresh.engine import Permanent
from alert_refresh.rules import faults
from alert_refresh.rules.forms import plain, text_file, warm_file
from alert_refresh.rules.forms.text_file import never
from alert_refresh.rules.forms.values import FEW
from alert_refresh.rules.rule import BadRule, Checked, Rule, check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alert_refresh.rules.matcher import Pattern

LARGEST = 256 * 1024 * 1024
"""Maximum bytes of a file of any format."""
MOST_LOCATED = 1000
"""Invalid rules for which line numbers are determined."""
LOOK = 1024
"""Rules that are read between two checks of the deadline."""


def is_self_delimiting(data: bytes) -> bool:
    """Whether truncation of these bytes would be detected: a complete warm file, JSON, or YAML with an end marker.

    YAML without an end marker and JSON lines are not self-delimiting: any prefix may be valid.
    """
    return warm_file.has_full_length(data) or (not warm_file.is_warm(data) and text_file.is_self_delimiting(data))


class RulesFile:
    """The content of a file of rules; `name` is a hash that identifies the content.

    Raises:
        Permanent: a warm file that is damaged (error type `parse`).
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.warm = warm_file.is_warm(data)
        self.name = warm_file.verify(data) if self.warm else hashlib.sha256(data).hexdigest()

    def rules(self, known: Mapping[str, Pattern] = MappingProxyType({}), look: Callable[[], object] = never) -> Checked:
        """The checked rules, with all faults of the invalid ones. `known` are compiled patterns to reuse.

        `look` is called periodically and may raise: it checks the deadline.

        Raises:
            Permanent: it is not a file of rules (error types `parse`, `too_large`).
        """
        text = None if self.warm else text_file.Text(self._data, look)
        raw = warm_file.unpack(self._data) if text is None else text.rules()
        checked = _check(raw, known, look)
        if checked.good:
            return checked
        bad = faults.every(raw, look)
        return replace(checked, bad=bad if text is None else _located(bad, text))


def _check(raw: list[Rule] | list[object], known: Mapping[str, Pattern], look: Callable[[], object]) -> Checked:
    if not raw or isinstance(raw[0], Rule):
        return check(cast("list[Rule]", raw), known)
    read: list[Rule] = []
    for number, one in enumerate(raw):
        if number % LOOK == 0:
            look()
        rule = plain.read(one)
        if rule is None:
            return Checked({}, False, {}, {})
        read.append(rule)
    return check(read, known)


def _located(bad: tuple[BadRule, ...], text: text_file.Text) -> tuple[BadRule, ...]:
    """The same rules with line numbers, for the first `MOST_LOCATED`."""
    places = text.places({one.index for one in bad[:MOST_LOCATED]})
    return tuple(
        replace(one, faults=tuple(replace(f, lines=places.lines((one.index, *f.path))) for f in one.faults))
        for one in bad
    )


def demand_good(checked: Checked) -> None:
    """Raise an error if a rule is invalid.

    Raises:
        Permanent: a rule is invalid (`validate`); the message has its index, id and fields, but no values.
    """
    if not checked.good:
        said = [fault for one in checked.bad for fault in one.messages()]
        more = f"; and {len(said) - FEW} more faults" if len(said) > FEW else ""
        raise Permanent("; ".join(said[:FEW]) + more, "validate")
