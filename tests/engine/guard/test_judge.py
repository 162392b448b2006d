"""The guard as a pure function: the table of cases, and properties of random histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alert_refresh.engine.guard.judge import NO_HISTORY, History, Hold, Limits, Times, change, judge
from tests.engine.guard.cases import BACKOFF, CASES, INTERVAL, Case, names

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = Limits(0.5, 10, INTERVAL, BACKOFF)
WALL = 1_700_000_000.0


class Guarded:
    """A set of names under the guard, as a worker would serve it."""

    def __init__(self, start: frozenset[str], limits: Limits = LIMITS) -> None:
        self.served = start
        self.found = start
        self.history = NO_HISTORY
        self.limits = limits
        self.changes: list[str] = []

    @property
    def held(self) -> frozenset[str]:
        return frozenset(self.history.hold.names) if self.history.hold else frozenset()

    def sees(self, found: frozenset[str], now: float, *, events: bool = False) -> None:
        self.found = found
        times = Times(now, WALL + now, None if events else now)
        self._becomes(judge(self.history, len(self.served), self.served - found, found, times, self.limits))

    def decides(self, decision: str) -> None:
        self._becomes(self.history.approved() if decision == "approve" else self.history.reject())

    def _becomes(self, history: History) -> None:
        if changed := change(self.history, history):
            self.changes.append(changed)
        self.history = history
        self.served = self.found | self.held


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_the_table_of_cases(case: Case) -> None:
    guarded = Guarded(case.start)
    for step in case.steps:
        if step.decision:
            guarded.decides(step.decision)
        guarded.sees(step.found, step.at, events=step.events)
        assert (guarded.served, guarded.held) == (step.served, step.held), f"at {step.at:g} s"


def test_the_proposal_is_the_hash_of_the_names_alone() -> None:
    assert Hold(("a", "b"), 1.0).proposal == Hold(("a", "b"), 2.0, rejected=True).proposal
    assert len({Hold(held, 1.0).proposal for held in (("a", "b"), ("ab",), ("a, b",), ("a",), ("b", "a"))}) == 5


def test_since_stays_while_a_hold_goes_on_and_begins_anew_after_a_rejection_that_lapsed() -> None:
    guarded = Guarded(names(10))
    guarded.sees(frozenset(), 100, events=True)
    guarded.sees(names(1), 110, events=True)
    assert guarded.history.hold is not None and guarded.history.hold.since == WALL + 100
    guarded.decides("reject")
    guarded.sees(frozenset(), 120, events=True)
    assert guarded.history.hold.since == WALL + 120 and not guarded.history.hold.rejected


def test_a_refresh_may_confirm_one_backoff_after_the_first_that_missed_something() -> None:
    guarded = Guarded(names(10))
    assert guarded.history.confirm_at(LIMITS) is None
    guarded.sees(names(4), 100)
    guarded.sees(names(3), 110)
    assert guarded.history.confirm_at(LIMITS) == 130
    guarded.sees(names(3), 130)
    assert guarded.history.confirm_at(LIMITS) == 140
    guarded.decides("reject")
    assert guarded.history.confirm_at(LIMITS) is None


def test_what_events_remove_one_after_the_other_is_confirmed_by_one_refresh() -> None:
    guarded = Guarded(names(10))
    for number in range(4, -1, -1):
        guarded.sees(names(number), 100.4 - number / 10, events=True)
    assert guarded.history.confirm_at(LIMITS) == pytest.approx(130.4)
    guarded.sees(names(0), 130.4)
    assert not guarded.served


def test_a_rejection_from_before_a_restart_holds() -> None:
    guarded = Guarded(names(10))
    held = tuple(sorted(names(10) - names(4)))
    guarded.history = History.restored(Hold(held, WALL - 9, rejected=True), 0.0)
    for now in (0.0, 30.0, 3000.0):
        guarded.sees(names(4), now)
        assert guarded.held == names(10) - names(4) and guarded.history.hold is not None
        assert guarded.history.hold.rejected


def test_the_changes_in_one_word_each() -> None:
    def after(*steps: Callable[[Guarded], None]) -> list[str]:
        guarded = Guarded(names(10))
        for step in steps:
            step(guarded)
        return guarded.changes

    def sees(count: int, now: float) -> Callable[[Guarded], None]:
        return lambda guarded: guarded.sees(names(count), now)

    def decides(decision: str) -> Callable[[Guarded], None]:
        return lambda guarded: guarded.decides(decision)

    assert after(sees(9, 1)) == []
    assert after(sees(4, 1), sees(4, 2)) == ["held"]
    assert after(sees(4, 1), sees(3, 2)) == ["held", "changed"]
    assert after(sees(4, 1), sees(4, 31)) == ["held", "confirmed"]
    assert after(sees(4, 1), sees(10, 2), sees(10, 3)) == ["held", "returned"]
    assert after(sees(4, 1), decides("approve"), sees(4, 2)) == ["held", "approved"]
    assert after(sees(4, 1), decides("reject"), sees(4, 2), sees(4, 99)) == ["held", "rejected"]
    assert after(sees(4, 1), decides("reject"), sees(3, 2)) == ["held", "rejected", "changed"]


@pytest.mark.parametrize(
    ("limit", "removed", "held"), [(0.0, 1, True), (0.1, 1, False), (0.1, 2, True), (1.0, 9, False)]
)
def test_the_limit_is_the_share_that_may_go(limit: float, removed: int, held: bool) -> None:
    guarded = Guarded(names(10), Limits(limit, 10, INTERVAL, BACKOFF))
    guarded.sees(names(10 - removed), 1)
    assert bool(guarded.held) is held


UNIVERSE = sorted(names(14))
SOURCES = st.sets(st.sampled_from(UNIVERSE)).map(frozenset)
STEPS = st.lists(st.tuples(st.sampled_from((1.0, 10.0, 30.0, 31.0, 200.0, 301.0)), SOURCES, st.booleans()), max_size=30)


@settings(max_examples=200, deadline=None)
@given(start=SOURCES, steps=STEPS)
def test_whatever_a_source_says_the_guard_keeps_its_promises(
    start: frozenset[str], steps: list[tuple[float, frozenset[str], bool]]
) -> None:
    """Of the largest set served within an interval only a part goes unconfirmed; nothing that is found is held back."""
    guarded = Guarded(start)
    now = 0.0
    baseline = [(0.0, start)]
    missed: dict[str, float] = {}
    for seconds, found, events in steps:
        before, now = guarded.served, now + seconds
        guarded.sees(found, now, events=events)
        assert guarded.served == found | guarded.held, "additions and changes are served at once"
        assert guarded.held <= before - found
        gone = before - guarded.served
        confirmed = {name for name in gone if not events and name in missed and now >= missed[name] + BACKOFF}
        if confirmed:
            baseline = []
        else:
            largest = max((served for at, served in baseline if at > now - INTERVAL), key=len, default=before)
            if len(largest) >= LIMITS.smallest:
                assert len(largest - found - guarded.held) <= LIMITS.max_removal * len(largest)
            assert guarded.served or not before, "all that there is goes only when it is confirmed"
        missed = {name: missed.get(name, now) for name in guarded.held}
        # A set counts until a window after it was replaced.
        baseline = [(now, served) if served is before else (at, served) for at, served in baseline]
        baseline.append((now, guarded.served))


@settings(max_examples=100, deadline=None)
@given(start=SOURCES, steps=STEPS, last=SOURCES)
def test_nothing_is_held_for_ever(
    start: frozenset[str], steps: list[tuple[float, frozenset[str], bool]], last: frozenset[str]
) -> None:
    guarded = Guarded(start)
    now = 0.0
    for seconds, found, events in steps:
        now += seconds
        guarded.sees(found, now, events=events)
    guarded.sees(last, now + 1)
    guarded.sees(last, now + 1 + BACKOFF)
    assert guarded.served == last and not guarded.held


@settings(max_examples=100, deadline=None)
@given(start=SOURCES, steps=STEPS)
def test_one_approval_is_enough(start: frozenset[str], steps: list[tuple[float, frozenset[str], bool]]) -> None:
    guarded = Guarded(start)
    now = 0.0
    for seconds, found, events in steps:
        now += seconds
        guarded.sees(found, now, events=events)
        if guarded.held:
            guarded.decides("approve")
            assert guarded.served == found and guarded.changes[-1] == "approved"
