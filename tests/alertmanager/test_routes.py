from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from alert_refresh.alertmanager import routes
from alert_refresh.alertmanager.matchers import Conjunction
from alert_refresh.alertmanager.routes import MOST_OF_ALL, MOST_OF_ONE, disjoint, from_filters, from_rules
from alert_refresh.rules.matcher import Matcher
from alert_refresh.rules.rule import Rule
from tests.rules.examples import matchers, rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from alert_refresh.alertmanager.routes import Routes

ALL = dict.fromkeys(("a", "b", "c"))


def written(found: Routes) -> Any:
    return yaml.safe_load(found.text) or []


def shown(found: Routes) -> list[str]:
    """Each route as its matchers and the targets it leads to, which have to go on to the next route."""
    lines = []
    for route in written(found):
        children = route["routes"]
        assert all(one["continue"] is True for one in (route, *children))
        names = [one["receiver"].removeprefix("alert-refresh/") for one in children]
        lines.append(f"{', '.join(route.get('matchers', []))} -> {', '.join(names)}")
    return lines


def of(*rules: Rule, to: Iterable[str] = ALL) -> list[str]:
    return shown(from_rules(rules, dict.fromkeys(to)))


def test_a_rule_is_a_route_to_its_target() -> None:
    assert of(rule("one", "x=1", 'y=~"a.b\\\\d"', targets=("a",))) == ['x="1", y=~"a.b\\\\d" -> a']


def test_a_rule_without_matchers_takes_every_alert() -> None:
    assert of(rule("one", targets=("a",))) == [" -> a"]


def test_rules_come_by_falling_priority_and_then_by_id() -> None:
    found = of(
        rule("b", "x=1", targets=("b",)),
        rule("a", "x=2", targets=("b",)),
        rule("z", "x=3", targets=("c",), priority=1),
        rule("y", "x=4", targets=("a",), priority=-1),
    )
    assert found == ['x="3" -> c', 'x="2" -> b', 'x="1" -> b', 'x="4" -> a']


def test_routes_with_equal_matchers_are_one_with_a_child_for_each_target() -> None:
    found = from_rules(
        [rule("one", "x=1", "y=2", targets=("b", "a", "b")), rule("two", "y=2", "x=1", "x=1", targets=("c", "a"))], ALL
    )
    assert shown(found) == ['x="1", y="2" -> a, b, c']
    assert found.count == 3


def test_the_groups_of_a_target_keep_their_keys_when_another_target_comes_or_goes() -> None:
    rules = [
        rule("one", "x=1", targets=("a", "b")),
        rule("two", "y=1", targets=("a",)),
        rule("all", targets=("b", "c")),
    ]
    together, alone = (written(from_rules(rules, dict.fromkeys(to))) for to in ("abc", "a"))
    keys = [tuple(one["matchers"]) for one in together if "alert-refresh/a" in str(one)]
    assert keys == [tuple(one["matchers"]) for one in alone] == [('x="1"',), ('y="1"', 'x!="1"')]
    assert [one["routes"] for one in alone] == [[{"receiver": "alert-refresh/a", "continue": True}]] * 2


def test_targets_without_a_receiver_get_no_route() -> None:
    assert of(rule("one", "x=1", targets=("a", "gone", "b")), to=["b"]) == ['x="1" -> b']
    assert of(rule("one", "x=1", targets=("gone",))) == of(rule("one", "x=1")) == []


def test_two_rules_that_may_both_match_are_made_disjoint() -> None:
    found = from_rules([rule("one", "x=1", targets=("a", "b")), rule("two", "y=1", targets=("a",))], ALL)
    assert shown(found) == ['x="1" -> a, b', 'y="1", x!="1" -> a']
    assert found.overlapping == ()


def test_rules_that_cannot_both_match_stay_as_they_are() -> None:
    rules = [rule(f"r{n}", f"x={n}", f"y{n}=1", targets=("a",)) for n in range(3)]
    assert of(*rules) == ['x="0", y0="1" -> a', 'x="1", y1="1" -> a', 'x="2", y2="1" -> a']


def test_a_rule_that_another_one_contains_is_dropped_whichever_comes_first() -> None:
    narrow, wide = rule("narrow", "x=1", "y=1", targets=("a",), priority=1), rule("wide", "x=1", targets=("a",))
    assert of(narrow, wide) == ['x="1" -> a']
    assert of(wide, narrow) == ['x="1" -> a']
    assert of(rule("all", targets=("a",)), narrow, wide) == [" -> a"]


def test_a_rule_that_is_dropped_for_one_target_stays_for_another() -> None:
    narrow, wide = rule("narrow", "x=1", "y=1", targets=("a", "b")), rule("wide", "x=1", targets=("a",))
    assert of(narrow, wide) == ['x="1", y="1" -> b', 'x="1" -> a']


def test_a_rule_that_nothing_can_match_has_no_route() -> None:
    assert of(rule("never", "x=1", "x=2", targets=("a",)), rule("one", "y=1", targets=("a",))) == ['y="1" -> a']


