"""When is the next periodic refresh due: pure functions of now, on the monotonic clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from alert_refresh.engine.outcome import Result, Trigger

if TYPE_CHECKING:
    from alert_refresh.engine.outcome import Outcome


class Schedule(Protocol):
    """Tells due times. All times are monotonic seconds; `started` is when the worker started."""

    def next_due(self, started: float, now: float) -> float | None:
        """The first due time after `now`, or None if there is never one."""

    def after(self, outcome: Outcome, now: float) -> Schedule:
        """The schedule to follow once a cycle ended like that; itself if cycles do not matter to it."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Every `interval` seconds, first at `started + warmup` (without a warm-up at `started + interval`).

    Ticks that were missed are skipped: the answer is always in the future and stays on the grid.
    """

    interval: float
    warmup: float = 0.0

    def next_due(self, started: float, now: float) -> float:
        first = started + (self.warmup or self.interval)
        if now < first:
            return first
        passed = math.floor((now - first) / self.interval)
        # The quotient is rounded, so the tick after the last one may be any of these three.
        ticks = (first + (passed + step) * self.interval for step in range(3))
        return next(due for due in ticks if due > now)

    def after(self, outcome: Outcome, now: float) -> Interval:
        return self


@dataclass(frozen=True, slots=True)
class Never:
    """No periodic refresh; manual and file triggers still work."""

    def next_due(self, started: float, now: float) -> float | None:
        return None

    def after(self, outcome: Outcome, now: float) -> Never:
        return self


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Like `Interval`, but sooner after a change or an error and later after neither, between two bounds.

    Each cycle that changed something or failed halves the interval, each other one doubles it, and the next is
    due one interval after it. The start-up load changes everything and so tells nothing. `last` is when the
    cycle ended that the interval was adapted after.
    """

    minimum: float
    maximum: float
    interval: float
    warmup: float = 0.0
    last: float = float("-inf")

    def next_due(self, started: float, now: float) -> float | None:
        if self.last < started:
            return Interval(self.interval, self.warmup).next_due(started, now)
        return Interval(self.interval).next_due(self.last, now)

    def after(self, outcome: Outcome, now: float) -> Adaptive:
        failed = outcome.result is Result.FAILED
        if outcome.result is Result.CANCELLED or (outcome.trigger is Trigger.STARTUP and not failed):
            return self
        interval = self.interval / 2 if failed or outcome.changed else self.interval * 2
        return replace(self, interval=min(max(interval, self.minimum), self.maximum), last=now)
