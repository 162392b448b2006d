"""Each field of a target, validated separately."""

from __future__ import annotations

from typing import Any

import pytest

from alert_refresh.engine import Fault
from alert_refresh.targets.target import Target
from tests.targets.secret.samples import CANARY, GOOD, config, faults, good, only_fault, read


def test_enabled_is_true_when_absent_and_false_stays_false() -> None:
    assert good(config()).enabled is True
    assert good(config(enabled=False)).enabled is False


@pytest.mark.parametrize("value", ["false", "true", 0, 1, None, []])
def test_s17_enabled_is_a_boolean_and_nothing_like_one(value: Any) -> None:
    assert faults(config(enabled=value)) == {"enabled": ["schema"]}


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("enable", "enabled"),
        ("filters", "filter_config"),
        ("filter_conf", "filter_config"),
        ("URL", "url"),
        ("webhookUrl", "url"),
        ("header", "headers"),
        ("Format", "format"),
    ],
)
def test_s17_an_unknown_field_is_named_with_the_nearest_right_one(field: str, meant: str) -> None:
    fault = only_fault(config(**{field: CANARY}))
    assert fault == Fault(field, f"unknown_field: is no field of a target; did you mean '{meant}'?")


@pytest.mark.parametrize("field", ["note", "expires", "x_y"])
def test_s17_the_fault_of_an_unknown_field_that_resembles_none_lists_all_of_them(field: str) -> None:
    fault = only_fault(config(**{field: {"deep": [1, 2]}}))
    known = "name, type, url, format, enabled, headers, filter_config"
    assert fault == Fault(field, f"unknown_field: is no field of a target; known are {known}")


def test_s17_many_unknown_fields_are_counted() -> None:
    found = read(config(**{f"zz{n}": 1 for n in range(30)}))
    assert isinstance(found, tuple) and len(found) == 21
    assert found[-1] == Fault("config", "unknown_field: 10 more are no field of a target")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"name": "a\n"}, "name"), ({"url": GOOD["url"] + "\n"}, "url"), ({"headers": {"A": "x\r\n"}}, "headers")],
)
def test_a_string_in_json_that_ends_with_a_line_end_is_reported(change: dict[str, Any], field: str) -> None:
    fault = only_fault(config(**change))
    assert fault.field == field and "ends with a line end" in fault.message


@pytest.mark.parametrize(
    ("value", "hint"), [("slack\n", "it ends with a line end"), ("Slack", "lower case"), (" slack", "without blanks")]
)
def test_the_fault_of_an_almost_correct_type_says_what_is_wrong(value: str, hint: str) -> None:
    found = read(config(type=value, format="slack"))
    assert isinstance(found, tuple) and hint in found[0].message


@pytest.mark.parametrize("type_", ["rootly", "pagerduty", "slack", "webhook"])
@pytest.mark.parametrize("format_", ["alertmanager", "rootly", "pagerduty", "slack", "webhook"])
def test_types_take_their_own_format_and_webhook_the_two_generic_ones(type_: str, format_: str) -> None:
    fits = format_ == type_ or (type_ == "webhook" and format_ == "alertmanager")
    result = read(config(type=type_, format=format_))
    if fits:
        assert isinstance(result, Target)
    else:
        assert isinstance(result, tuple) and [fault.field for fault in result] == ["format"]


@pytest.mark.parametrize("field", ["name", "type", "url", "format"])
def test_required_fields(field: str) -> None:
    assert faults(config(**{field: ...})) == {field: ["schema"]}
    assert faults(config(**{field: None})) == {field: ["schema"]}
    assert faults(config(**{field: 5})) == {field: ["schema"]}


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a" * 63, "a--b"])
def test_valid_names(name: str) -> None:
    assert good(config(name=name)).name == name


@pytest.mark.parametrize(
    "name", ["", "a\n", "-a", "a-", "A", "a_b", "a.b", "a" * 64, "status", "refresh", "approve", "reject"]
)
def test_bad_names(name: str) -> None:
    assert faults(config(name=name)) == {"name": ["bad_name"]}


def test_more_than_a_hundred_headers_are_too_many() -> None:
    assert len(good(config(headers={f"h{n}": "x" for n in range(100)})).headers) == 100
    assert faults(config(headers={f"h{n}": "x" for n in range(101)})) == {"headers": ["too_complex"]}


def test_header_values_may_be_latin_1() -> None:
    assert good(config(headers={"X-Team": "caf\xe9\tx"})).headers["X-Team"].reveal() == "caf\xe9\tx"
