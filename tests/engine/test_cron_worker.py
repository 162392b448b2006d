"""A worker whose schedule is a cron expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import Cron, Earliest, Outcome, Trigger
from tests.fakes import START, FakeClock
from tests.stage import Stage, eventually

if TYPE_CHECKING:
    import threading

DAY = 86_400.0


class CountingClock(FakeClock):
    """Counts the waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        self.waits += 1
        return super().wait(event, seconds)


def stage(expression: str, zone: str = "UTC", clock: FakeClock | None = None, **settings: Any) -> Stage:
    cron = Cron(expression, zone)
    return Stage(clock=clock, interval=cron.longest, schedule=Earliest((cron,)), **settings)


def rest(stage: Stage) -> float:
    """Wait until the worker sleeps with nothing to do; returns for how long."""

    def asleep() -> bool:
        status = stage.status
        idle = status.attempt is None and status.pending is None and status.next_attempt is None
        return idle and bool(stage.fake.sleeping()) and stage.status is status

    eventually(asleep, "resting")
    return min(stage.fake.sleeping())


def next_due(stage: Stage) -> float:
    """When the next tick is due; 0 without one."""
    return stage.status.next_due or 0.0


def run_until(stage: Stage, seconds: float) -> None:
    """Advance from one wait to the next."""
    while (left := rest(stage)) + stage.fake.monotonic() <= seconds:
        calls = stage.source.calls
        status = stage.status
        assert status.next_due is not None
        fires = status.next_due - stage.fake.monotonic() <= left
        stage.fake.advance(left)
        if fires:
            eventually(lambda calls=calls: stage.source.calls > calls, "the tick")  # type: ignore[misc]
        eventually(lambda: all(one > 0 for one in stage.fake.sleeping()), "waking")


def test_l08_a_day_on_the_clock_has_exactly_its_ticks_after_the_refresh_at_the_start() -> None:
    clock = CountingClock()
    with stage("*/5 * * * *", clock=clock).start() as one:
        rest(one)
        assert [outcome.trigger for outcome in one.outcomes] == [Trigger.STARTUP]
        assert one.status.next_due == 300 - START % 300, "no warm-up"
        run_until(one, DAY)
        assert one.source.calls == 1 + 288
        assert [outcome.trigger for outcome in one.outcomes[1:]] == [Trigger.PERIODIC] * 288
        starts = {outcome.started_at % 300 for outcome in one.outcomes[1:]}
        assert starts == {0.0}
        assert clock.waits < 1440 + 4 * 289, "it wakes once a minute, and some times for each refresh"


def test_p09_a_clock_that_is_set_moves_the_next_refresh_within_a_minute() -> None:
    with stage("0 9 * * *").start() as one:
        rest(one)
        due = one.status.next_due
        assert due is not None
        one.fake.wall_offset += 1800
        one.fake.advance(60)
        eventually(lambda: one.status.next_due == pytest.approx(due - 1800), "the next one earlier")
        one.fake.wall_offset -= 7200
        rest(one)
        one.fake.advance(60)
        eventually(lambda: one.status.next_due == pytest.approx(due + 5400), "the next one later")
        assert one.source.calls == 1 and one.worker.health() is None
        rest(one)
        one.fake.wall_offset += DAY
        one.fake.advance(60)
        eventually(lambda: one.source.calls == 2, "the tick that the clock was set past")
        rest(one)
        assert one.status.next_due is not None and one.status.next_due > one.fake.monotonic()


def test_a_tick_within_an_attempt_is_skipped() -> None:
    clock = FakeClock()
    with stage("* * * * *", clock=clock, timeout=600) as one:

        def slow(number: int) -> object:
            from tests.fakes import snapshot

            clock.advance(150)
            return snapshot(f"version-{number}")

        one.source.answer = slow
        one.start()
        eventually(lambda: len(one.outcomes) == 1)
        rest(one)
        assert one.source.calls == 1
        assert (START + (one.status.next_due or 0)) % 60 == 0


def test_a_pause_and_a_stop_end_the_schedule_and_a_start_begins_it_anew() -> None:
    with stage("*/5 * * * *").start() as one:
        rest(one)
        one.worker.pause()
        assert next_due(one) == 0
        one.worker.resume()
        rest(one)
        due = next_due(one)
        assert (START + due) % 300 == 0
        one.worker.stop()
        one.worker.start()
        rest(one)
        assert next_due(one) == due


def test_the_outcome_of_a_cycle_does_not_change_it() -> None:
    with stage("*/5 * * * *").start() as one:
        rest(one)
        assert all(isinstance(outcome, Outcome) for outcome in one.outcomes)
        one.worker.refresh_now()
        eventually(lambda: one.source.calls == 2)
        rest(one)
        assert (START + (one.status.next_due or 0)) % 300 == 0
