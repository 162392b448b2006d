"""The targets over HTTP: refresh them, their status, the list, one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint
from werkzeug.routing import BaseConverter

from alert_refresh.engine import Result, Status
from alert_refresh.targets.counts import Counted
from alert_refresh.targets.fields import RESERVED_NAMES, TYPES
from alert_refresh.web import query
from alert_refresh.web.answers import answer, rfc3339, wall
from alert_refresh.web.errors import ApiError
from alert_refresh.web.refresh import ManualRefresh
from alert_refresh.web.target_fields import rejected_fields, target_fields

if TYPE_CHECKING:
    from flask.blueprints import BlueprintSetupState

    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import Snapshot, Worker
    from alert_refresh.targets.metrics import TargetMetrics
    from alert_refresh.targets.target import Target
    from alert_refresh.web.answers import JsonResponse
    from alert_refresh.web.auth import Auth

KIND = "targets"
PREFIX = "/api/v2/publishing/targets"


class TargetName(BaseConverter):
    """One path segment that is no route of its own; a target cannot have one of those names."""

    regex = f"(?!(?:{'|'.join(sorted(RESERVED_NAMES))})$)[^/]+"


def build(daemon: Daemon, auth: Auth, metrics: TargetMetrics) -> Blueprint:
    """The blueprint of everything below `/api/v2/publishing/targets`."""
    blueprint = Blueprint(KIND, __name__, url_prefix=PREFIX)
    blueprint.record_once(_add_converter)
    ask = ManualRefresh(daemon, auth, KIND, "Target", metrics.asked)
    counted = Counted()

    def worker() -> Worker[Target] | None:
        return daemon.workers.get(KIND)

    def loaded() -> Snapshot[Target]:
        """What is served; a 503 before anything is known."""
        found = worker()
        status: Status[Target] = Status() if found is None else found.get_status()
        if status.snapshot is not None:
            return status.snapshot
        cure = daemon.off.get(KIND)
        message = f"Targets are off: {cure}" if cure else "No targets have been loaded yet"
        raise ApiError(503, message, error="not_loaded", retry_after=_next_chance(daemon, status))

    def revealed() -> bool:
        """Whether credentials are asked for, by somebody who may see them."""
        if not query.flag("reveal"):
            return False
        auth.demand_read(auth.who())
        return True

    @blueprint.post("/refresh")
    def refresh() -> JsonResponse:
        return ask()

    @blueprint.get("/status")
    def status() -> JsonResponse:
        found = worker()
        if found is None:
            return answer({"status": "off", "message": f"Targets are off: {daemon.off.get(KIND, '')}"})
        return answer(status_fields(found, counted))

    @blueprint.get("")
    def listing() -> JsonResponse:
        reveal, type_, enabled = revealed(), query.choice("type", TYPES), query.flag("enabled")
        operation = "list" if type_ is None else "get_by_type"
        try:
            snapshot = loaded()
        except ApiError:
            metrics.looked_up(operation, hit=False)
            raise
        found = [
            target_fields(target, reveal)
            for target in snapshot.items.values()
            if type_ in (None, target.type) and enabled in (None, target.enabled)
        ]
        metrics.looked_up(operation, hit=bool(found))
        rejected = [rejected_fields(one) for one in snapshot.rejected]
        return answer({"generation": snapshot.generation, "targets": found, "rejected": rejected})

    @blueprint.get("/<target_name:name>")
    def one(name: str) -> JsonResponse:
        reveal = revealed()
        snapshot = loaded()
        target = snapshot.items.get(name)
        metrics.looked_up("get", hit=target is not None)
        if target is None:
            raise ApiError(404, "There is no target of this name")
        return answer(target_fields(target, reveal))

    return blueprint


def status_fields(worker: Worker[Target], counted: Counted) -> dict[str, Any]:
    """The status of the targets as JSON fields; cheap however many targets there are."""
    status, clock = worker.get_status(), worker.clock
    last, snapshot = status.last, status.snapshot
    good = counted(status.last_good)
    stale = good.stale if snapshot is status.last_good else counted(snapshot).stale
    failed = last is not None and last.result is Result.FAILED
    attempt = status.attempt.number if status.attempt else None
    if attempt is None and status.next_attempt is not None and last is not None:
        attempt = last.attempt
    return {
        "status": _word(status),
        "last_refresh": rfc3339(status.last_success_at),
        "next_refresh": rfc3339(wall(clock, status.next_due)),
        "refresh_duration_ms": 0 if last is None else round(last.duration * 1000),
        "targets_discovered": good.valid + good.invalid,
        "targets_valid": good.valid,
        "targets_invalid": good.invalid,
        "stale_targets": stale,
        "consecutive_failures": status.consecutive_failures,
        "error": last.error if failed and last else None,
        "error_type": last.error_type if failed and last else None,
        "last_manual_refresh": rfc3339(status.last_manual_at),
        "generation": snapshot.generation if snapshot else None,
        "source": worker.source.name,
        "restored": False,
        "held": None,
        "watch": {"connected": False, "last_proof_of_life": None} if worker.source.name == "kubernetes" else None,
        "attempt": attempt,
        "next_attempt": rfc3339(wall(clock, status.next_attempt)),
    }


def _word(status: Status[Target]) -> str:
    """The state in one word. An attempt that a stop ended says nothing, so the one before counts."""
    if status.attempt is not None:
        return "in_progress"
    if status.consecutive_failures:
        return "failed"
    return "idle" if status.last_success_at is None else "success"


def _next_chance(daemon: Daemon, status: Status[Target]) -> float:
    """Seconds until what is not loaded may be: when the running attempt must have ended, or the next one begins."""
    if status.attempt is not None:
        return status.attempt.deadline.remaining()
    at = status.next_attempt or status.next_due
    return daemon.config.shutdown_timeout if at is None else at - daemon.clock.monotonic()


def _add_converter(setup: BlueprintSetupState) -> None:
    setup.app.url_map.converters["target_name"] = TargetName
