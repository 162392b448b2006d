"""Several intervals and cron expressions as one schedule, also while the wall clock is set."""

from __future__ import annotations

import math
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import Cron, Earliest, Interval, Outcome, Result, SystemClock, Trigger
from tests.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping

NOON = 1_700_049_600.0
"""2023-11-15 12:00:00 UTC."""
FIVE, NINE = Cron("*/5 * * * *"), Cron("0 9 * * *")
HOUR, DAY = 3600.0, 86400.0


def clock_at(wall: float) -> FakeClock:
    clock = FakeClock()
    clock.wall_offset = wall
    return clock


def fires(cron: Cron, wall: float, seconds: float, steps: Mapping[float, float] | None = None) -> list[float]:
    """When a worker fires that starts at `wall`: seconds since its start. `steps` sets the wall clock at such times.

    It waits, asks for the due time again and takes the next one as the worker and its state do.
    """
    clock, todo, found = clock_at(wall), dict(steps or {}), []
    schedule = Earliest((cron,)).on(clock)
    due = schedule.next_due(0.0, 0.0)
    assert due is not None
    while (now := clock.monotonic()) < seconds:
        until = min([due, now + schedule.recheck, seconds, *(at for at in todo if at > now)])
        clock.advance(max(0.0, until - now))
        clock.wall_offset += todo.pop(clock.monotonic(), 0.0)
        due = schedule.moved(due, clock.monotonic())
        if due <= clock.monotonic() < seconds:
            found.append(clock.monotonic())
            next_due = schedule.next_due(0.0, clock.monotonic())
            assert next_due is not None and next_due > clock.monotonic()
            due = next_due
    return found


@given(st.lists(st.integers(1, 50), min_size=1, max_size=4), st.integers(0, 20), st.integers(0, 300))
def test_several_intervals_are_due_when_the_first_of_them_is(intervals: list[int], warmup: int, now: int) -> None:
    schedule = Earliest(tuple(Interval(float(interval), float(warmup)) for interval in intervals))
    due = schedule.next_due(0.0, float(now))
    assert due is not None and due > now
    times = {(warmup or interval) + n * interval for interval in intervals for n in range(400)}
    assert due == min(one for one in times if one > now)
    assert schedule.recheck == math.inf and schedule.moved(due, now + 1.0) == due


def test_without_parts_it_is_never_due() -> None:
    assert Earliest(()).next_due(0.0, 5.0) is None


def test_it_does_not_adapt_and_is_equal_by_its_parts() -> None:
    schedule = Earliest((FIVE, Interval(60)))
    outcome = Outcome("views", Trigger.PERIODIC, "id", 1, Result.SUCCESS, started_at=0.0, duration=0.0)
    assert schedule.after(outcome, 1.0) is schedule
    assert schedule == Earliest((FIVE, Interval(60)), FakeClock()) != Earliest((FIVE,))
    assert str(schedule) == "*/5 * * * * (UTC)" and schedule.crons == (FIVE,)


def test_each_worker_has_its_own() -> None:
    general, clock = Earliest((FIVE,)), clock_at(NOON)
    mine = general.on(clock)
    assert mine is not general and mine == general and mine.clock is clock
    assert mine.next_due(0.0, 0.0) == 300
    assert Interval(5).on(clock) == Interval(5) and Interval(5).moved(7.0, 6.0) == 7.0


def test_by_default_it_goes_by_the_machines_clock() -> None:
    clock = SystemClock()
    before, now = clock.time(), clock.monotonic()
    due = Earliest((Cron("* * * * *"),)).next_due(now, now)
    took = clock.time() - before
    assert due is not None and 0 < due - now <= 60.1 + took
    # However long the machine took between these readings, a minute ends where it is due.
    first, last = before + due - now - 0.5, before + due - now + took + 0.5
    assert first // 60 < last // 60


def test_ticks_are_times_of_the_wall_clock_and_an_interval_keeps_its_own() -> None:
    clock = clock_at(NOON + 60)
    schedule = Earliest((FIVE, Interval(70.0, 30.0))).on(clock)
    assert schedule.next_due(0.0, 0.0) == 30
    assert schedule.next_due(0.0, 30.0) == 100, "of a later time, too"
    assert schedule.next_due(0.0, 170.0) == 240
    clock.advance(170)
    assert schedule.next_due(0.0, 170.0) == 240, "at 12:05 by the clock, and 70 s after 170"
    clock.wall_offset -= 3 * HOUR
    assert schedule.moved(240.0, 170.0) == 240


def test_a_start_at_a_tick_waits_for_the_next_one() -> None:
    assert fires(FIVE, NOON, 901) == [300, 600, 900]
    assert fires(FIVE, NOON - 0.25, 301) == [0.25, 300.25]


