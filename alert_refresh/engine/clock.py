"""Time, injected: limits and schedules use `monotonic`, the wall clock is for display only."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from alert_refresh.engine.errors import TIMEOUT, Stopping, Transient


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
    """The end of one attempt: everything it does (connect, reads, pages, parsing) shares these seconds.

    `stopping` ends `wait`; the worker puts its own event there.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self.seconds = seconds
        self.stopping = threading.Event()
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

    def wait(self, seconds: float) -> None:
        """Let so many seconds of the attempt pass.

        Raises:
            Transient: the deadline has passed (error type `timeout`).
            Stopping: the worker is stopping, and nobody waits for the attempt's result.
        """
        if self._clock.wait(self.stopping, min(seconds, self.check())):
            raise Stopping("the worker is stopping")
        self.check()
