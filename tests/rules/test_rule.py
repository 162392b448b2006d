from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import Fault
from alert_refresh.rules import plain
from alert_refresh.rules.matcher import Matcher
from alert_refresh.rules.rule import MOST, Rule, check
from alert_refresh.rules.warm_file import pack
from tests.rules.examples import matchers, rule, rules


def faults(**fields: Any) -> list[str]:
    """The fields that are at fault in a rule with these."""
    found = plain.read({"id": "good"} | fields)
    if isinstance(found, Rule):
        (bad,) = check([found], {}).bad
        found = bad.faults
    return [fault.field for fault in found]


def test_a_rule_with_everything_is_read() -> None:
    raw = {
        "id": "db-down",
        "family": "database",
        "enabled": False,
        "priority": -5,
        "match": ['severity="critical"', "team=~db|sql"],
        "targets": ["pagerduty-db"],
        "description": "A database is down",
        "annotations": {"runbook": "https://example.com"},
    }
    assert plain.read(raw) == Rule(
        id="db-down",
        family="database",
        enabled=False,
        priority=-5,
        match=matchers('severity="critical"', 'team=~"db|sql"'),
        targets=("pagerduty-db",),
        description="A database is down",
        annotations={"runbook": "https://example.com"},
    )


def test_an_id_is_all_a_rule_needs() -> None:
    assert plain.read({"id": "x"}) == Rule(id="x", family="default", enabled=True, priority=0)


def test_a_mapping_of_name_to_value_means_equality() -> None:
    found = plain.read({"id": "x", "match": {"severity": "critical", "team": ""}})
    assert isinstance(found, Rule)
    assert found.match == (Matcher("severity", "=", "critical"), Matcher("team", "=", ""))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 5), ("id", None), ("id", "\ud800"), ("id", ""), ("id", "a b"), ("id", "a\n"), ("id", "x" * 201),
        ("id", "status"),
        ("family", []), ("family", ""), ("family", "a/b"), ("enabled", "yes"), ("enabled", 1), ("enabled", None),
        ("priority", "1"), ("priority", 1.0), ("priority", float("nan")), ("priority", True), ("priority", 2**31),
        ("match", "a=b"), ("match", ["a"]), ("match", [5]), ("match", {"a": 1}), ("match", {1: "a"}), ("match", None),
        ("match", ["a=b"] * (MOST + 1)), ("match", [["a", "=", "b", "c"]]), ("match", [["a", "==", "b"]]),
        ("targets", "slack"), ("targets", [1]), ("targets", ["x"] * (MOST + 1)), ("description", 1),
        ("description", None),
        ("annotations", {"a": 1}), ("annotations", []), ("annotations", {str(n): "" for n in range(MOST + 1)}),
    ],
)  # fmt: skip
def test_rf05_a_fault_names_its_field_and_not_its_value(field: str, value: object) -> None:
    assert faults(**{field: value}) == [field]


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("match", ['a=~"("'], "match[0]"),
        ("match", ["a=b", 'a!~"(?=x)"'], "match[1]"),
        ("match", {"not a name": "x"}, "match[0]"),
        ("targets", ["good", "Bad Name"], "targets[1]"),
    ],
)
def test_a_fault_in_a_list_names_its_place(field: str, value: object, named: str) -> None:
    assert faults(**{field: value}) == [named]


def test_all_faults_of_a_rule_are_told_together() -> None:
    assert plain.read({"priority": "x", "enabled": 3, "wrong": 1}) == (
        Fault("", "has a field that no rule has"),
        Fault("id", "is missing"),
        Fault("enabled", "is neither true nor false"),
        Fault("priority", "is not a whole number of 32 bits"),
    )


@pytest.mark.parametrize("raw", [None, 5, "x", [], [1]])
def test_what_is_no_mapping_is_no_rule(raw: object) -> None:
    assert plain.read(raw) == (Fault("", "is not a mapping"),)


def test_rf05_one_bad_rule_of_a_thousand_is_named() -> None:
    found = rules(1000)
    found[617] = rule("rule-000617", 'host=~"canary-content("')
    (bad,) = check(found, {}).bad
    assert bad.index == 617 and str(bad).startswith("rule 617 (id rule-000617): match[0]: ")
    assert "canary" not in str(bad)


def test_rf05_an_id_used_twice_is_named_with_its_first_place() -> None:
    (bad,) = check([rule("a"), rule("b"), rule("a")], {}).bad
    assert str(bad) == "rule 2 (id a): id: is that of rule 0 too"


def test_an_id_that_is_none_is_not_shown() -> None:
    (bad,) = check([rule("secret content here")], {}).bad
    assert bad.id is None and "secret" not in str(bad)


def test_patterns_are_compiled_once_for_all_rules() -> None:
    checked = check([rule("a", 'x=~"a.*"'), rule("b", 'y!~"a.*"')], {})
    assert list(checked.patterns) == ["a.*"] and not checked.bad
    assert check([rule("a", 'x=~"a.*"')], checked.patterns).patterns["a.*"] is checked.patterns["a.*"]


_SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_FIELD = st.sampled_from(
    ["id", "family", "enabled", "priority", "match", "targets", "description", "annotations", "else"]
)
_VALUE = _SCALAR | st.lists(_SCALAR, max_size=3) | st.dictionaries(st.text(), _SCALAR, max_size=3)


@given(st.dictionaries(_FIELD, _VALUE) | _VALUE)
def test_any_plain_data_is_a_rule_or_has_faults(raw: object) -> None:
    found = plain.read(raw)
    if isinstance(found, Rule):
        check([found], {})
    else:
        assert found


def test_matchers_in_one_string_count_one_by_one() -> None:
    assert isinstance(plain.read({"id": "a", "match": [", ".join(f"l{n}=x" for n in range(100))]}), Rule)
    assert not isinstance(plain.read({"id": "a", "match": [", ".join(f"l{n}=x" for n in range(101))]}), Rule)


def test_a_default_that_is_written_out_and_the_order_of_annotations_change_nothing() -> None:
    one = plain.read({"id": "a", "family": "".join(["def", "ault"]), "annotations": {"x": "1", "y": "2"}})
    other = plain.read({"id": "a", "annotations": {"y": "2", "x": "1"}})
    assert isinstance(one, Rule) and isinstance(other, Rule)
    assert pack([one]) == pack([other])
