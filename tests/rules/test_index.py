from __future__ import annotations

from typing import TYPE_CHECKING

import re2
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.rules.index import FEW
from alert_refresh.rules.matcher import Matcher
from alert_refresh.rules.rule import Rule, check
from tests.rules.examples import rule, rule_set

if TYPE_CHECKING:
    import pytest


def ids(labels: dict[str, str], *found: Rule) -> list[str]:
    """The ids of the matching rules, in order."""
    return [one.id for one in rule_set(found).match(labels)]


def test_every_matcher_of_a_rule_must_accept() -> None:
    both = rule("both", "a=x", "b=y")
    assert ids({"a": "x", "b": "y"}, both) == ["both"]
    assert ids({"a": "x", "b": "z"}, both) == ids({"a": "x"}, both) == []


def test_a_label_that_is_missing_counts_as_empty() -> None:
    found = [
        rule("empty", 'a=""'),
        rule("other", 'a!="x"'),
        rule("any", 'a=~".*"'),
        rule("some", 'a=~".+"'),
        rule("not", 'a!~"x|y"'),
    ]
    assert ids({}, *found) == ["any", "empty", "not", "other"]
    assert ids({"a": "x"}, *found) == ["any", "some"]


def test_expressions_are_anchored_at_both_ends() -> None:
    assert ids({"a": "xby"}, rule("part", 'a=~"b"'), rule("choice", 'a=~"x.y|b"')) == ["choice"]
    assert ids({"a": "b\n"}, rule("newline", 'a=~"b"'), rule("dollar", 'a=~"b$"')) == []


def test_a_rule_without_matchers_matches_everything() -> None:
    assert ids({}, rule("all")) == ids({"a": "x"}, rule("all")) == ["all"]


def test_a_disabled_rule_matches_nothing() -> None:
    assert ids({"a": "x"}, rule("off", "a=x", enabled=False), rule("off-too", enabled=False)) == []


def test_higher_priority_comes_first_and_then_the_id() -> None:
    assert ids({}, rule("b"), rule("a"), rule("z", priority=1), rule("y", priority=-1)) == ["z", "a", "b", "y"]


def test_an_alternation_finds_a_rule_once() -> None:
    assert ids({"team": "web"}, rule("choice", 'team=~"db|web|web"', 'team!="x"')) == ["choice"]


def test_an_expression_shared_by_rules_is_tried_once_for_an_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    class CachedCounts:
        def fullmatch(self, text: str) -> object | None:
            tried.append(text)
            found: object | None = re2.fullmatch("w.*", text)
            return found

    found = rule_set([rule(f"r{n}", 'host=~"w.*"') for n in range(50)])
    monkeypatch.setattr(found._index, "_patterns", {"w.*": CachedCounts()})
    assert len(found.match({"host": "web"})) == 50
    assert tried == ["web"]


def test_only_the_buckets_an_alert_names_are_looked_at() -> None:
    found = rule_set([rule(f"r{n:05d}", "severity=critical", f"service=s{n}") for n in range(FEW * 50)])
    assert max(map(len, found._index._buckets.values())) == 1
    assert [one.id for one in found.match({"severity": "critical", "service": "s7"})] == ["r00007"]


NAMES, VALUES = st.sampled_from("abc"), st.sampled_from(["", "x", "y", "xy", "x\n"])
MATCHERS = st.builds(Matcher, NAMES, st.sampled_from(["=", "!="]), VALUES) | st.builds(
    Matcher,
    NAMES,
    st.sampled_from(["=~", "!~"]),
    st.sampled_from(["", "x", "x|y", "x|", ".*", ".+", "x.?", "[^x]", "(x|y)+"]),
)


@given(st.lists(st.lists(MATCHERS, max_size=4), max_size=12), st.dictionaries(NAMES, VALUES))
def test_the_index_finds_what_looking_at_every_rule_finds(matches: list[list[Matcher]], labels: dict[str, str]) -> None:
    def accepts(matcher: Matcher) -> bool:
        value = labels.get(matcher.name, "")
        if matcher.op in ("=", "!="):
            return (value == matcher.value) == (matcher.op == "=")
        return (re2.fullmatch(matcher.value, value) is not None) == (matcher.op == "=~")

    found = [Rule(id=f"r{n:02d}", match=tuple(match)) for n, match in enumerate(matches)]
    assert not check(found, {}).bad
    assert ids(labels, *found) == [one.id for one in found if all(map(accepts, one.match))]
