"""The rules in a file's bytes, whichever of its forms they have: warm, YAML, JSON or JSON lines. Pure."""

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
"""Bytes of a file that is read at all."""
MOST_LOCATED = 1000
"""Bad rules whose lines are looked for."""
LOOK = 1024
"""So many rules are read between two looks at the deadline."""


def is_self_delimiting(data: bytes) -> bool:
    """Whether a part of these bytes could not be taken for all of them: a whole warm file, or text that says so.

    YAML without an end marker and JSON lines do not: any beginning of them is good by itself.
    """
    return warm_file.has_full_length(data) or (not warm_file.is_warm(data) and text_file.is_self_delimiting(data))


class RulesFile:
    """The bytes of a file; `name` names its content.

    Raises:
        Permanent: a warm file that is damaged (error type `parse`).
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.warm = warm_file.is_warm(data)
        self.name = warm_file.verify(data) if self.warm else hashlib.sha256(data).hexdigest()

    def rules(self, known: Mapping[str, Pattern] = MappingProxyType({}), look: Callable[[], object] = never) -> Checked:
        """The rules, with everything that is wrong with any of them. `known` are compiled patterns from before.

        `look` is called now and then and may raise: it looks at the deadline.

        Raises:
            Permanent: it is no file of rules (error types `parse`, `too_large`).
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
    """The same with their lines, as far as they are among the first `MOST_LOCATED`."""
    places = text.places({one.index for one in bad[:MOST_LOCATED]})
    return tuple(
        replace(one, faults=tuple(replace(f, lines=places.lines((one.index, *f.path))) for f in one.faults))
        for one in bad
    )


def demand_good(checked: Checked) -> None:
    """Let only good rules pass.

    Raises:
        Permanent: a rule is bad (`validate`); it is named by its place, its id and its fields, never by what they hold.
    """
    if not checked.good:
        said = [fault for one in checked.bad for fault in one.messages()]
        more = f"; and {len(said) - FEW} more faults" if len(said) > FEW else ""
        raise Permanent("; ".join(said[:FEW]) + more, "validate")
