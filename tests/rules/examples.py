"""Rules to test with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alert_refresh.rules.forms import warm_file
from alert_refresh.rules.hot_cache import HotCache
from alert_refresh.rules.matcher import Matcher
from alert_refresh.rules.matcher_text import parse
from alert_refresh.rules.rule import Rule, check
from alert_refresh.rules.rule_set import RuleSet

if TYPE_CHECKING:
    from collections.abc import Iterable


def rule(rule_id: str = "cpu-high", *match: str, **fields: Any) -> Rule:
    """A valid rule with these matchers."""
    return Rule(id=rule_id, match=matchers(*match), **fields)


def matchers(*texts: str) -> tuple[Matcher, ...]:
    """The matchers of these strings, all of which must be valid."""
    found: list[Matcher] = []
    for text in texts:
        found += parse(text)
    return tuple(found)


def rules(count: int, *, word: str = "one") -> list[Rule]:
    """Rules of ten families that differ in service and severity; `word` is the description of all."""
    return [
        Rule(
            id=f"rule-{number:06d}",
            family=f"family-{number % 10}",
            priority=number % 7,
            match=(
                Matcher("severity", "=", ("critical", "warning", "info")[number % 3]),
                Matcher("service", "=", f"service-{number % 500}"),
                *((Matcher("instance", "=~", f"web-{number % 20}-[0-9]+"),) if number % 5 == 0 else ()),
            ),
            targets=(f"target-{number % 12}",),
            description=word,
        )
        for number in range(count)
    ]


def packed(count: int, *, word: str = "one") -> bytes:
    """A warm file with this many rules."""
    return warm_file.pack(rules(count, word=word))


def rule_set(found: Iterable[Rule], cache: HotCache | None = None, before: RuleSet | None = None) -> RuleSet:
    """These rules, loaded."""
    checked = check(sorted(found, key=lambda one: one.id), {})
    assert checked.good
    return RuleSet(checked, "file", cache or HotCache(1000, {}), before)
