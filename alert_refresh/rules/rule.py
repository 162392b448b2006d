"""A rule, its faults, and the check that rules are valid. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct, to_builtins

from alert_refresh.dns_label import DNS_LABEL
from alert_refresh.rules.forms import values
from alert_refresh.rules.forms.values import in_lines
from alert_refresh.rules.matcher import Matcher, Pattern, compile_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,199}")
ROUTES = frozenset(("status", "refresh", "match", "approve", "reject"))
"""Reserved ids: these words are routes below `rules/`."""
MOST = 100
"""Matchers, targets or annotations of one rule."""
INT32 = 2**31
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")


class Rule(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Which alerts go to which targets. All matchers in `match` must accept an alert; an empty `match` accepts all.

    Rules are ordered by descending `priority`. A refresh can be restricted to one `family`.
    """

    id: str
    family: str = "default"
    enabled: bool = True
    priority: Annotated[int, Meta(ge=-INT32, lt=INT32)] = 0
    match: Annotated[tuple[Matcher, ...], Meta(max_length=MOST)] = ()
    targets: Annotated[tuple[str, ...], Meta(max_length=MOST)] = ()
    description: str = ""
    annotations: Annotated[dict[str, str], Meta(max_length=MOST)] = {}


@dataclass(frozen=True, slots=True)
class RuleFault:
    """A fault of a rule: its path within the rule, the reason, and the lines of the file, if known."""

    path: tuple[object, ...]
    message: str
    lines: tuple[int, ...] = ()

    @property
    def field(self) -> str:
        """The path as it is written, such as `match[1]`; empty for the whole rule."""
        return "".join(map(_step, self.path)).removeprefix(".")


@dataclass(frozen=True, slots=True)
class BadRule:
    """An invalid rule: its index in the file, its id if that is valid, and every fault."""

    index: int
    id: str | None
    faults: tuple[RuleFault, ...]

    def messages(self) -> list[str]:
        """Each fault with its place, such as `rules[3] (id "x").match[1]: column 5: expected a comma (line 17)`."""
        name = f"rules[{self.index}]" if self.id is None else f'rules[{self.index}] (id "{self.id}")'
        return [f"{name}{''.join(map(_step, one.path))}: {one.message}{in_lines(one.lines)}" for one in self.faults]


@dataclass(frozen=True, slots=True)
class Checked:
    """Checked rules, by id and sorted by it; valid only if `good`, else `bad` may hold the invalid ones.

    `patterns` maps a regular expression to its compiled form, `frequency` a matcher to the number of rules with it.
    """

    rules: Mapping[str, Rule]
    good: bool
    patterns: Mapping[str, Pattern]
    frequency: Mapping[Matcher, int]
    bad: tuple[BadRule, ...] = ()


def check(rules: Sequence[Rule], known: Mapping[str, Pattern]) -> Checked:
    """Check that rules of the right types are valid, individually and together. `known` are patterns to reuse.

    It checks each distinct value once, and does not tell which rule is invalid; `faults.every` does.
    """
    ordered = sorted(rules, key=attrgetter("id"))
    by_id = dict(zip(map(attrgetter("id"), ordered), ordered, strict=True))
    frequency = Counter(chain.from_iterable(map(attrgetter("match"), rules)))
    targets = set(chain.from_iterable(set(map(attrgetter("targets"), rules))))
    patterns, no_patterns = compile_all({one.value for one in frequency if one.is_expression}, known)
    good = (
        len(by_id) == len(rules)
        and not no_patterns
        and ROUTES.isdisjoint(by_id)
        and all(map(ID.fullmatch, by_id))
        and all(map(ID.fullmatch, set(map(attrgetter("family"), rules))))
        and all(one.name for one in frequency)
        and all(map(DNS_LABEL.fullmatch, targets))
    )
    return Checked(by_id, good, patterns, frequency)


def compared(rule: Rule) -> dict[str, tuple[object, object]]:
    """The fields of a rule, none of which is secret, each twice: to compare, and to show."""
    fields = to_builtins(rule) | {"match": [str(one) for one in rule.match], "targets": list(rule.targets)}
    shown = {name: fields.get(name) for name in rule.__struct_fields__ if name != "id"}
    return {name: (value, value) for name, value in shown.items()}


def display_id(rule_id: object) -> str | None:
    """An id that is safe to show in an error, or None if it is not a valid id."""
    return rule_id if isinstance(rule_id, str) and ID.fullmatch(rule_id) else None


def _step(step: object) -> str:
    """One step of a path as it is written, with keys made safe to show."""
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if isinstance(step, str) and _WORD.fullmatch(step) else f"[{values.display(step)}]"
