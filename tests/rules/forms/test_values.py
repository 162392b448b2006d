from __future__ import annotations

import time

import pytest

from alert_refresh.rules.forms import values
from alert_refresh.rules.forms.values import FEW, Places, Repeated, display, in_lines, mapping


def test_of_a_repeated_key_the_first_value_counts_and_the_key_is_kept() -> None:
    found = mapping([("a", 1), ("b", 2), ("a", 3), ("a", 4), ("c", 5), ("b", 6)])
    assert isinstance(found, Repeated) and found == {"a": 1, "b": 2, "c": 5} and found.keys_repeated == ("a", "b")
    assert type(mapping([("a", 1), ("b", 1)])) is dict


def test_the_nearest_known_place_is_reported() -> None:
    places = Places(lambda path: len(path) < 3)
    places.note((0,), 1)
    places.note((0, "a"), 2)
    places.note((0, "a", 1), 3)
    assert [places.lines(path) for path in ((0, "a", 1), (0, "b"), (1,))] == [(2,), (1,), ()]


def test_places_below_a_key_begin_there() -> None:
    places = Places(lambda path: True)
    places.note(("rules",), 1)
    places.note(("rules", 0), 2)
    assert places.below("rules").lines((0, "id")) == (2,) and places.below("other") is places


def test_a_key_repeated_very_often_costs_little_and_has_its_first_lines() -> None:
    places = Places(lambda path: True)
    began = time.thread_time()
    for line in range(1, 200_001):
        places.note(("a",), line)
    assert time.thread_time() - began < 5 and places.lines(("a",)) == tuple(range(1, FEW + 1))


def test_the_places_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MOST_PLACES", 2)
    places = Places(lambda path: True)
    for index in range(3):
        places.note((index,), index + 1)
    assert [places.lines((index,)) for index in range(3)] == [(1,), (2,), ()]


@pytest.mark.parametrize(("lines", "text"), [((), ""), ((4,), " (line 4)"), ((4, 5), " (lines 4, 5)")])
def test_lines_end_a_message(lines: tuple[int, ...], text: str) -> None:
    assert in_lines(lines) == text


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("a b", '"a b"'),
        ("ü\n\u202e", '"\\u00fc\\n\\u202e"'),
        ("x" * 61, f'"{"x" * 60}"'),
        (5, "a key that is not text"),
    ],
)
def test_a_key_is_shown_escaped_and_cut(key: object, text: str) -> None:
    assert display(key) == text
