"""An interval that adapts to the outcomes, between two bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import Adaptive, Interval, Never, Outcome, Permanent, RefreshSettings, Result, Trigger, Worker
from tests.fakes import FakeClock, FakeSource, snapshot
from tests.stage import KIND, eventually

CALM = Adaptive(60, 3600, 600, warmup=30)


def outcome(trigger: Trigger = Trigger.PERIODIC, result: Result = Result.SUCCESS, *, changed: bool = False) -> Outcome:
    return Outcome("fake", trigger, "id", 1, result, 0.0, 0.0, changed=changed)


def test_before_anything_happened_it_is_an_interval_with_its_warm_up() -> None:
    assert CALM.next_due(100, 100) == 130 and CALM.next_due(100, 130) == 730


@pytest.mark.parametrize(
    ("ended", "interval"),
    [
        (outcome(), 1200),
        (outcome(changed=True), 300),
        (outcome(result=Result.FAILED), 300),
        (outcome(Trigger.FILE, changed=True), 300),
        (outcome(Trigger.MANUAL), 1200),
        (outcome(Trigger.STARTUP, Result.FAILED), 300),
    ],
)
def test_a_change_or_an_error_halves_it_and_neither_doubles_it(ended: Outcome, interval: float) -> None:
    after = CALM.after(ended, 1000)
    assert after.interval == interval and after.next_due(0, 1000) == 1000 + interval


@pytest.mark.parametrize(
    "ended", [outcome(Trigger.STARTUP, changed=True), outcome(Trigger.STARTUP), outcome(result=Result.CANCELLED)]
)
def test_the_first_load_and_a_stop_tell_nothing(ended: Outcome) -> None:
    assert CALM.after(ended, 1000) is CALM


def test_a_later_start_begins_with_the_warm_up_and_the_interval_it_had() -> None:
    after = CALM.after(outcome(), 1000)
    assert after.next_due(5000, 5000) == 5030 and after.next_due(5000, 5031) == 5030 + 1200


def test_other_schedules_stay_what_they_are() -> None:
    for schedule in (Interval(5), Never()):
        assert schedule.after(outcome(changed=True), 7) is schedule


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0.1, 1e5)), max_size=40))
def test_it_stays_between_its_bounds_and_always_in_the_future(cycles: list[tuple[bool, bool, float]]) -> None:
    schedule, now = CALM, 0.0
    for failed, changed, passed in cycles:
        now += passed
        schedule = schedule.after(outcome(result=Result.FAILED if failed else Result.SUCCESS, changed=changed), now)
        assert 60 <= schedule.interval <= 3600
        due = schedule.next_due(0, now)
        assert due is not None and now < due <= now + 3600


def test_a_worker_follows_what_its_schedule_becomes() -> None:
    clock = FakeClock()
    source: Any = FakeSource(lambda n: snapshot("same" if n < 4 else f"version-{n}"))
    settings = RefreshSettings(schedule=Adaptive(60, 3600, 600), max_retries=0)
    worker: Worker[str] = Worker(KIND, source, settings, clock=clock)
    worker.start()
    try:
        for wait in (600, 1200, 2400):
            clock.wait_for_sleeper(wait)
            clock.advance(wait)
        clock.wait_for_sleeper(1200)  # the fourth call found a change

        def fail(_: int) -> Any:
            raise Permanent("broken")

        source.answer = fail
        worker.refresh_now()
        eventually(lambda: worker.get_status().failed == 1)
        clock.wait_for_sleeper(600)
    finally:
        worker.stop()
