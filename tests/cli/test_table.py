"""Tables, ages and JSON lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.cli.table import GAP, age, json_line, pairs, quantity, shown, since, table, until


def test_columns_are_aligned_and_nothing_is_padded_at_the_end() -> None:
    found = table(("NAME", "STATE", "WHY"), [("a", "fresh", None), ("a-longer-name", "stale", "x")])
    assert found.splitlines() == [
        "NAME            STATE   WHY",
        "a               fresh   -",
        "a-longer-name   stale   x",
    ]
    assert table(("NAME", "WHY"), []) == "NAME   WHY"


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_a_table_controls_no_terminal_and_has_a_line_for_each_row(rows: list[tuple[str, str]]) -> None:
    lines = table(("A", "B"), rows).split("\n")
    assert len(lines) == len(rows) + 1 and all(line.isprintable() for line in lines)
    assert len({line.rstrip().rfind(GAP) < 0 for line in lines[:1]}) == 1


def test_one_is_singular() -> None:
    assert [quantity(number, "rule") for number in (0, 1, 2)] == ["0 rules", "1 rule", "2 rules"]
    assert [quantity(number, "family", "families") for number in (1, 2)] == ["1 family", "2 families"]


def test_pairs_are_aligned_and_a_list_has_a_line_for_each() -> None:
    assert pairs({"name": "a\x1b", "faults": ["x", "y"], "none": None, "empty": []}).splitlines() == [
        "name:   a\\x1b",
        "faults: x",
        "        y",
        "none:   -",
    ]
    assert pairs({}) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), ("", "-"), (True, "yes"), (False, "no"), (0, "0"), ({"a": ["ü"]}, '{"a": ["ü"]}'), (1.5, "1.5")],
)
def test_a_value_is_shown_as_text(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (-5, "0s"), (59.9, "59s"), (119, "119s"), (120, "2m"), (192, "3m12s"), (7 * 60 + 59, "7m59s"),
        (480, "8m"), (485, "8m"), (7199, "119m"), (7200, "2h"), (3 * 3600 + 300, "3h5m"), (26 * 3600, "26h"),
        (2 * 86400 + 3 * 3600, "2d3h"), (9.5 * 86400, "9d"), (800 * 86400, "800d"), (None, None),
    ],
)  # fmt: skip
def test_an_age_has_at_most_two_units(seconds: float | None, text: str | None) -> None:
    assert age(seconds) == text


def test_ages_of_times() -> None:
    now = 1795654923.0
    assert since("2026-11-26T01:02:00Z", now) == "3s"
    assert until("2026-11-26T01:02:33Z", now) == "30s"
    assert since("2026-11-26T01:02:00.500Z", now) == "2s"
    assert since(None, now) is until(None, now) is since("nonsense", now) is None


def test_json_is_ascii_on_one_line() -> None:
    found = json_line({"a": "ü\x7f\x1b\u2028\n"})
    assert found.isascii() and found.isprintable()
    assert json.loads(found) == {"a": "ü\x7f\x1b\u2028\n"}
