"""What a rule is, and everything that can be wrong with one. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from alert_refresh.engine import Fault
from alert_refresh.rules.matcher import LONGEST_EXPRESSION, NAME, Matcher, Pattern, compile_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,199}")
TARGET = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
ROUTES = frozenset(("status", "refresh", "match"))
"""No rule's id: these words are routes below `rules/`."""
MOST = 100
"""Matchers, targets or annotations of one rule."""
INT32 = 2**31
NO_EXPRESSION = f"is not a regular expression of RE2 of up to {LONGEST_EXPRESSION} characters"


class Rule(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Which alerts (`match`, all of it; nothing matches everything) go to which targets.

    Of several rules the one of higher `priority` comes first. `family` is the part a refresh can be narrowed to.
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
class BadRule:
    """A rule that cannot be used: its place in the file, its id if it has a proper one, and every fault."""

    index: int
    id: str | None
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        name = f"rule {self.index}" if self.id is None else f"rule {self.index} (id {self.id})"
        return f"{name}: " + "; ".join(f"{fault.field or 'rule'}: {fault.message}" for fault in self.faults)


@dataclass(frozen=True, slots=True)
class Checked:
    """Rules that were looked at, by id and in its order: good only if `bad` is empty.

    `patterns` maps a regular expression to its compiled form, `frequency` a matcher to how many rules have it.
    """

    rules: Mapping[str, Rule]
    bad: tuple[BadRule, ...]
    patterns: Mapping[str, Pattern]
    frequency: Mapping[Matcher, int]


def check(rules: Sequence[Rule], known: Mapping[str, Pattern]) -> Checked:
    """Whether rules of the right types are good rules, each alone and together. `known` are patterns from before.

    The usual answer, that all are, costs a look at each different value; only then is the culprit looked for.
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
        and all(map(NAME.fullmatch, {one.name for one in frequency}))
        and all(map(TARGET.fullmatch, targets))
    )
    return Checked(by_id, () if good else tuple(_culprits(rules, no_patterns)), patterns, frequency)


def _culprits(rules: Iterable[Rule], no_patterns: set[str]) -> Iterable[BadRule]:
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules):
        faults = list(_faults(rule, no_patterns))
        if rule.id in seen:
            faults.append(Fault("id", f"is that of rule {seen[rule.id]} too"))
        seen.setdefault(rule.id, index)
        if faults:
            yield BadRule(index, shown(rule.id), tuple(faults))


def _faults(rule: Rule, no_patterns: set[str]) -> Iterable[Fault]:
    if not ID.fullmatch(rule.id):
        yield Fault("id", "must be 1 to 200 letters, digits or ._:@- and begin with a letter or digit")
    if rule.id in ROUTES:
        yield Fault("id", f"must be none of {', '.join(sorted(ROUTES))}")
    if not ID.fullmatch(rule.family):
        yield Fault("family", "must be 1 to 200 letters, digits or ._:@- and begin with a letter or digit")
    for number, matcher in enumerate(rule.match):
        if not NAME.fullmatch(matcher.name):
            yield Fault(f"match[{number}]", "the label's name must be letters, digits, _ and : only")
        if matcher.is_expression and matcher.value in no_patterns:
            yield Fault(f"match[{number}]", NO_EXPRESSION)
    for number, target in enumerate(rule.targets):
        if not TARGET.fullmatch(target):
            yield Fault(f"targets[{number}]", "is not a target's name")


def shown(rule_id: object) -> str | None:
    """An id that may be shown in an error, or None: what is not an id may be anything."""
    return rule_id if isinstance(rule_id, str) and ID.fullmatch(rule_id) else None
