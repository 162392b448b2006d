"""Lifetimes of watches, and their backoffs."""

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
    """In seconds. The server is asked to end a watch after a random time between the two `lifetimes`; `margin` later
    the watch has failed.

    `broken` is the backoff after a broken connection, `refused` the one after a status other than 200 and between
    relists. A backoff starts from its first wait again after `reset_after` without a failure.
    """

    lifetimes: tuple[float, float] = (45.0, 75.0)
    margin: float = 10.0
    connect: float = 5.0
    broken: Backoff = BROKEN
    refused: Backoff = REFUSED
    reset_after: float = 30.0

    def lifetime(self) -> float:
        """Random, so that many watches do not end at the same time."""
        return random.uniform(*self.lifetimes)  # noqa: S311 - jitter


class ResettingBackoff:
    """A backoff over consecutive failures that starts again after `reset_after` seconds without one."""

    def __init__(self, reset_after: float, clock: Clock) -> None:
        self._reset_after = reset_after
        self._clock = clock
        self._failures = 0
        self._over_at = -math.inf

    def reset(self) -> None:
        """A success: the next failure is the first."""
        self._failures = 0

    def wait(self, backoff: Backoff, *, free: bool = False) -> float:
        """Seconds to wait after one more failure, with up to 25 % of jitter; with `free` 0 for the first failure."""
        now = self._clock.monotonic()
        if now - self._over_at > self._reset_after:
            self._failures = 0
        self._failures += 1
        seconds = backoff.seconds(self._failures - free) * random.uniform(1.0, 1.25)  # noqa: S311 - jitter
        self._over_at = now + seconds
        return seconds
