"""Which parts are refused: whatever is, is found, everything else stays, and nothing that is known gets lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.alertmanager.delivery.culprits import apart, halve
from alert_refresh.engine import Transient

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

NAMES = [f"n{number}" for number in range(200)]
SOME = st.lists(st.sampled_from(NAMES), unique=True)
BAD = st.sets(st.sampled_from(NAMES))


class Judge:
    """Refuses what has one of these; after so many questions the time is over. `asked` counts questions and calls."""

    def __init__(self, bad: Collection[str], most: int | None = None) -> None:
        self._bad = frozenset(bad)
        self._most = most
        self.asked = self.calls = 0

    def passes(self, accepted: Collection[str]) -> bool:
        """Whether it passes."""
        if self.asked == self._most:
            raise Transient("the time is over")
        self.asked += 1
        return self._bad.isdisjoint(accepted)

    def refused(self, pieces: Sequence[Sequence[str]]) -> Iterator[bool]:
        """Whether each of them does not pass."""
        self.calls += 1
        return (not self.passes(piece) for piece in pieces)


@given(SOME, BAD)
def test_exactly_what_is_refused_is_found_by_halving(parts: list[str], bad: set[str]) -> None:
    split = halve(parts, Judge(bad).passes)
    assert split.culprits == [one for one in parts if one in bad]
    assert split.passed == [one for one in parts if one not in bad]
    assert (split.untried, split.error, split.nothing_passes) == ([], None, False)


@given(SOME, BAD)
def test_exactly_what_is_refused_is_found_by_itself(parts: list[str], bad: set[str]) -> None:
    split = apart(parts, Judge(bad).refused)
    assert sorted(split.culprits) == sorted(bad.intersection(parts))
    assert sorted(split.passed) == sorted(set(parts) - bad)
    assert (split.untried, split.error) == ([], None)


@given(SOME, BAD, st.integers(0, 60), st.booleans())
def test_a_search_that_ends_early_says_nothing_wrong_and_the_next_one_goes_on(
    parts: list[str], bad: set[str], most: int, halving: bool
) -> None:
    judge = Judge(bad, most)
    split = halve(parts, judge.passes) if halving else apart(parts, judge.refused)
    assert bad.isdisjoint(split.passed) and bad.issuperset(split.culprits)
    assert sorted([*split.passed, *split.culprits, *split.untried]) == sorted(parts)
    assert (split.error is None) or judge.asked == most
    rest = halve(split.untried, Judge(bad).passes)
    assert sorted([*split.culprits, *rest.culprits]) == sorted(bad.intersection(parts))


@given(
    st.lists(st.sampled_from(NAMES[:20]), unique=True),
    st.sets(st.frozensets(st.sampled_from(NAMES[:20]), min_size=1, max_size=3), max_size=5),
)
def test_what_is_refused_together_loses_no_more_than_it_must(parts: list[str], together: set[frozenset[str]]) -> None:
    def passes(accepted: Collection[str]) -> bool:
        return not any(one <= set(accepted) for one in together)

    split = halve(parts, passes)
    assert passes(split.passed)
    assert all(not passes([*split.passed, one]) for one in split.culprits)


@pytest.mark.parametrize("parts", [NAMES, []])
def test_nothing_passes_without_any_of_them(parts: list[str]) -> None:
    split = halve(parts, lambda accepted: False)
    assert split.nothing_passes and split.culprits == []


def test_one_among_many_is_found_with_few_questions() -> None:
    judge = Judge({NAMES[77]})
    assert halve(NAMES, judge.passes).culprits == [NAMES[77]]
    assert judge.asked <= 2 * 8 + 2


def test_those_that_stand_together_take_two_questions_each() -> None:
    judge = Judge(NAMES[50:100])
    assert halve(NAMES, judge.passes).culprits == NAMES[50:100]
    assert judge.asked <= 2 * 50 + 2 * 8


def test_however_many_there_are_they_are_found_in_a_handful_of_calls() -> None:
    many = [f"n{number}" for number in range(2000)]
    judge = Judge(many[::7])
    assert sorted(apart(many, judge.refused).culprits) == sorted(many[::7])
    assert judge.calls <= 3
