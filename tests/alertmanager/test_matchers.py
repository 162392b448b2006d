from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alert_refresh.alertmanager.matchers import Conjunction, accepts, negated
from tests.alertmanager.test_same_targets import NAMES, VALUES, alerts, matchers
from tests.rules.examples import matchers as parsed

if TYPE_CHECKING:
    from alert_refresh.rules.matcher import Matcher


def of(*texts: str) -> Conjunction:
    return Conjunction(parsed(*texts) if texts else ())


conjunctions = st.lists(matchers(NAMES), max_size=4).map(Conjunction)


def accepted(conjunction: Conjunction, labels: dict[str, str]) -> bool:
    return all(accepts(one, labels.get(one.name, "")) for one in conjunction.matchers)


@given(matchers(NAMES), st.sampled_from(VALUES))
def test_a_negated_matcher_accepts_what_the_other_refuses(matcher: Matcher, value: str) -> None:
    assert accepts(negated(matcher), value) is not accepts(matcher, value)
    assert negated(negated(matcher)) == matcher


@given(st.lists(matchers(NAMES), max_size=5), alerts(NAMES))
def test_a_conjunction_accepts_what_its_matchers_accept(found: list[Matcher], labels: dict[str, str]) -> None:
    conjunction = Conjunction(found)
    all_of_them = all(accepts(one, labels.get(one.name, "")) for one in found)
    assert accepted(conjunction, labels) is all_of_them
    assert not (conjunction.impossible and all_of_them)
    for name, values in conjunction.values.items():
        assert not all_of_them or labels.get(name, "") in values


@given(conjunctions, matchers(NAMES), conjunctions, alerts(NAMES))
def test_what_is_concluded_is_true_of_every_alert(
    one: Conjunction, matcher: Matcher, two: Conjunction, labels: dict[str, str]
) -> None:
    assume(accepted(one, labels))
    assert not one.implies(matcher) or accepts(matcher, labels.get(matcher.name, ""))
    assert not one.within(two) or accepted(two, labels)
    assert not one.excludes(two) or not accepted(two, labels)


@given(conjunctions, conjunctions, alerts(NAMES))
def test_a_difference_is_disjoint_and_exact(one: Conjunction, two: Conjunction, labels: dict[str, str]) -> None:
    taking = [piece for piece in one.without(two) if accepted(piece, labels)]
    assert len(taking) == (accepted(one, labels) and not accepted(two, labels))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (["a=x"], ["b=x"], [["a=x", "b!=x"]]),
        (["a=x"], ["b=x", "c=x"], [["a=x", "b!=x"], ["a=x", "b=x", "c!=x"]]),
        (["a=x"], ["a=x", "c=x"], [["a=x", "c!=x"]]),
        (["a=x"], ["a=y"], [["a=x"]]),
        (["a=x"], ["a!=x"], [["a=x"]]),
        (["a=x"], ['a=~"y|z"'], [["a=x"]]),
        (['a=~"x|y"'], ['a=~"z|w"'], [['a=~"x|y"']]),
        (['a=~"x|y"'], ["a=x"], [["a=y"]]),
        (['a=~"x.*"'], ['a!~"x.*"', "b=y"], [['a=~"x.*"']]),
        (['a=~"x.*"'], ["a=y"], [['a=~"x.*"']]),
        (["a=x"], ["a=x"], []),
        (["a=x", "b=y"], ["a=x"], []),
        (["a=x"], [], []),
        ([], ["a=x"], [["a!=x"]]),
        (["a=x"], ['a=~"x|y"'], []),
        (['a=~"x|y"'], ['a=~"y|x|z"'], []),
        (["a=x"], ["a!=y"], []),
        (["a=x"], ['a!~"y|z"'], []),
        (['a=~"x+"'], ["a!=y"], []),
        (['a=~"x+"'], ['a!~"y|z"'], []),
        (['a!~"x|y"'], ["a!=x"], []),
        (["a!=x", "a!=y"], ['a!~"x|y"'], []),
        (['a=~"x|y|z"'], ["a!=y", 'a=~"x|z|w"'], [["a=y"]]),
    ],
)
def test_what_is_left_when_another_is_taken_away(one: list[str], other: list[str], expected: list[list[str]]) -> None:
    found = of(*one).without(of(*other))
    assert [list(piece.matchers) for piece in found] == [list(parsed(*piece)) for piece in expected]


@pytest.mark.parametrize(
    ("one", "matcher", "expected"),
    [
        (["a!=x"], "a!=y", False),
        (["a!=x"], "a!=x", True),
        (["a!=x"], "a=y", False),
        (['a=~"x+"'], "a!=y", True),
        (['a=~"x+"'], "a!=x", False),
        (['a!~"x+"'], "a!=x", True),
        (['a!~"x+"'], 'a!~"x|xx"', True),
        (['a!~"x+"'], 'a!~"x|y"', False),
        (['a=~"x|y"'], 'a!~"z+"', True),
        (['a=~"x|y"'], 'a!~"y+"', False),
        (["b=x"], "a!=x", False),
    ],
)
def test_what_is_implied(one: list[str], matcher: str, expected: bool) -> None:
    assert of(*one).implies(*parsed(matcher)) is expected


@pytest.mark.parametrize(
    "texts", [["a=x", "a=y"], ["a=x", "a!=x"], ['a=~"x|y"', "a=z"], ['a=~"x.*"', 'a!~"x.*"'], ['a=~"x|y"', 'a!~".*"']]
)
def test_contradictions_are_seen(texts: list[str]) -> None:
    assert of(*texts).impossible


def test_repetitions_are_dropped_and_one_value_that_is_left_is_an_equality() -> None:
    assert of("a=x", "b!=y", "a=x").matchers == parsed("a=x", "b!=y")
    assert of('a=~"x|y"', "b!=y", "a!=y").matchers == parsed("a=x", "b!=y")
    assert of('a=~"x|y|z"', "a!=y").matchers == parsed('a=~"x|y|z"', "a!=y")
