"""How long a watch lasts, and how soon it is tried again."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alert_refresh.engine import Backoff

if TYPE_CHECKING:
    from alert_refresh.engine import Clock


BROKEN = Backoff(0.1, 30.0)
REFUSED = Backoff(2.0, 300.0)


@dataclass(frozen=True, slots=True)
class WatchTimings:
    """Seconds. A watch is asked to end after a time between the two of `lifetimes`, and has failed `margin` later.

    `broken` is the backoff after a connection that broke, `refused` that after an answer other than 200 and between
    relists. A backoff begins with its first wait again after `reset_after` without a failure.
    """

    lifetimes: tuple[float, float] = (45.0, 75.0)
    margin: float = 10.0
    connect: float = 5.0
    broken: Backoff = BROKEN
    refused: Backoff = REFUSED
    reset_after: float = 30.0

    def lifetime(self) -> float:
        """Random, so that many watches do not end at the same time."""
        return random.uniform(*self.lifetimes)  # noqa: S311 - it only spreads attempts in time


class ResettingBackoff:
    """Counts failures in a row, for a backoff that begins anew after `reset_after` seconds without one."""

    def __init__(self, reset_after: float, clock: Clock) -> None:
        self._reset_after = reset_after
        self._clock = clock
        self._failures = 0
        self._over_at = -math.inf

    def reset(self) -> None:
        """A success: the next failure is the first."""
        self._failures = 0

    def wait(self, backoff: Backoff, *, free: bool = False) -> float:
        """Seconds to wait after one more failure, up to a quarter more than the backoff says; with `free` the first
        failure costs nothing.
        """
        now = self._clock.monotonic()
        if now - self._over_at > self._reset_after:
            self._failures = 0
        self._failures += 1
        seconds = backoff.seconds(self._failures - free) * random.uniform(1.0, 1.25)  # noqa: S311
        self._over_at = now + seconds
        return seconds
