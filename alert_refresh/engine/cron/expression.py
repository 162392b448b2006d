"""When a cron expression is due in a time zone: pure functions of the wall clock's time.

`cronsim` enumerates the times of the expression on a calendar without time zone. What those are in the zone, where one
time may be skipped and another come twice, is decided here: exactly, whatever the size of the change.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING

from alert_refresh.engine.cron.fields import CronError, five_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTHING = timedelta(0)
DAY = 86_400.0
EPOCH = datetime(2000, 1, 1)
"""On the calendar, which has no zone."""
YEARS = 28
"""After so many years the days of the week fall on the same dates again."""
LOOK_AHEAD = 400
"""Days on which an expression is due that tell how far apart they are."""
PATIENCE = 2
"""After the wall clock was set back, no tick comes twice if the next one comes within so many intervals."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression of five fields, or `@daily` and the like, in a time zone by its IANA name.

    `longest` is the longest time between two ticks, in seconds of a calendar without changes of the clock, among the
    first 400 days on which it is due, in 28 years.

    Raises:
        CronError: the expression is none, or one that is never due.
        KeyError, OSError, ValueError: the zone is not known.
    """

    expression: str
    zone: str = "UTC"
    longest: float = field(init=False, compare=False, repr=False)
    _fields: str = field(init=False, compare=False, repr=False)
    _fixed: bool = field(init=False, compare=False, repr=False)
    _zone: tzinfo = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        fields = five_fields(self.expression)
        minute, hour, *_ = fields.split()
        derived = {"_fields": fields, "_fixed": not (minute.startswith("*") or hour.startswith("*"))}
        for name, value in (derived | {"_zone": zone_of(self.zone), "longest": longest(fields)}).items():
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return f"{self.expression} ({self.zone})"

    def next(self, wall: float) -> float:
        """The first tick after a time; both are Unix seconds.

        Every tick comes later than the one before. A time that the clock skips is no tick, and one that comes twice is
        two; but where minute and hour are fixed, a skipped one is the moment after the change, and only the first
        counts of two.
        """
        local = datetime.fromtimestamp(wall, self._zone)
        # What the clock shows between here and now comes again, if now is a time that comes twice.
        again = _offset(local, 0) - _offset(local, 1)
        best = float("inf")
        for one in times(self._fields, local.replace(tzinfo=None, fold=0) - max(again, NOTHING)):
            ticks = self._ticks(one)
            best = min([best, *(tick for tick in ticks if tick > wall)])
            if ticks and ticks[0] > wall:
                break
        return best

    def _ticks(self, one: datetime) -> list[float]:
        """The ticks that a time on the calendar is in the zone, the first one first."""
        first, second = (one.replace(tzinfo=self._zone, fold=fold).timestamp() for fold in (0, 1))
        if first == second:
            return [first]
        if first < second:
            return [first] if self._fixed else [first, second]
        if not self._fixed:
            return []
        changed = _offset(one.replace(tzinfo=self._zone), 1)
        moments = range(int(second), int(first) + 1)
        found = bisect_left(moments, True, key=lambda at: datetime.fromtimestamp(at, self._zone).utcoffset() == changed)
        return [float(moments[found])]

    def waits_for(self, used: float, wall: float) -> float:
        """The tick to wait for at `wall` if those until `used` have been; all are Unix seconds. It may have passed.

        `used` is later than `wall` after the clock was set back. Then the ticks in between do not come again, unless
        the next one is more than two intervals away: then the schedule begins anew.
        """
        tick = self.next(used)
        return self.next(wall) if tick - wall > PATIENCE * self.longest else tick


def zone_of(name: str) -> tzinfo:
    """The time zone of that name.

    Raises:
        KeyError, OSError, ValueError: there is none.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def _offset(local: datetime, fold: int) -> timedelta:
    """What the clock of the zone is ahead of UTC then; where a time is skipped or comes twice, before or after."""
    return local.replace(fold=fold).utcoffset() or NOTHING


def times(fields: str, after: datetime) -> Iterator[datetime]:
    """The times of an expression on the calendar, after one.

    Raises:
        CronError: there is no such day.
    """
    from cronsim import CronSim, CronSimError

    try:
        return iter(CronSim(fields, after))
    except CronSimError:
        raise CronError("is never due: no month has such a day") from None


def longest(fields: str) -> float:
    """The longest time between two ticks, in seconds; see `Cron`.

    Raises:
        CronError: it is never due.
    """
    minute, hour, *days = fields.split()
    before = EPOCH - timedelta(seconds=1)
    clock = list(takewhile(lambda one: one.date() == EPOCH.date(), times(f"{minute} {hour} * * *", before)))
    within = [(after - one).total_seconds() for one, after in pairwise(clock)]
    return max([*within, _days_apart(days) - (clock[-1] - clock[0]).total_seconds()])


def _days_apart(days: list[str]) -> float:
    """The longest time from one day to the next that day of month, month and day of week allow, in seconds."""
    if days == ["*"] * 3:
        return DAY
    apart: list[float] = []
    for one, after in pairwise(times(" ".join(["0", "0", *days]), EPOCH - timedelta(seconds=1))):
        apart.append((after - one).total_seconds())
        if len(apart) >= LOOK_AHEAD or after.year >= EPOCH.year + YEARS:
            break
    if not apart:
        raise CronError("is never due: no date has this day of month, month and day of week")
    return max(apart)