def test_l08_a_day_and_a_year_have_exactly_their_ticks() -> None:
    assert fires(FIVE, NOON, DAY + 1) == [300.0 * n for n in range(1, 289)]
    berlin = Cron("30 2 * * *", "Europe/Berlin")
    clock = clock_at(datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    schedule, now, days = Earliest((berlin,)).on(clock), 0.0, []
    while (due := schedule.next_due(0.0, now)) is not None and due < 365 * DAY:
        clock.advance(due - now)
        now = clock.monotonic()
        days.append(datetime.fromtimestamp(round(clock.time(), 3), ZoneInfo("Europe/Berlin")))
    assert len(days) == 365 == len({one.date() for one in days})
    assert [one.isoformat() for one in days if (one.hour, one.minute) != (2, 30)] == ["2026-03-29T03:00:00+02:00"]


@pytest.mark.parametrize(
    ("cron", "wall", "steps", "expected"),
    [
        # By NTP, a second: the tick that has just been does not come again, and the next one is on time by the clock.
        (FIVE, NOON, {300.5: -1.0}, [300, 601, 901]),
        (FIVE, NOON, {300.0: -1.0}, [301, 601, 901]),
        (FIVE, NOON, {299.0: +0.5}, [299.5, 599.5, 899.5]),
        # Less than can be noticed.
        (FIVE, NOON, {150.0: 0.05}, [300, 599.95, 899.95]),
        (FIVE, NOON, {150.0: -0.05}, [300, 600.05, 900.05]),
        # Two hours, over many ticks: forward one is due at once, back the schedule begins anew.
        (FIVE, NOON, {150.0: 2 * HOUR}, [150, 300, 600, 900]),
        (FIVE, NOON, {150.0: -2 * HOUR}, [300, 600, 900]),
        (FIVE, NOON, {310.0: -2 * HOUR}, [300, 600, 900]),
        (FIVE, NOON, {150.0: 2 * HOUR + 30}, [150, 270, 570, 870]),
        # Ten years, and the year 1970.
        (FIVE, NOON, {150.0: 3650 * DAY}, [150, 300, 600, 900]),
        (FIVE, NOON, {150.0: -NOON}, [300, 600, 900]),
        # There and back again, and it goes on.
        (FIVE, NOON, {150.0: 2 * HOUR, 200.0: -2 * HOUR}, [150, 300, 600, 900]),
        # A daily job at 9: the clock is set past it, back before it once it has been, and back before it has been.
        (NINE, NOON - 4 * HOUR, {60.0: 2 * HOUR}, [60]),
        (NINE, NOON - 4 * HOUR, {HOUR + 60: -2 * HOUR}, [HOUR, DAY + 3 * HOUR]),
        (NINE, NOON - 4 * HOUR, {60.0: -2 * HOUR}, [3 * HOUR]),
        # Back by days: it begins anew, and knows of no tick before that.
        (NINE, NOON - 4 * HOUR, {HOUR + 60: -3 * DAY}, [HOUR, DAY + HOUR]),
        (NINE, NOON - 4 * HOUR, {HOUR + 60: -3 * DAY, HOUR + 120: 2.5 * DAY}, [HOUR, HOUR + 120, 13 * HOUR]),
    ],
)
def test_p09_a_wall_clock_that_is_set_gives_no_tick_twice_and_loses_none_for_long(
    cron: Cron, wall: float, steps: dict[float, float], expected: list[float]
) -> None:
    seconds = 905.0 if cron is FIVE else DAY + 4 * HOUR
    found = fires(cron, wall, seconds, steps)
    assert found[: len(expected)] == pytest.approx(expected)
    assert len(found) == len(expected) or cron is NINE


@given(
    st.sampled_from([FIVE, Cron("* * * * *"), Cron("0 * * * *"), Cron("*/20 * * * *", "Australia/Lord_Howe")]),
    st.dictionaries(st.floats(0, 4 * HOUR), st.one_of(st.floats(-7200, 7200), st.floats(-1, 1)), max_size=4),
)
def test_p09_however_the_clock_is_set_ticks_are_at_most_some_intervals_apart(
    cron: Cron, steps: dict[float, float]
) -> None:
    found = [0.0, *fires(cron, NOON, 8 * HOUR, steps), 8 * HOUR]
    apart = [after - before for before, after in pairwise(found)]
    assert max(apart) <= 3 * cron.longest + 60
    assert len(found) <= 8 * HOUR / cron.longest + 2 * len(steps) + 3


def test_p18_a_machine_that_slept_has_one_refresh_and_not_ten() -> None:
    # The monotonic clock stands still in a suspended machine; the wall clock has gone on when it resumes.
    assert fires(FIVE, NOON, 600, {100.0: 3000.0}) == [100, 300]


def test_a_clock_that_is_set_in_a_refresh_makes_none_of_its_ticks_due() -> None:
    clock = clock_at(NOON)
    schedule = Earliest((FIVE,)).on(clock)
    assert schedule.next_due(0.0, 0.0) == 300
    clock.advance(300.2)
    assert schedule.next_due(0.0, 300.0) == 600, "as the state does when the tick is due"
    clock.wall_offset -= 1
    assert schedule.next_due(0.0, 300.2) == pytest.approx(601), "as the state does when the cycle ends"


def test_a_question_about_the_time_of_a_retry_uses_no_tick() -> None:
    clock = clock_at(NOON)
    schedule = Earliest((FIVE,)).on(clock)
    assert schedule.next_due(0.0, 0.0) == 300
    assert schedule.next_due(0.0, 400.0) == 600, "of a wait that would last until then"
    clock.advance(10)
    assert schedule.next_due(0.0, 10.0) == 300, "but it ended early"
