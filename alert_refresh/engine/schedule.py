"""When the next periodic refresh is due: pure functions of the monotonic time, and `Earliest`, which reads clocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from alert_refresh.engine.clock import SystemClock
from alert_refresh.engine.cron import Cron
from alert_refresh.engine.outcome import Result, Trigger

if TYPE_CHECKING:
    from typing import Self

    from alert_refresh.engine.clock import Clock
    from alert_refresh.engine.outcome import Outcome


class Schedule(Protocol):
    """Computes due times. All times are monotonic seconds; `started` is when the worker started.

    A worker asks `on` once for the schedule that it then keeps. `recheck` is how many seconds it waits at most before
    it asks `moved` for the due time again.
    """

    @property
    def recheck(self) -> float:
        """Seconds after which a due time may have moved; infinite where none does."""

    def on(self, clock: Clock) -> Schedule:
        """This schedule by that clock, for one worker."""

    def next_due(self, started: float, now: float) -> float | None:
        """The first due time after `now`, or None without one."""

    def moved(self, due: float, now: float) -> float:
        """What has become of the due time `next_due` returned last, since the wall clock may have been set."""

    def after(self, outcome: Outcome, now: float) -> Schedule:
        """The schedule to use after a cycle with this outcome; itself if it does not adapt."""


class Monotonic:
    """What schedules have in common that no wall clock moves."""

    __slots__ = ()

    @property
    def recheck(self) -> float:
        return math.inf

    def on(self, clock: Clock) -> Self:
        return self

    def moved(self, due: float, now: float) -> float:
        return due


@dataclass(frozen=True, slots=True)
class Interval(Monotonic):
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
class Never(Monotonic):
    """No periodic refresh; manual and file triggers still work."""

    def next_due(self, started: float, now: float) -> float | None:
        return None

    def after(self, outcome: Outcome, now: float) -> Never:
        return self


@dataclass(frozen=True, slots=True)
class Adaptive(Monotonic):
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


RECHECK = 60.0
"""Seconds after which a due time by the wall clock is derived again."""
UNNOTICED = 0.1
"""Seconds by which the wall clock may be set without moving a due time: reading two clocks is never exact."""


class Wait(NamedTuple):
    """What one part of a schedule waits for: `due`, in monotonic seconds.

    For a cron expression it is `tick`, and all until `used` have been; both are Unix seconds.
    """

    due: float
    tick: float = 0.0
    used: float = -math.inf


@dataclass(slots=True)
class Earliest:
    """Due whenever one of several intervals and cron expressions is.

    The times of a cron expression are those of the wall clock, also after it was set. Set forward past a tick, that
    tick is due at once, and those between it and now are skipped. Set back, no tick comes twice; see `Cron.waits_for`.
    So it remembers which ticks have been: each worker needs its own, which `on` returns.
    """

    parts: tuple[Interval | Cron, ...]
    clock: Clock = field(default_factory=SystemClock, compare=False, repr=False)
    _waits: tuple[Wait, ...] = field(default=(), init=False, compare=False, repr=False)

    def __str__(self) -> str:
        return ", ".join(map(str, self.crons))

    @property
    def crons(self) -> tuple[Cron, ...]:
        """The cron expressions among the parts."""
        return tuple(part for part in self.parts if isinstance(part, Cron))

    @property
    def recheck(self) -> float:
        return RECHECK if self.crons else math.inf

    def on(self, clock: Clock) -> Earliest:
        return Earliest(self.parts, clock)

    def next_due(self, started: float, now: float) -> float | None:
        before = self._waits or (Wait(math.inf),) * len(self.parts)
        waits = tuple(self._wait(part, started, now, old) for part, old in zip(self.parts, before, strict=True))
        if now <= self.clock.monotonic():  # else somebody asks about a later time, such as that of a retry
            self._waits = waits
        return min((wait.due for wait in waits), default=None)

    def _wait(self, part: Interval | Cron, started: float, now: float, old: Wait) -> Wait:
        """What a part waits for from `now` on; what it waited for before is used if it was due."""
        if isinstance(part, Interval):
            return Wait(part.next_due(started, now))
        wall = self._wall(now)
        used = max(wall, old.tick if old.due <= now else old.used)
        return _by_clock(part, used, wall, now)

    def moved(self, due: float, now: float) -> float:
        wall = self._wall(now)
        self._waits = tuple(
            _moved(part, wait, wall, now) if isinstance(part, Cron) else wait
            for part, wait in zip(self.parts, self._waits, strict=True)
        )
        return min((wait.due for wait in self._waits), default=due)

    def _wall(self, at: float) -> float:
        """A monotonic time as Unix seconds, by the clock as it is now."""
        return self.clock.time() + at - self.clock.monotonic()

    def after(self, outcome: Outcome, now: float) -> Earliest:
        return self


def _by_clock(cron: Cron, used: float, wall: float, now: float) -> Wait:
    """What a cron expression waits for at `wall`, which is `now` in monotonic seconds."""
    tick = cron.waits_for(used, wall)
    return Wait(now + tick - wall, tick, wall if tick <= used else used)


def _moved(cron: Cron, wait: Wait, wall: float, now: float) -> Wait:
    """The same wait, after the wall clock may have been set."""
    if abs(now + wait.tick - wall - wait.due) < UNNOTICED:
        return wait
    return _by_clock(cron, wait.used, wall, now)
