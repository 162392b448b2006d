"""The settings of single views, and their schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from alert_refresh.engine import Cron, Interval

if TYPE_CHECKING:
    from alert_refresh.engine import Clock

SLACK = 0.5
"""Seconds by which the cycle of a tick may come early by the wall clock."""


class Moment(NamedTuple):
    """A time by both clocks: monotonic seconds, and Unix seconds."""

    monotonic: float
    wall: float

    @classmethod
    def now(cls, clock: Clock) -> Moment:
        """The time it is."""
        return cls(clock.monotonic(), clock.time())


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """Settings of one view; durations in seconds. `cron` replaces `interval`, which then is the longest time
    between two ticks. `skip_max_age` 0: it is never skipped.
    """

    interval: float
    lock_timeout: float
    statement_timeout: float
    skip_max_age: float
    analyze: bool = False
    cron: Cron | None = None

    def schedule(self, warmup: float) -> Cron | Interval:
        """What the view is due by."""
        return self.cron or Interval(self.interval, warmup)

    def next_due(self, started: float, now: Moment, warmup: float) -> float:
        """When the view is due next, in monotonic seconds, like `started`."""
        if self.cron is None:
            return Interval(self.interval, warmup).next_due(started, now.monotonic)
        return now.monotonic + self.cron.next(now.wall) - now.wall

    def is_fresh(self, age: float, wall: float) -> bool:
        """Whether a view that was refreshed `age` seconds ago, by another daemon, needs no refresh at `wall`."""
        if self.cron is None:
            return age < self.interval
        return self.cron.next(wall - age + SLACK) > wall

    def is_due(self, started: float, taken: Moment, now: Moment, warmup: float) -> bool:
        """Whether a tick has come since the view was last taken up.

        By a cron expression also if the wall clock was set back so far that the next tick is more than two intervals
        away.
        """
        if self.cron is None:
            return Interval(self.interval, warmup).next_due(started, taken.monotonic) <= now.monotonic
        used, wall = taken.wall + SLACK, now.wall + SLACK
        tick = self.cron.waits_for(used, wall)
        return tick <= max(wall, used)
