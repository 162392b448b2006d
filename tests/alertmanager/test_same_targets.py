"""Alertmanager delivers an alert to the targets that the rules' own index answers, each once."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from alert_refresh.alertmanager.routes import MOST_OF_ONE
from alert_refresh.alertmanager.template import PREFIX
from alert_refresh.rules.matcher import Matcher
from alert_refresh.rules.rule import Rule
from tests.alertmanager.amtool import Written
from tests.alertmanager.examples import ALL, OLD, PLAIN, configuration, rule, target
from tests.alertmanager.route_tree import RouteTree
from tests.alertmanager.server import NEWER, UNPACKED
from tests.rules.examples import rule_set

if TYPE_CHECKING:
    from alert_refresh.alertmanager.inputs import Capabilities
    from alert_refresh.alertmanager.render import Rendering
    from alert_refresh.targets.target import Target

OWN_ROUTES = """
route:
  receiver: default
  routes:
  - {matchers: [a="x"], receiver: own, continue: true}
  - {matchers: [b=~"x|y"], receiver: other, routes: [{matchers: [c=""], receiver: own}]}
receivers: [{name: default}, {name: own}, {name: other}]
"""
NAMES = ["a", "b", "c", "severity"]
UTF8 = ["a.b", "größe", 'x"y', "a b", "a,b"]
VALUES = [
    "",
    "x",
    "y",
    "xy",
    "xx",
    "X",
    "x y",
    "x|y",
    "z\nx",
    'q"',
    "b\\",
    "é",
    "1",
    "x,y={}",
    "\ufffd",
    "\t",
    "\x01\x7f",
]
EXPRESSIONS = [
    "x", "x|y", "x|y|xx", "x.*", ".*", ".+", "", "x?", "x|", "|y", "[^x]*", "[xy]+", "^x$", "^", "$", "(?i)x",
    "(x|y)y?", "x{1,2}", ".*x", "(?s).*x", "z\nx", "z\\nx", 'q"', "b\\\\", "\\d", "x\\|y", "\\Qx|y\\E", "(?P<n>x)y",
    "\\PL", "é", ".", "x y", "a|b|c", "x(?:|y)", "(?m)^x$", "[[:alpha:]]{2}", "\\x78",
]  # fmt: skip
DISABLED, STALE, MISSING, NO_ROUTE = "off", "stale", "missing", "headers"
TARGETS: list[Target] = [
    target("one"),
    target("two", "slack"),
    target("three", "pagerduty", headers={"routing-key": "key"}),
    target(STALE).stale(1.0, ()),
    target(DISABLED, enabled=False),
    target(NO_ROUTE, headers={"X-Team": "a"}),
]
REACHABLE = {"one", "two", "three", STALE}


def matchers(names: list[str]) -> st.SearchStrategy[Matcher]:
    equal = st.builds(Matcher, st.sampled_from(names), st.sampled_from(["=", "!="]), st.sampled_from(VALUES))
    like = st.builds(Matcher, st.sampled_from(names), st.sampled_from(["=~", "!~"]), st.sampled_from(EXPRESSIONS))
    return st.one_of(equal, like)


def rules(names: list[str], most: int = 7) -> st.SearchStrategy[list[Rule]]:
    names_of_targets = st.sampled_from(["one", "one", "two", "three", STALE, DISABLED, MISSING, NO_ROUTE])
    one = st.builds(
        Rule,
        id=st.just(""),
        match=st.lists(matchers(names), max_size=4).map(tuple),
        targets=st.lists(names_of_targets, max_size=4).map(tuple),
        priority=st.integers(-2, 2),
        enabled=st.sampled_from([True, True, True, False]),
    )
    return st.lists(one, max_size=most).map(lambda found: [replace(rule, id=f"r{n}") for n, rule in enumerate(found)])


def alerts(names: list[str]) -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(st.sampled_from(names), st.sampled_from(VALUES))


def expected(found: list[Rule], rendering: Rendering, labels: dict[str, str], *, capable: bool = False) -> list[str]:
    """The targets that the rules' own index answers for an alert, but for those that cannot be delivered to."""
    deliverable = [one for one in found if one.id not in rendering.undeliverable_rules]
    reachable = REACHABLE | {NO_ROUTE} if capable else REACHABLE
    names = dict.fromkeys(name for one in rule_set(deliverable).match(labels) for name in one.targets)
    return sorted(name for name in names if name in reachable)


def ours(receivers: list[str]) -> list[str]:
    return sorted(name.removeprefix(PREFIX) for name in receivers if name.startswith(PREFIX))


