from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.rules.faults import every
from alert_refresh.rules.forms import plain
from alert_refresh.rules.forms.text_file import never
from alert_refresh.rules.forms.warm_file import pack
from alert_refresh.rules.matcher import Matcher
from alert_refresh.rules.rule import Rule, check
from tests.rules.examples import matchers, rule


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


def test_patterns_are_compiled_once_for_all_rules() -> None:
    checked = check([rule("a", 'x=~"a.*"'), rule("b", 'y!~"a.*"')], {})
    assert list(checked.patterns) == ["a.*"] and checked.good
    assert check([rule("a", 'x=~"a.*"')], checked.patterns).patterns["a.*"] is checked.patterns["a.*"]


_SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_FIELD = st.sampled_from(
    ["id", "family", "enabled", "priority", "match", "targets", "description", "annotations", "else"]
)
_VALUE = _SCALAR | st.lists(_SCALAR, max_size=3) | st.dictionaries(st.text(), _SCALAR, max_size=3)


@given(st.dictionaries(_FIELD, _VALUE) | _VALUE)
def test_any_plain_data_is_a_valid_rule_or_has_faults(raw: object) -> None:
    found = plain.read(raw)
    good = found is not None and check([found], {}).good
    assert bool(every([raw], never)) is not good


def test_matchers_in_one_string_count_one_by_one() -> None:
    assert isinstance(plain.read({"id": "a", "match": [", ".join(f"l{n}=x" for n in range(100))]}), Rule)
    assert not isinstance(plain.read({"id": "a", "match": [", ".join(f"l{n}=x" for n in range(101))]}), Rule)


def test_a_default_that_is_written_out_and_the_order_of_annotations_change_nothing() -> None:
    one = plain.read({"id": "a", "family": "".join(["def", "ault"]), "annotations": {"x": "1", "y": "2"}})
    other = plain.read({"id": "a", "annotations": {"y": "2", "x": "1"}})
    assert isinstance(one, Rule) and isinstance(other, Rule)
    assert pack([one]) == pack([other])
