"""The automated service: the worker's schedule, which may rest, and what it has done since it last began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Result

if TYPE_CHECKING:
    from alert_refresh.engine import Outcome, Worker


class Automated:
    """Counts the cycles that the schedule or a forced refresh began; a cycle is as good as its last attempt."""

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
        """Let the schedule begin, with a refresh at once. False if it runs already."""
        if not self._worker.get_status().paused:
            return False
        self.succeeded = self.failed = 0
        self._seconds = 0.0
        self._counted = ""
        return self._worker.resume()

    def stop(self, timeout: float) -> dict[str, Any] | None:
        """Let the schedule rest, wait for the refresh that runs, and tell what it did. None if it rests already."""
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
        """The refresh of this id is one of the service's own, though a person asked for it."""
        self._forced[request_id] = None

    def forced(self, request_id: str) -> None:
        """It was accepted, so whatever was forced before is over: one cycle runs at a time."""
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
