"""The injected clock: limits and schedules use `monotonic`, the wall clock is for display only."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from alert_refresh.engine.errors import TIMEOUT, Stopping, Transient


class Clock(Protocol):
    """The time functions that the engine uses; tests inject a clock that they advance."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary zero; never goes backwards."""

    def time(self) -> float:
        """Unix seconds, for display."""

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Block until `event` is set (True) or `seconds` have passed (False); None waits without a limit."""


class SystemClock:
    """The clock of the operating system."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        return event.wait(seconds)


class Deadline:
    """The deadline of one attempt, shared by everything it does: connect, reads, pages, parsing.

    `at` is in monotonic seconds. `stopping` ends `wait`; the worker replaces it by its own event.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self.seconds = seconds
        self.stopping = threading.Event()
        self.at = clock.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; negative after the deadline."""
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

    def wait(self, seconds: float) -> None:
        """Wait `seconds`, as part of the attempt.

        Raises:
            Transient: the deadline has passed (error type `timeout`).
            Stopping: the worker is stopping.
        """
        if self._clock.wait(self.stopping, min(seconds, self.check())):
            raise Stopping("the worker is stopping")
        self.check()