def independent(count: int, target: str = "a") -> list[Rule]:
    """Rules of which each may match with each other one."""
    return [rule(f"r{n:03d}", f"l{n}=1", f"k{n}=1", f"j{n}=1", targets=(target,)) for n in range(count)]


def test_a_target_that_would_take_too_many_routes_overlaps() -> None:
    few = from_rules(independent(4), ALL)
    assert len(written(few)) == 1 + 3 + 9 + 27
    assert few.overlapping == ()
    last = [rule(f"r{n}", f"a{n}=1", f"b{n}=1", f"c{n}=1", f"d{n}=1", targets=("a",)) for n in range(4)]
    assert from_rules(last, ALL).overlapping == ("a",), "1 + 4 + 16 fit, and 64 more do not"
    many = from_rules(independent(5), ALL)
    assert len(written(many)) == 5
    assert many.overlapping == ("a",)


def test_many_rules_of_one_target_that_exclude_each_other_do_not_overlap() -> None:
    rules = [rule(f"r{n:03d}", f"alertname=A{n}", f"k{n}=1", targets=("a",)) for n in range(MOST_OF_ONE * 5)]
    found = from_rules(rules, ALL)
    assert len(written(found)) == len(rules)
    assert found.overlapping == ()


def test_of_many_rules_one_about_another_label_is_compared_with_all() -> None:
    rules = [rule(f"r{n:03d}", f"alertname=A{n}", "k=1", targets=("a",)) for n in range(30)]
    first, last = rule("a", "x=1", targets=("a",)), rule("z", "y=1", targets=("a",), priority=-1)
    found = of(first, *rules)
    assert found[:2] == ['x="1" -> a', 'alertname="A0", k="1", x!="1" -> a']
    assert len(found) == 31
    assert len(of(*rules, last)) == 30 + 31


def test_parts_are_made_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_rules(independent(4), ALL).overlapping == ()
    monkeypatch.setattr(routes, "MOST_STEPS", 20)
    assert from_rules(independent(4), ALL).overlapping == ("a",)


def test_one_rule_that_contains_all_others_leaves_one_route() -> None:
    rules = [rule(f"r{n:03d}", f"l{n}=1", targets=("a",)) for n in range(100)]
    found = from_rules([*rules, rule("z", targets=("a",))], ALL)
    assert shown(found) == [" -> a"]
    assert found.overlapping == ()


def test_of_many_targets_those_that_would_take_most_overlap() -> None:
    rules = [
        rule(f"{size}-{number}-{n}", f"l{n}=1", f"k{n}=1", f"t=x{size}-{number}", targets=(f"t{size}-{number:04d}",))
        for number in range(400)
        for size in (2, 4)
        for n in range(size)
    ]
    targets = [f"t{size}-{number:04d}" for number in range(400) for size in (2, 4)]
    found = from_rules(rules, dict.fromkeys(targets))
    small, large = 1 + 2, 1 + 2 + 4 + 8
    split = (MOST_OF_ALL - 400 * small) // large
    assert found.overlapping == tuple(f"t4-{number:04d}" for number in range(split, 400))
    assert found.count == (400 * small + split * large + (400 - split) * 4)


def test_pairs_are_compared_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [rule(f"r{n:03d}", f'x=~"{n}.+"', targets=("a",)) for n in range(30)] + [rule("z", "y=1", targets=("b",))]
    monkeypatch.setattr(routes, "MOST_STEPS", 30 * 29 // 2 - 1)
    found = from_rules(rules, ALL)
    assert found.overlapping == ("a",)
    assert len(written(found)) == 31


def test_a_filter_is_a_route() -> None:
    filters = {"b": matchers("x=1", "y=2"), "a": matchers("y=2", "x=1"), "c": (), "d": matchers("x=1", "x=2")}
    found = from_filters(filters)
    assert shown(found) == ['y="2", x="1" -> a, b', " -> c"]
    assert (found.count, found.overlapping) == (3, ())


def test_nothing_is_no_text() -> None:
    assert from_rules([], ALL).text == from_filters({}).text == ""


def test_names_and_values_are_quoted() -> None:
    odd = Rule("one", match=(Matcher('a"b', "=", "c\\d\"\n'é"),), targets=("a",))
    assert written(from_rules([odd], ALL))[0]["matchers"] == ['"a\\"b"="c\\\\d\\"\\n\'é"']


def test_rules_with_many_values_use_up_the_steps_sooner() -> None:
    def steps(values: int) -> int:
        names = [[f"v{number}" for number in range(first, first + values)] for first in (0, 1)]
        pair = [matchers(f'service=~"{"|".join(one)}"', f'team!="t{n}"') for n, one in enumerate(names)]
        return disjoint([(rank, Conjunction(one)) for rank, one in enumerate(pair)]).steps

    assert steps(400) > 10 * steps(4)
