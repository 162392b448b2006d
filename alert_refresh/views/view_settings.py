"""The settings of single views, and their schedules."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice, pairwise

from alert_refresh.engine import Clock, Interval, Outcome, Schedule, SystemClock

LATE = 0.2
"""Seconds by which the wall clock may lag: an occurrence that comes so much early is not used twice."""
LOOK_AHEAD = 20
"""Occurrences of a cron expression from which its longest gap is computed."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule by a cron expression, in UTC.

    Raises:
        ValueError: the expression is invalid, or never occurs.
    """

    expression: str
    clock: Clock = field(default_factory=SystemClock, compare=False)

    def __post_init__(self) -> None:
        from cronsim import CronSimError

        try:
            self.longest()
        except (CronSimError, StopIteration):
            raise ValueError(self.expression) from None

    def next_due(self, started: float, now: float) -> float:
        wall = self.clock.time() + now - self.clock.monotonic()
        return now + self._occurrences(wall + LATE, 1)[0] - wall

    def after(self, outcome: Outcome, now: float) -> Cron:
        return self

    def longest(self) -> float:
        """The longest time between two of the next occurrences, in seconds."""
        return max(after - before for before, after in pairwise(self._occurrences(self.clock.time(), LOOK_AHEAD)))

    def _occurrences(self, wall: float, count: int) -> list[float]:
        """The next occurrences after a time, all in Unix seconds."""
        from cronsim import CronSim

        return [one.timestamp() for one in islice(CronSim(self.expression, datetime.fromtimestamp(wall, UTC)), count)]


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """Settings of one view; durations in seconds. `cron` replaces `interval`, which then is the longest time
    between two occurrences. `skip_max_age` 0: it is never skipped.
    """

    interval: float
    lock_timeout: float
    statement_timeout: float
    skip_max_age: float
    analyze: bool = False
    cron: Cron | None = None

    def schedule(self, warmup: float) -> Cron | Interval:
        """When the view is due."""
        return self.cron or Interval(self.interval, warmup)


@dataclass(frozen=True, slots=True)
class Earliest:
    """A schedule that is due whenever one of several is."""

    schedules: tuple[Schedule, ...]

    def next_due(self, started: float, now: float) -> float | None:
        dues = (schedule.next_due(started, now) for schedule in self.schedules)
        return min((due for due in dues if due is not None), default=None)

    def after(self, outcome: Outcome, now: float) -> Earliest:
        return self
