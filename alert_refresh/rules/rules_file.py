"""The rules in a file's bytes, whichever of its forms they have: warm, YAML, JSON or JSON lines. Pure."""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from alert_refresh.engine import Permanent
from alert_refresh.rules import plain, text_file, warm_file
from alert_refresh.rules.rule import BadRule, Checked, Rule, check, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.rules.matcher import Pattern

LARGEST = 256 * 1024 * 1024
"""Bytes of a file that is read at all."""


def tells_its_end(data: bytes) -> bool:
    """Whether a part of these bytes could not be taken for all of them: a whole warm file, or text that says so.

    YAML without an end marker and JSON lines do not: any beginning of them is good by itself.
    """
    return warm_file.has_its_length(data) or (not warm_file.is_warm(data) and text_file.has_an_end(data))


class RulesFile:
    """The bytes of a file; `name` names its content.

    Raises:
        Permanent: a warm file that is damaged (error type `parse`).
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.warm = warm_file.is_warm(data)
        self.name = warm_file.verify(data) if self.warm else hashlib.sha256(data).hexdigest()

    def rules(self, known: Mapping[str, Pattern] = MappingProxyType({})) -> Checked:
        """The rules, with everything that is wrong with any of them. `known` are compiled patterns from before.

        Raises:
            Permanent: it is no file of rules (error types `parse`, `too_large`).
        """
        raw = warm_file.unpack(self._data) if self.warm else text_file.read(self._data)
        if not raw or isinstance(raw[0], Rule):
            return check(cast("list[Rule]", raw), known)
        read = [plain.read(one) for one in raw]
        rules = [one for one in read if isinstance(one, Rule)]
        if len(rules) == len(read):
            return check(rules, known)
        bad = tuple(
            BadRule(number, shown(one.get("id")) if isinstance(one, dict) else None, found)
            for number, (one, found) in enumerate(zip(raw, read, strict=True))
            if not isinstance(found, Rule)
        )
        return Checked({}, bad, {}, {})


def demand_good(checked: Checked) -> None:
    """Let only good rules pass.

    Raises:
        Permanent: a rule is bad (`validate`); it is named by its place, its id and its fields, never by what they hold.
    """
    if checked.bad:
        others = f" (and {len(checked.bad) - 1} more bad rules)" if len(checked.bad) > 1 else ""
        raise Permanent(f"{checked.bad[0]}{others}", "validate")
