"""When is the next periodic refresh due: pure functions of now, on the monotonic clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """Tells due times. Both times are monotonic seconds; `started` is when the worker started."""

    def next_due(self, started: float, now: float) -> float | None:
        """The first due time after `now`, or None if there is never one."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Every `interval` seconds, first at `started + warmup` (without a warm-up at `started + interval`).

    Ticks that were missed are skipped: the answer is always in the future and stays on the grid.
    """

    interval: float
    warmup: float = 0.0

    def next_due(self, started: float, now: float) -> float | None:
        first = started + (self.warmup or self.interval)
        if now < first:
            return first
        passed = math.floor((now - first) / self.interval)
        # The quotient is rounded, so the tick after the last one may be any of these three.
        ticks = (first + (passed + step) * self.interval for step in range(3))
        return next(due for due in ticks if due > now)


@dataclass(frozen=True, slots=True)
class Never:
    """No periodic refresh; manual and file triggers still work."""

    def next_due(self, started: float, now: float) -> float | None:
        return None
