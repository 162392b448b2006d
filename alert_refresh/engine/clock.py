"""Time, injected: limits and schedules use `monotonic`, the wall clock is for display only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from alert_refresh.engine.errors import TIMEOUT, Transient

if TYPE_CHECKING:
    import threading


class Clock(Protocol):
    """What the engine needs of time; tests inject one they move by hand."""

    def monotonic(self) -> float:
        """Seconds that never go back, from an arbitrary zero."""

    def time(self) -> float:
        """Unix seconds, for display."""

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Block until `event` is set (True) or `seconds` have passed (False); None waits for ever."""


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        return event.wait(seconds)


class Deadline:
    """The end of one attempt: everything it does (connect, reads, pages, parsing) shares these seconds."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self.seconds = seconds
        self.at = clock.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at - self._clock.monotonic()

    def check(self) -> float:
        """Seconds left, always > 0.

        Raises:
            Transient: the deadline has passed (error type `timeout`).
        """
        left = self.remaining()
        if left <= 0:
            raise Transient(f"the attempt did not end within {self.seconds:g} s", TIMEOUT)
        return left
