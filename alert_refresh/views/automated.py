"""The automated service: the worker's schedule, which can be paused, and statistics since it was last started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Result

if TYPE_CHECKING:
    from alert_refresh.engine import Outcome, Worker


class Automated:
    """Counts the cycles of the schedule and of forced refreshes; the last attempt decides the result of a cycle."""

    def __init__(self, worker: Worker[Any]) -> None:
        self._worker = worker
        self._forced: dict[str, None] = {}
        self._counted = ""
        self.succeeded = 0
        self.failed = 0
        self.last_run: float | None = None
        self._seconds = 0.0
        worker.listen(self.heard)

    @property
    def enabled(self) -> bool:
        """Whether the schedule runs."""
        status = self._worker.get_status()
        return status.running and not status.paused

    def start(self) -> bool:
        """Start the schedule with an immediate refresh. False if it is already running."""
        if not self._worker.get_status().paused:
            return False
        self.succeeded = self.failed = 0
        self._seconds = 0.0
        self._counted = ""
        return self._worker.resume()

    def stop(self, timeout: float) -> dict[str, Any] | None:
        """Pause the schedule, wait for a running refresh, and return the statistics. None if it is already paused."""
        if not self.enabled:
            return None
        started = self._worker.get_status().started
        self._worker.pause(timeout)
        return {
            "total_refreshes": self.succeeded + self.failed,
            "successful_refreshes": self.succeeded,
            "failed_refreshes": self.failed,
            "average_duration_ms": self._average(),
            "uptime_seconds": max(0.0, self._worker.clock.monotonic() - started),
        }

    def force(self, request_id: str) -> None:
        """Count the refresh of this id as one of the service, although it was requested manually."""
        self._forced[request_id] = None

    def forced(self, request_id: str) -> None:
        """It was accepted, so an earlier forced refresh has ended: only one cycle runs at a time."""
        for earlier in list(self._forced):
            if earlier == request_id:
                return
            self.unforce(earlier)

    def unforce(self, request_id: str) -> None:
        """It was refused."""
        self._forced.pop(request_id, None)

    def heard(self, outcome: Outcome) -> None:
        """An attempt has ended."""
        if outcome.result is Result.CANCELLED:
            self.unforce(outcome.request_id)
            return
        if not outcome.trigger.scheduled and outcome.request_id not in self._forced:
            return
        good = outcome.result is Result.SUCCESS
        self._seconds += outcome.duration
        self.last_run = outcome.started_at
        self.failed -= self._counted == outcome.request_id
        self.failed += not good
        self.succeeded += good
        self._counted = "" if good else outcome.request_id
        if outcome.retry_in is None:
            self.unforce(outcome.request_id)

    def _average(self) -> float | None:
        cycles = self.succeeded + self.failed
        return self._seconds * 1000 / cycles if cycles else None
