"""Liveness, readiness, and a summary of the health of all kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Blueprint

from alert_refresh import daemon as kinds
from alert_refresh.web.answers import answer, rfc3339
from alert_refresh.web.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import Kind, Status, Worker
    from alert_refresh.web.answers import JsonResponse

DEGRADED_AFTER, UNHEALTHY_AFTER = 2, 6
"""Intervals since the last success (before the first: since the start)."""

HEALTHY, DEGRADED, UNHEALTHY, OFF = "healthy", "degraded", "unhealthy", "off"


@dataclass(frozen=True, slots=True)
class Health:
    """The health of one kind. `age` is the seconds since its last success, None before the first."""

    state: str
    loaded: bool
    age: float | None
    last_refresh: float | None
    consecutive_failures: int

    def fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return {
            "status": self.state,
            "loaded": self.loaded,
            "stale": self.state != HEALTHY,
            "last_refresh": rfc3339(self.last_refresh),
            "seconds_since_success": None if self.age is None else round(self.age, 3),
            "consecutive_failures": self.consecutive_failures,
        }


def health(worker: Worker[Any]) -> Health:
    """The health of a worker's kind; a worker that is not running is healthy."""
    status = worker.get_status()
    age = None if status.last_success is None else worker.clock.monotonic() - status.last_success
    states = {_by_age(worker, status), _by_cycle(worker.kind, status)} if status.running else set()
    state = next((one for one in (UNHEALTHY, DEGRADED) if one in states), HEALTHY)
    return Health(state, status.snapshot is not None, age, status.last_success_at, status.consecutive_failures)


def _by_age(worker: Worker[Any], status: Status[Any]) -> str:
    """Health by the age of the last success; without a schedule age does not make it unhealthy."""
    if status.next_due is None:
        return HEALTHY
    since = status.started if status.last_success is None else status.last_success
    intervals = (worker.clock.monotonic() - since) / worker.settings.interval
    return UNHEALTHY if intervals >= UNHEALTHY_AFTER else DEGRADED if intervals >= DEGRADED_AFTER else HEALTHY


def _by_cycle(kind: Kind, status: Status[Any]) -> str:
    """Health by the result of the last cycle: a failed one is unhealthy if nothing is served, else degraded."""
    if not status.cycle_failed:
        return HEALTHY
    items = () if status.snapshot is None else status.snapshot.items.values()
    return DEGRADED if any(kind.serves(item) for item in items) else UNHEALTHY


def _not_loaded(daemon: Daemon) -> list[str]:
    """The kinds that readiness waits for."""
    return [
        kind.name
        for kind in kinds.KINDS
        if kind.gates_readiness
        and kind.name in daemon.workers
        and daemon.workers[kind.name].get_status().snapshot is None
    ]


def build(daemon: Daemon, sentence: Callable[[], str]) -> Blueprint:
    """The blueprint of `/healthz`, `/readyz` and `/health`. `sentence` says how everything is."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> JsonResponse:
        """200 while every thread makes progress, also while a dependency is unavailable."""
        if stuck := daemon.stuck():
            raise ApiError(503, f"No progress: {', '.join(stuck)}", error="stuck", fields={"stuck": stuck})
        return answer({"status": "ok"})

    @blueprint.get("/readyz")
    def readyz() -> JsonResponse:
        """200 once targets and rules, where configured, are loaded."""
        if waiting := _not_loaded(daemon):
            fields = {"waiting_for": waiting}
            raise ApiError(503, f"Not loaded yet: {', '.join(waiting)}", error="not_ready", fields=fields)
        return answer({"status": "ready"})

    @blueprint.get("/health")
    def summary() -> JsonResponse:
        """A summary of all kinds; 503 when one is unhealthy or a thread is stuck."""
        found = {kind: health(worker) for kind, worker in daemon.workers.items()}
        kinds = {kind: one.fields() for kind, one in found.items()} | {
            kind: {"status": OFF, "message": enable_hint} for kind, enable_hint in daemon.off.items()
        }
        stuck = daemon.stuck()
        fields = {"summary": sentence(), "kinds": kinds, "stuck": stuck}
        states = {one.state for one in found.values()}
        if stuck or UNHEALTHY in states:
            unhealthy = stuck + [kind for kind, one in found.items() if one.state == UNHEALTHY]
            fields = {"status": UNHEALTHY} | fields
            raise ApiError(503, f"Unhealthy: {', '.join(unhealthy)}", error="unhealthy", fields=fields)
        return answer({"status": DEGRADED if DEGRADED in states else HEALTHY} | fields)

    return blueprint
