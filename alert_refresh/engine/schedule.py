"""When the next periodic refresh is due: pure functions of the monotonic time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from alert_refresh.engine.outcome import Result, Trigger

if TYPE_CHECKING:
    from alert_refresh.engine.outcome import Outcome


class Schedule(Protocol):
    """Computes due times. All times are monotonic seconds; `started` is when the worker started."""

    def next_due(self, started: float, now: float) -> float | None:
        """The first due time after `now`, or None without one."""

    def after(self, outcome: Outcome, now: float) -> Schedule:
        """The schedule to use after a cycle with this outcome; itself if it does not adapt."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Every `interval` seconds, first at `started + warmup` (without a warm-up at `started + interval`).

    Missed ticks are skipped: the result is always in the future and on the grid.
    """

    interval: float
    warmup: float = 0.0

    def next_due(self, started: float, now: float) -> float:
        first = started + (self.warmup or self.interval)
        if now < first:
            return first
        passed = math.floor((now - first) / self.interval)
        # The quotient is subject to rounding, so the next tick may be any of these three.
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
    """Like `Interval`, but shorter after a change or a failure and longer after neither, between two bounds.

    A cycle that changed something or failed halves the interval, any other doubles it, and the next is due one
    interval after its end. The start-up load always changes everything and is ignored. `last` is the end of the
    cycle after which the interval was last adapted.
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
