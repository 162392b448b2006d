"""Shared by the blueprints of all kinds: the served snapshot, and a worker's status as JSON fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Result, Status
from alert_refresh.kind import is_off
from alert_refresh.web.answers import rfc3339, wall
from alert_refresh.web.errors import ApiError
from alert_refresh.web.held import held_fields

if TYPE_CHECKING:
    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import Clock, Snapshot, Worker

INEXACT = 0.2
"""Seconds by which a tick of the wall clock may come early, since two clocks are never read at once."""


def loaded(daemon: Daemon, kind: str) -> Snapshot[Any]:
    """The snapshot of a kind that is served.

    Raises:
        ApiError: 503, nothing is loaded yet, or the kind is off.
    """
    worker = daemon.workers.get(kind)
    status: Status[Any] = Status() if worker is None else worker.get_status()
    if status.snapshot is not None:
        return status.snapshot
    enable_hint = daemon.off.get(kind)
    message = f"{is_off(kind)}: {enable_hint}" if enable_hint else f"No {kind} have been loaded yet"
    raise ApiError(503, message, error="not_loaded", retry_after=_next_chance(daemon, status))


def off_fields(daemon: Daemon, kind: str) -> dict[str, Any]:
    """The status of a kind that is off."""
    return {"status": "off", "message": f"{is_off(kind)}: {daemon.off.get(kind, '')}"}


def status_fields(worker: Worker[Any], status: Status[Any], **items: Any) -> dict[str, Any]:
    """The status of a kind, from one `Status` of its worker; `items` are the fields about its items."""
    clock = worker.clock
    last, snapshot = status.last, status.snapshot
    failed = last is not None and last.result is Result.FAILED
    attempt = status.attempt.number if status.attempt else None
    if attempt is None and status.next_attempt is not None and last is not None:
        attempt = last.attempt
    return {
        "status": _word(status),
        "last_refresh": rfc3339(status.last_success_at),
        "next_refresh": rfc3339(due_at(clock, status.next_due)),
        "refresh_duration_ms": 0 if last is None else round(last.duration * 1000),
        **items,
        "consecutive_failures": status.consecutive_failures,
        "error": last.error if failed and last else None,
        "error_type": last.error_type if failed and last else None,
        "last_manual_refresh": rfc3339(status.last_manual_at),
        "generation": snapshot.generation if snapshot else None,
        "source": worker.source.name,
        "restored": status.restored,
        "restored_age_seconds": restored_age(worker, status),
        "held": held_fields(status.hold),
        "breaker_open": status.breaker_open,
        "attempt": attempt,
        "next_attempt": rfc3339(wall(clock, status.next_attempt)),
    }


def restored_age(worker: Worker[Any], status: Status[Any]) -> float | None:
    """Seconds since the last success before the restart, while what was restored is served; else None."""
    if not status.restored or status.last_success is None:
        return None
    return round(worker.clock.monotonic() - status.last_success, 3)


def due_at(clock: Clock, due: float | None) -> float | None:
    """A due time in Unix seconds, not shown as the second before it."""
    at = wall(clock, due)
    return None if at is None else at + INEXACT


def _word(status: Status[Any]) -> str:
    """The state in one word. A cancelled attempt is ignored: the one before it counts."""
    if status.attempt is not None:
        return "in_progress"
    if status.consecutive_failures:
        return "failed"
    return "idle" if status.last_success_at is None else "success"


def _next_chance(daemon: Daemon, status: Status[Any]) -> float:
    """Seconds until a retry may succeed: until the deadline of the running attempt, or the start of the next one."""
    if status.attempt is not None:
        return status.attempt.deadline.remaining()
    at = status.next_attempt or status.next_due
    return daemon.config.shutdown_timeout if at is None else at - daemon.clock.monotonic()
