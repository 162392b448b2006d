"""The settings that each view may have of its own, and when each is due."""

from __future__ import annotations

from dataclasses import dataclass

from alert_refresh.engine import Interval, Outcome


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """Settings of one view; durations in seconds. `skip_max_age` 0: it is never skipped."""

    interval: float
    lock_timeout: float
    statement_timeout: float
    skip_max_age: float
    analyze: bool = False


@dataclass(frozen=True, slots=True)
class Earliest:
    """A schedule that is due whenever one of several intervals is."""

    intervals: tuple[float, ...]
    warmup: float = 0.0

    def next_due(self, started: float, now: float) -> float | None:
        return min(Interval(interval, self.warmup).next_due(started, now) for interval in self.intervals)

    def after(self, outcome: Outcome, now: float) -> Earliest:
        return self
