"""The targets over HTTP: refresh them, their status, the list, one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint
from werkzeug.routing import BaseConverter

from alert_refresh.engine import Trigger, WatchHealth
from alert_refresh.targets.counts import CachedCounts
from alert_refresh.targets.named import secrets_of
from alert_refresh.targets.secret.fields import RESERVED_NAMES, TYPES
from alert_refresh.web import query
from alert_refresh.web.alertmanager.fields import Deliveries
from alert_refresh.web.answers import answer, rfc3339
from alert_refresh.web.errors import ApiError
from alert_refresh.web.feed import conditional, follow
from alert_refresh.web.held import add_routes
from alert_refresh.web.manual_refresh import ManualRefresh
from alert_refresh.web.status import loaded, off_fields, status_fields
from alert_refresh.web.targets.fields import rejected_fields, skipped_fields, target_fields

if TYPE_CHECKING:
    from flask.blueprints import BlueprintSetupState

    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import Worker
    from alert_refresh.targets.metrics import TargetMetrics
    from alert_refresh.targets.target import Target
    from alert_refresh.web.answers import JsonResponse
    from alert_refresh.web.auth import Auth

KIND = "targets"
PREFIX = "/api/v2/publishing/targets"
NO_TARGET = "There is no target of this name"


class TargetName(BaseConverter):
    """One path segment that is no route of its own; a target cannot have one of those names."""

    regex = f"(?!(?:{'|'.join(sorted(RESERVED_NAMES))})$)[^/]+"


def build(daemon: Daemon, auth: Auth, metrics: TargetMetrics) -> Blueprint:
    """The blueprint of everything below `/api/v2/publishing/targets`."""
    blueprint = Blueprint(KIND, __name__, url_prefix=PREFIX)
    blueprint.record_once(_add_converter)
    _add_worker(blueprint, daemon, ManualRefresh(daemon, auth, KIND, "Target", metrics.asked))
    add_routes(blueprint, daemon, auth, KIND)
    _add_reads(blueprint, daemon, auth, metrics)
    return blueprint


def _add_worker(blueprint: Blueprint, daemon: Daemon, ask: ManualRefresh) -> None:
    """Refresh and status."""
    counted = CachedCounts()

    @blueprint.post("/refresh")
    def refresh() -> JsonResponse:
        """Refresh the targets; ?wait=10s answers with the result."""
        return ask()

    @blueprint.post("/<target_name:name>/refresh")
    def refresh_one(name: str) -> JsonResponse:
        """Refresh one target by reading its Secret again; ?wait=10s answers with the result."""
        return ask(lambda: _known(daemon.workers.get(KIND), name), about={"target": name})

    @blueprint.get("/status")
    def status() -> JsonResponse:
        """The last and the next refresh of the targets, their counts and the cause of a failure."""
        query.only(*follow.BLOCKING)
        follow.wait_for_change(daemon, KIND)
        worker = daemon.workers.get(KIND)
        return answer(off_fields(daemon, KIND) if worker is None else _status_fields(worker, counted))


def _add_reads(blueprint: Blueprint, daemon: Daemon, auth: Auth, metrics: TargetMetrics) -> None:
    """All targets and one target."""

    @blueprint.get("")
    def listing() -> JsonResponse:
        """All targets and the rejected Secrets; ?type=slack, ?enabled=true, ?reveal=true."""
        query.only("reveal", "type", "enabled", *follow.BLOCKING)
        reveal, type_, enabled = _revealed(auth), query.choice("type", TYPES), query.flag("enabled")
        operation = "list" if type_ is None else "get_by_type"
        follow.wait_for_change(daemon, KIND)
        try:
            snapshot = loaded(daemon, KIND)
        except ApiError:
            metrics.looked_up(operation, hit=False)
            raise
        conditional.lists(snapshot)
        deliveries = Deliveries(daemon.workers)
        found = [
            target_fields(target, reveal, deliveries)
            for target in snapshot.items.values()
            if type_ in (None, target.type) and enabled in (None, target.enabled)
        ]
        metrics.looked_up(operation, hit=bool(found))
        rejected = [rejected_fields(one) for one in snapshot.rejected]
        fields = {"generation": snapshot.generation, "targets": found, "rejected": rejected}
        return answer(fields | {"skipped": skipped_fields(snapshot)})

    @blueprint.get("/<target_name:name>")
    def one(name: str) -> JsonResponse:
        """One target; ?reveal=true."""
        query.only("reveal", *follow.BLOCKING)
        reveal = _revealed(auth)
        follow.wait_for_change(daemon, KIND)
        snapshot = loaded(daemon, KIND)
        target = snapshot.items.get(name)
        metrics.looked_up("get", hit=target is not None)
        if target is None:
            raise ApiError(404, NO_TARGET)
        return answer(target_fields(target, reveal, Deliveries(daemon.workers)))


def _revealed(auth: Auth) -> bool:
    """Whether the client requests credentials and is authorized to see them."""
    if not query.flag("reveal"):
        return False
    auth.demand_read(auth.who())
    return True


def _known(worker: Worker[Target] | None, name: str) -> str:
    """The name of a target that can be refreshed alone. What refuses every refresh goes before that it is unknown.

    Raises:
        ApiError: 404, neither a target nor a rejected Secret has this name.
    """
    status = worker.get_status() if worker is not None else None
    if status is None or not status.running or status.stopping or status.snapshot is None:
        return name
    busy = status.in_progress or (status.pending is not None and status.pending.trigger is Trigger.MANUAL)
    if not busy and not secrets_of(status.snapshot, name):
        raise ApiError(404, NO_TARGET)
    return name


def _status_fields(worker: Worker[Target], counted: CachedCounts) -> dict[str, Any]:
    """The status of the targets as JSON fields; cheap however many targets there are."""
    status = worker.get_status()
    good = counted(status.last_good)
    stale = good.stale if status.snapshot is status.last_good else counted(status.snapshot).stale
    return status_fields(
        worker,
        status,
        targets_discovered=good.valid + good.invalid,
        targets_valid=good.valid,
        targets_invalid=good.invalid,
        stale_targets=stale,
        watch=_watch(worker),
    )


def _watch(worker: Worker[Target]) -> dict[str, Any] | None:
    """The state of the watch; None for a source without a connection."""
    health = worker.watch_health()
    if health is None:
        if worker.source.name != "kubernetes":
            return None
        health = WatchHealth(connected=False)
    return {
        "connected": health.connected,
        "last_proof_of_life": rfc3339(health.last_proof_of_life),
        "error": health.error,
    }


def _add_converter(setup: BlueprintSetupState) -> None:
    setup.app.url_map.converters["target_name"] = TargetName
