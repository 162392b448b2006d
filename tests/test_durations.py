"""Durations are read and printed as Go does."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("30s", 30.0),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("100ms", 0.1),
        ("1ns", 1e-9),
        ("2us", 2e-6),
        ("2\u00b5s", 2e-6),
        ("2\u03bcs", 2e-6),
        ("1h1m1s1ms1us1ns", 3661.001001001),
        ("2562047h", 2562047 * 3600.0),
    ],
)
def test_a_duration_is_its_seconds(text: str, seconds: float) -> None:
    assert durations.parse(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize("text", ["2562048h", "99999999999999999999s", "9223372037s"])
def test_what_go_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than 292 years"):
        durations.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "-5m",
        "+5m",
        "5 m",
        " 5m",
        "5m\n",
        "1d",
        "m",
        ".5s",
        "5.s",
        "1e3s",
        "٣s",
        "5M",
        "1s" * 9,
        "9" * 400 + "s",
    ],
)
def test_anything_else_is_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (30, "30s"), (90, "1m30s"), (3600, "1h"), (3661, "1h1m1s"), (0.2, "200ms"), (1.5, "1.5s")],
)
def test_seconds_are_shown_as_one_writes_them(seconds: float, text: str) -> None:
    assert durations.show(seconds) == text


@given(st.integers(min_value=0, max_value=10**8))
def test_whole_seconds_that_are_shown_are_read_back(seconds: int) -> None:
    assert durations.parse(durations.show(seconds)) == seconds


@given(st.text())
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert durations.parse(text) >= 0
