"""A circuit breaker: calls to a service that failed are suspended for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alert_refresh.engine import Backoff, Clock


class Circuit:
    """Open after a failure for the duration of the backoff; then one call may try.

    Concurrent threads may try once too often; that is harmless, and avoids a lock.
    """

    def __init__(self, clock: Clock, backoff: Backoff) -> None:
        self._clock = clock
        self._backoff = backoff
        self._failures = 0
        self._until = float("-inf")

    @property
    def healthy(self) -> bool:
        """Whether the last call worked, or none was made."""
        return self._failures == 0

    def closed(self) -> bool:
        """Whether to try now. After a failure only one call is allowed at a time."""
        if self._failures == 0:
            return True
        now = self._clock.monotonic()
        if now < self._until:
            return False
        self._until = now + self._backoff.base
        return True

    def left(self) -> float:
        """Seconds until the next try."""
        return max(0.0, self._until - self._clock.monotonic())

    def failed(self) -> bool:
        """A call failed; True if it is the first in a row."""
        self._failures += 1
        self._until = self._clock.monotonic() + self._backoff.seconds(self._failures)
        return self._failures == 1

    def worked(self) -> bool:
        """A call worked; True if it is the first after failures."""
        recovered = self._failures > 0
        self._failures = 0
        return recovered
