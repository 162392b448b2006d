"""Due times lie on a grid, and missed ones are skipped."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alert_refresh.engine import Interval, Never, Snapshot
from tests.fakes import FakeClock
from tests.stage import Stage, eventually


@pytest.mark.parametrize(
    ("now", "due"),
    [(0, 30), (29.999, 30), (30, 330), (30.001, 330), (329, 330), (330, 630), (1000, 1230), (1230, 1530)],
)
def test_ticks_come_at_warm_up_plus_multiples_of_the_interval(now: float, due: float) -> None:
    assert Interval(300, 30).next_due(0, now) == due


def test_without_a_warm_up_the_first_tick_comes_after_one_interval() -> None:
    assert Interval(300).next_due(0, 0) == 300
    assert Interval(300).next_due(1000, 1000) == 1300


def test_never_is_never_due() -> None:
    assert Never().next_due(0, 1e9) is None


@given(
    interval=st.floats(1e-3, 1e6),
    warmup=st.one_of(st.just(0.0), st.floats(1e-3, 1e6)),
    started=st.floats(0, 1e6),
    passed=st.floats(0, 1e7),
)
def test_the_next_tick_is_the_first_point_of_the_grid_after_now(
    interval: float, warmup: float, started: float, passed: float
) -> None:
    now = started + passed
    due = Interval(interval, warmup).next_due(started, now)
    assert due is not None
    first = Fraction(started) + Fraction(warmup or interval)
    rounding = Fraction(now) / 10**14 + Fraction(1, 10**9)
    steps = (Fraction(due) - first) / Fraction(interval)
    assert due > now
    assert steps >= 0 or now < first
    assert abs(steps - round(steps)) * Fraction(interval) <= rounding
    assert Fraction(due) - max(Fraction(now), first) <= Fraction(interval) + rounding


def grid(interval: float, started: float, warmup: float, number: int) -> list[float]:
    """The points of the grid around one, as they come out in floating point."""
    first = started + (warmup or interval)
    return [first + one * interval for one in range(max(0, number - 3), number + 4)]


@pytest.mark.parametrize("moment", ["at", "just before", "just after"])
@example(interval=0.1, warmup=0.0, started=449491064.68873813, number=7).via("the quotient is 6.99, the tick passed")
@example(interval=1 / 3, warmup=0.0, started=812629.0, number=6_831_230).via("the quotient of a moment after it, too")
@example(interval=30.200989189072498, warmup=0.0, started=50.0, number=68_463).via("the quotient is rounded up")
@given(
    interval=st.floats(1e-3, 1e5),
    warmup=st.one_of(st.just(0.0), st.floats(1e-3, 1e6)),
    started=st.floats(0, 1e9),
    number=st.integers(0, 10_000_000),
)
def test_around_a_tick_the_next_one_is_the_first_of_the_grid_that_is_still_to_come(
    moment: str, interval: float, warmup: float, started: float, number: int
) -> None:
    points = grid(interval, started, warmup, number)
    tick = points[-4]
    now = {"at": tick, "just before": math.nextafter(tick, 0), "just after": math.nextafter(tick, math.inf)}[moment]
    assert Interval(interval, warmup).next_due(started, now) == min(point for point in points if point > now)


def test_a_worker_ticks_on_the_grid_and_skips_what_it_missed() -> None:
    with Stage().start().idle() as stage:
        for due in (30, 330, 630):
            stage.fake.advance(due - stage.fake.monotonic())
            stage.idle()
        assert stage.source.calls == 4
        stage.fake.advance(10 * 300 + 7)  # asleep for ten ticks: one catches up, nine are gone
        stage.idle()
        assert stage.source.calls == 5
        assert stage.status.next_due == 30 + 13 * 300


def test_p18_a_paused_machine_catches_up_once() -> None:
    with Stage(interval=1, warmup=0).start().idle() as stage:
        stage.fake.advance(10)
        stage.idle()
        assert stage.source.calls == 2


def test_an_attempt_that_overruns_a_tick_does_not_queue_it() -> None:
    clock = FakeClock()
    with Stage(clock=clock, interval=10, warmup=0, timeout=100) as stage:

        def overrun(number: int) -> Snapshot[str]:
            clock.advance(35)
            return _snapshot(number)

        stage.source.answer = overrun
        stage.start()
        eventually(lambda: stage.source.calls == 1)
        stage.idle()
        assert stage.status.next_due == 40
        assert stage.source.calls == 1


def _snapshot(number: int) -> Snapshot[str]:
    from tests.fakes import snapshot

    return snapshot(f"version-{number}")


def test_l08_a_day_on_the_clock_has_exactly_its_ticks() -> None:
    with Stage().start().idle() as stage:
        while stage.fake.monotonic() < 86_400:
            due = stage.status.next_due
            assert due is not None
            stage.fake.advance(min(due, 86_400) - stage.fake.monotonic())
            stage.idle()
        assert stage.source.calls == 1 + 288  # at the start, then at 30, 330, ... 86130
        assert stage.status.next_due == 86_430
        assert stage.status.succeeded == 289


def test_p09_a_wall_clock_that_jumps_changes_no_schedule_no_limit_and_no_duration() -> None:
    with Stage().start().idle() as stage:
        stage.worker.refresh_now()
        stage.idle()
        for jump in (-7200.0, 7200.0, 10 * 365 * 86400.0, -stage.fake.wall_offset):
            stage.fake.wall_offset += jump
            due = stage.status.next_due
            assert due is not None and stage.fake.sleeping() == [due - stage.fake.monotonic()]
            assert stage.worker.health() is None
        from alert_refresh.engine import RateLimitExceeded

        stage.fake.advance(30)
        stage.idle()
        with pytest.raises(RateLimitExceeded) as refusal:
            stage.worker.refresh_now()
        assert refusal.value.retry_after == 30
        assert stage.source.calls == 3
        assert all(outcome.duration >= 0 for outcome in stage.outcomes)
        assert stage.outcomes[-1].generation > stage.outcomes[0].generation


def test_p09_a_wall_clock_that_goes_back_in_an_attempt_gives_no_negative_duration() -> None:
    clock = FakeClock()

    def answer(number: int) -> object:
        clock.wall_offset -= 7200
        clock.advance(2)
        return _snapshot(number)

    with Stage(clock=clock) as stage:
        stage.source.answer = answer
        stage.start().idle()
        assert stage.outcomes[0].duration == 2
