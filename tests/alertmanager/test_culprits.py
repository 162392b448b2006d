"""Halving: whatever is refused is found, and everything else stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.alertmanager.culprits import culprits

if TYPE_CHECKING:
    from collections.abc import Collection

NAMES = [f"n{number}" for number in range(200)]


@given(st.lists(st.sampled_from(NAMES), unique=True), st.sets(st.sampled_from(NAMES)))
def test_exactly_what_is_refused_is_left_out(candidates: list[str], bad: set[str]) -> None:
    found = culprits(candidates, lambda accepted: bad.isdisjoint(accepted))
    assert found == [one for one in candidates if one in bad]


@given(
    st.lists(st.sampled_from(NAMES[:20]), unique=True),
    st.sets(st.frozensets(st.sampled_from(NAMES[:20]), min_size=1, max_size=3), max_size=5),
)
def test_what_is_refused_together_loses_no_more_than_it_must(
    candidates: list[str], together: set[frozenset[str]]
) -> None:
    def passes(accepted: Collection[str]) -> bool:
        return not any(one <= set(accepted) for one in together)

    found = culprits(candidates, passes)
    assert found is not None
    kept = [one for one in candidates if one not in found]
    assert passes(kept)
    assert all(not passes([*kept, one]) for one in found)


def test_nothing_passes_without_any_of_them() -> None:
    assert culprits(NAMES, lambda accepted: False) is None


def test_one_among_many_is_found_with_few_questions() -> None:
    asked = 0

    def passes(accepted: Collection[str]) -> bool:
        nonlocal asked
        asked += 1
        return NAMES[77] not in accepted

    assert culprits(NAMES, passes) == [NAMES[77]]
    assert asked <= 2 * 8 + 2