def others(text: str, labels: dict[str, str], ours: list[str]) -> list[str]:
    """The receivers of the template's own routes; that of the root only where nothing else took the alert."""
    found = RouteTree(text.encode()).receivers(labels)
    return [] if ours and found == ["default"] else found


def same(found: list[Rule], labels: list[dict[str, str]], text: str, capabilities: Capabilities, ask: Any) -> None:
    rendering = configuration(TARGETS, found, text, capabilities)
    assert rendering.overlapping == ()
    receivers = ask(rendering.text)
    for one in labels:
        answered = receivers(one)
        names = expected(found, rendering, one, capable=capabilities.http_headers)
        assert ours(answered) == names, one
        assert [name for name in answered if not name.startswith(PREFIX)] == others(text, one, names)


@given(rules(NAMES), st.lists(alerts(NAMES), min_size=20, max_size=20), st.sampled_from([PLAIN, OWN_ROUTES]))
@example([rule("a", 'a="x"', targets=("one",)), rule("b", 'b="x"', targets=("one",))], [{"a": "x", "b": "x"}], PLAIN)
def test_a_tree_of_routes_and_the_index_name_the_same_targets(
    found: list[Rule], labels: list[dict[str, str]], text: str
) -> None:
    same(found, labels, text, OLD, lambda text: RouteTree(text).receivers)


@given(rules([*NAMES, *UTF8]), st.lists(alerts([*NAMES, *UTF8]), min_size=20, max_size=20), st.sampled_from([OLD, ALL]))
def test_they_do_so_with_any_label_names(
    found: list[Rule], labels: list[dict[str, str]], capabilities: Capabilities
) -> None:
    same(found, labels, PLAIN, capabilities, lambda text: RouteTree(text).receivers)


def with_amtool(
    found: list[Rule],
    labels: list[dict[str, str]],
    text: str,
    capabilities: Capabilities = OLD,
    unpacked: Path = UNPACKED,
) -> None:
    with TemporaryDirectory() as folder:
        written = []

        def ask(text: bytes) -> Any:
            written.append(Written(Path(folder), text, unpacked))
            return written[0].receivers

        same(found, labels, text, capabilities, ask)
        assert written[0].accepted(), written[0].why()


amtool_examples = given(
    rules([*NAMES, *NAMES, *NAMES, "a.b"]),
    st.lists(alerts(NAMES), min_size=5, max_size=5),
    st.sampled_from([PLAIN, OWN_ROUTES]),
)


@settings(max_examples=25)
@amtool_examples
def test_alertmanager_and_the_index_name_the_same_targets(
    found: list[Rule], labels: list[dict[str, str]], text: str
) -> None:
    with_amtool(found, labels, text)


@pytest.mark.soak
@settings(max_examples=400)
@amtool_examples
def test_alertmanager_and_the_index_name_the_same_targets_two_thousand_times(
    found: list[Rule], labels: list[dict[str, str]], text: str
) -> None:
    with_amtool(found, labels, text)


newer_examples = given(
    rules([*NAMES, *NAMES, *UTF8]),
    st.lists(alerts([*NAMES, *UTF8]), min_size=5, max_size=5),
    st.sampled_from([PLAIN, OWN_ROUTES]),
)


@settings(max_examples=25)
@newer_examples
def test_a_later_alertmanager_and_the_index_name_the_same_targets(
    found: list[Rule], labels: list[dict[str, str]], text: str
) -> None:
    with_amtool(found, labels, text, ALL, NEWER)


@pytest.mark.soak
@settings(max_examples=400)
@newer_examples
def test_a_later_alertmanager_and_the_index_name_the_same_targets_two_thousand_times(
    found: list[Rule], labels: list[dict[str, str]], text: str
) -> None:
    with_amtool(found, labels, text, ALL, NEWER)


@given(rules(NAMES, most=14), st.lists(alerts(NAMES), min_size=20, max_size=20))
def test_routes_that_overlap_miss_no_target_and_are_told(found: list[Rule], labels: list[dict[str, str]]) -> None:
    rendering = configuration(TARGETS, found)
    tree = RouteTree(rendering.text)
    for one in labels:
        answered = ours(tree.receivers(one))
        assert sorted(set(answered)) == expected(found, rendering, one)
        assert {name for name in answered if answered.count(name) > 1} <= set(rendering.overlapping)
    assert rendering.routes <= len(TARGETS) * (MOST_OF_ONE + len(found)) * 2
