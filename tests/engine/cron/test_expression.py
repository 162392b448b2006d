"""The ticks of a cron expression in a time zone, through every kind of change of its clock."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from alert_refresh.engine import Cron, CronError

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parent.parent.parent.parent / "docs" / "schedules.md"
CASES = re.findall(r"^\| ([^|]+) \| `([^`]+)` \| (\S+) \| (\d[^|]+) \| (\d[^|]+) \|$", DOCS.read_text(), re.MULTILINE)


def ticks(cron: Cron, after: float, count: int) -> list[float]:
    """The next ticks after a time."""
    found = [cron.next(after)]
    while len(found) < count:
        found.append(cron.next(found[-1]))
    return found


def test_the_table_has_every_kind_of_change() -> None:
    zones = {zone for _, _, zone, _, _ in CASES}
    assert len(CASES) >= 18
    assert zones >= {
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "America/Havana",
        "UTC",
    }


@pytest.mark.parametrize(("case", "expression", "zone", "after", "expected"), CASES)
def test_the_table_of_changes_of_the_clock_is_true(
    case: str, expression: str, zone: str, after: str, expected: str
) -> None:
    start = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)).timestamp()
    wanted = expected.split(", ")
    found = [
        datetime.fromtimestamp(one, ZoneInfo(zone)).isoformat(" ", "minutes")[5:]
        for one in ticks(Cron(expression, zone), start, len(wanted))
    ]
    assert found == wanted


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("* * * * *", 60),
        ("*/5 * * * *", 300),
        ("*/7 * * * *", 420),
        ("0,50 * * * *", 3000),
        ("0 9 * * 1-5", 3 * 86400),
        ("*/5 8-18 * * *", 13 * 3600 + 300),
        ("0 0 31 * *", 61 * 86400),
        ("30 4 L * *", 31 * 86400),
        ("0 0 13 * 5", 7 * 86400),
        ("0 0 29 2 *", 1461 * 86400),
        ("0 0 * 2 MON#5", 10227 * 86400),
        ("0 12 * 2 *", 338 * 86400),
        ("0 12 * 1-11 *", 32 * 86400),
    ],
)
def test_the_longest_time_between_two_ticks_stands_for_the_interval(expression: str, seconds: float) -> None:
    assert Cron(expression).longest == seconds


def test_equal_expressions_are_equal_and_say_what_they_are() -> None:
    cron = Cron("*/5 * * * *", "Europe/Berlin")
    assert cron == Cron("*/5 * * * *", "Europe/Berlin") != Cron("*/5 * * * *")
    assert len({cron, Cron("*/5 * * * *", "Europe/Berlin")}) == 1
    assert str(cron) == "*/5 * * * * (Europe/Berlin)"


def test_one_that_is_never_due_and_an_unknown_zone_are_refused() -> None:
    with pytest.raises(CronError, match="is never due"):
        Cron("0 0 30 2 *")
    with pytest.raises(KeyError):
        Cron("* * * * *", "Mars/Base")


# Brute force: every minute is looked at.


def values(text: str, first: int, last: int) -> set[int]:
    """The numbers of one field, by a reading of their own."""
    found: set[int] = set()
    for term in text.split(","):
        span, _, step = term.partition("/")
        start, _, end = (f"{first}-{last}" if span == "*" else span).partition("-")
        found |= set(range(int(start), int(end or (last if step else start)) + 1, int(step or 1)))
    return found


def shown(expression: str) -> Callable[[datetime], bool]:
    """Whether a clock shows a time of the expression."""
    minute, hour, day, month, week = expression.split()
    minutes, hours, months = values(minute, 0, 59), values(hour, 0, 23), values(month, 1, 12)
    days, weeks = values(day, 1, 31), {one % 7 for one in values(week, 0, 7)}
    both = day.startswith("*") or week.startswith("*")

    def matches(local: datetime) -> bool:
        if local.minute not in minutes or local.hour not in hours or local.month not in months:
            return False
        on_day, on_week = local.day in days, local.isoweekday() % 7 in weeks
        return on_day and on_week if both else on_day or on_week

    return matches


DAYS = 2 * 1440
"""In minutes."""


def brute(expression: str, zone: str, after: float, minutes: int) -> list[float]:
    """Every minute after a time, up to so many, at which the clock shows a time of the expression."""
    first = int(after // 60 + 1) * 60
    moments = range(first, first + minutes * 60, 60)
    matches, clock = shown(expression), ZoneInfo(zone)
    return [float(one) for one in moments if matches(datetime.fromtimestamp(one, clock))]


def assert_same(cron: Cron, after: float) -> None:
    """The ticks of two days are those that brute force finds, each later than the one before."""
    wanted = brute(cron.expression, cron.zone, after, DAYS)
    *found, beyond = ticks(cron, after, len(wanted) + 1)
    assert found == wanted
    assert beyond >= int(after // 60 + 1 + DAYS) * 60
    assert all(one < later for one, later in pairwise([after, *found, beyond]))


def part(first: int, last: int) -> st.SearchStrategy[str]:
    number = st.integers(first, last)
    term = st.one_of(
        number.map(str),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.integers(1, last - first).map(lambda step: f"*/{step}"),
        st.tuples(number, st.integers(1, last - first)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )
    return st.one_of(st.just("*"), st.lists(term, min_size=1, max_size=3).map(",".join))


def expressions(minute: st.SearchStrategy[str], hour: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    # Months and days are wide, so that a few days have ticks.
    day, week = st.sampled_from(["*", "*", "*/2", "1-20", "3,10-31"]), st.sampled_from(["*", "*", "1-5", "0,6", "7"])
    return st.tuples(minute, hour, day, st.just("*"), week).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(expressions(part(0, 59), part(0, 23)), st.floats(0, 4e9))
def test_it_gives_every_tick_that_the_expression_has_and_no_other(expression: str, after: float) -> None:
    assert_same(Cron(expression), after)


CHANGES = [
    ("Europe/Berlin", "2026-03-29 01:00"),
    ("Europe/Berlin", "2026-10-25 01:00"),
    ("America/Havana", "2026-03-08 05:00"),
    ("America/Havana", "2026-11-01 05:00"),
    ("Australia/Lord_Howe", "2026-10-03 15:30"),
    ("Australia/Lord_Howe", "2026-04-04 15:00"),
    ("Pacific/Apia", "2011-12-30 10:00"),
    ("America/Caracas", "2016-05-01 07:00"),
    ("Asia/Pyongyang", "2015-08-14 15:00"),
]
"""Zones and, in UTC, when their clocks change."""


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(CHANGES),
    st.one_of(expressions(st.just("*/5"), part(0, 4)), expressions(part(0, 59), st.just("*"))),
    st.integers(0, 30 * 60),
)
@example(("Australia/Lord_Howe", "2026-10-03 15:30"), "30 * * * *", 600).via("half an hour that is skipped")
@example(("Australia/Lord_Howe", "2026-04-04 15:00"), "*/10 1 * * *", 60).via("half an hour that comes twice")
def test_through_a_change_ticks_are_what_the_clock_shows(change: tuple[str, str], expression: str, before: int) -> None:
    zone, moment = change
    after = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() - before * 60
    assert_same(Cron(expression, zone), after)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(CHANGES), st.integers(0, 59), st.integers(0, 23), st.integers(0, 48 * 3600))
def test_a_daily_job_runs_once_on_every_day_that_there_is(
    change: tuple[str, str], minute: int, hour: int, before: int
) -> None:
    zone, moment = change
    after = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() - before
    found = ticks(Cron(f"{minute} {hour} * * *", zone), after, 6)
    times = [datetime.fromtimestamp(one, ZoneInfo(zone)) for one in found]
    if zone != "Pacific/Apia":  # where the job of the day that is skipped runs on the next one
        assert all(later.date() - one.date() == timedelta(days=1) for one, later in pairwise(times))
    assert all(one < later for one, later in pairwise(found))
    late = [one for one in times if (one.hour, one.minute) != (hour, minute)]
    assert len(late) <= 1


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(CHANGES),
    expressions(part(0, 59), part(0, 23)),
    st.lists(st.floats(0, 6 * 3600), min_size=1, max_size=6),
)
def test_from_wherever_one_asks_the_next_tick_is_the_same(
    change: tuple[str, str], expression: str, steps: list[float]
) -> None:
    """Asked anew at each of several times, as after each refresh, it neither skips a tick nor gives one twice."""
    zone, moment = change
    cron = Cron(expression, zone)
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() - 3 * 3600
    for step in steps:
        due = cron.next(now)
        assert due > now
        now += step
        assert cron.next(now) == due if now < due else cron.next(now) > now


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["2026-03-28 01:30", "2026-10-24 23:30"]),
    expressions(part(0, 59), part(0, 23)),
    st.integers(0, 900),
)
def test_where_a_change_is_an_hour_in_the_night_it_is_what_cronsim_says(
    start: str, expression: str, later: int
) -> None:
    after = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo("Europe/Berlin")) + timedelta(minutes=later)
    assume(after.hour != 2)  # where the hour comes twice, cronsim may answer with a tick that has passed
    wanted = [one.timestamp() for one in islice(CronSim(expression, after), 40)]
    assert ticks(Cron(expression, "Europe/Berlin"), after.timestamp(), 40) == wanted


def test_a_year_has_exactly_its_ticks() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 1, 1, tzinfo=berlin).timestamp() - 1
    end = datetime(2027, 1, 1, tzinfo=berlin).timestamp() - 1
    for expression, count in {"0 * * * *": 8760, "30 2 * * *": 365, "0 */6 * * *": 1460, "0 9 * * 1-5": 261}.items():
        cron, now, found = Cron(expression, "Europe/Berlin"), start, 0
        while (now := cron.next(now)) <= end:
            found += 1
        assert found == count, expression


@pytest.mark.parametrize(
    ("used", "wall", "tick"),
    [
        (600, 600, 900),  # nothing was set
        (600, 599, 900),  # set back by a second: the tick at 600 has been
        (600, 320, 900),
        (600, 300, 900),  # two intervals at most
        (600, 299, 300),  # further back: anew
        (7200 + 600, 600, 900),
        (600, 1000, 900),  # set forward: it has passed
    ],
)
def test_what_it_waits_for_after_the_clock_was_set(used: float, wall: float, tick: float) -> None:
    assert Cron("*/5 * * * *").waits_for(used, wall) == tick


def test_without_the_systems_time_zones_those_of_the_package_are_used() -> None:
    code = (
        "import zoneinfo; zoneinfo.reset_tzpath(())\n"
        "from alert_refresh.engine import Cron\n"
        "print(Cron('30 2 * * *', 'Europe/Berlin').next(1774699200))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(result.stdout) == datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp()


def test_neither_cronsim_nor_time_zones_are_imported_without_an_expression() -> None:
    code = "import sys, alert_refresh.daemon; print([one for one in ('cronsim', 'zoneinfo') if one in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
