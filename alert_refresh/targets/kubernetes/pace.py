"""How long a watch lives and how soon it is tried again."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alert_refresh.engine import Clock


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. A watch is asked to end after a time between the two of `lasts`, and has failed `margin` later.

    `broken` are the first and the longest wait after a connection that broke, `refused` after an answer other than
    200 and between doubts. Who failed and then went well for `calm` begins with the first wait again.
    """

    lasts: tuple[float, float] = (45.0, 75.0)
    margin: float = 10.0
    connect: float = 5.0
    broken: tuple[float, float] = (0.1, 30.0)
    refused: tuple[float, float] = (2.0, 300.0)
    calm: float = 30.0

    def lifetime(self) -> float:
        """Random, so that many watches do not end at once."""
        return random.uniform(*self.lasts)  # noqa: S311 - nothing depends on its being a secret


class Streak:
    """Failures in a row."""

    def __init__(self, pace: Pace, clock: Clock) -> None:
        self._pace = pace
        self._clock = clock
        self._length = 0
        self._over_at = -math.inf

    def end(self) -> None:
        """It went well."""
        self._length = 0

    def wait(self, backoff: tuple[float, float], *, free: bool = False) -> float:
        """Seconds to wait after one more failure: doubled each time, and up to a quarter more; the first is free
        if that is said.
        """
        now = self._clock.monotonic()
        if now - self._over_at > self._pace.calm:
            self._length = 0
        self._length += 1
        doublings = self._length - 1 - free
        seconds = 0.0
        if doublings >= 0:
            seconds = min(backoff[0] * 2.0 ** min(doublings, 32), backoff[1]) * random.uniform(1.0, 1.25)  # noqa: S311
        self._over_at = now + seconds
        return seconds
