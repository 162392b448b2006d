"""The views in the style of the other kinds, below `/api/v2/views`: refresh, status, list, one view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint
from werkzeug.routing import BaseConverter

from alert_refresh.views.names import among
from alert_refresh.web import query
from alert_refresh.web.answers import answer, rfc3339
from alert_refresh.web.errors import ApiError
from alert_refresh.web.feed import follow
from alert_refresh.web.manual_refresh import ManualRefresh
from alert_refresh.web.status import due_at, loaded, off_fields, status_fields
from alert_refresh.web.views.fields import next_run, skip_words
from alert_refresh.web.views.refresh import KIND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask.blueprints import BlueprintSetupState

    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import Worker
    from alert_refresh.views.view import ViewState
    from alert_refresh.web.answers import JsonResponse
    from alert_refresh.web.auth import Auth

PREFIX = "/api/v2/views"
NO_VIEW = "There is no such view among VIEWS"


class ViewName(BaseConverter):
    """One path segment that is no route of its own."""

    regex = "(?!(?:refresh|status)$)[^/]+"


def build(daemon: Daemon, auth: Auth) -> Blueprint:
    """The blueprint of everything below `/api/v2/views`."""
    blueprint = Blueprint("uniform", __name__, url_prefix=PREFIX)
    blueprint.record_once(_add_converter)
    ask = ManualRefresh(daemon, auth, KIND, "View")

    @blueprint.post("/refresh")
    def refresh() -> JsonResponse:
        """Refresh all views, or ?view=NAME; ?wait=10s answers with the result."""
        return ask(lambda: _known(daemon.workers.get(KIND), query.one("view")), "view")

    @blueprint.get("/status")
    def status() -> JsonResponse:
        """The last and the next refresh of the views, their counts and the cause of a failure."""
        query.only(*follow.BLOCKING)
        follow.wait_for_change(daemon, KIND)
        worker = daemon.workers.get(KIND)
        return answer(off_fields(daemon, KIND) if worker is None else _status_fields(worker))

    _add_reads(blueprint, daemon)
    return blueprint


def _add_reads(blueprint: Blueprint, daemon: Daemon) -> None:
    """All views and one view."""

    @blueprint.get("")
    def listing() -> JsonResponse:
        """All views: when each was refreshed last, how, and the cause of a failure."""
        query.only(*follow.BLOCKING)
        follow.wait_for_change(daemon, KIND)
        snapshot = loaded(daemon, KIND)
        worker = daemon.workers[KIND]
        found = [_view_fields(worker, state) for state in snapshot.items.values()]
        return answer({"generation": snapshot.generation, "views": found})

    @blueprint.get("/<view_name:name>")
    def one(name: str) -> JsonResponse:
        """One view."""
        query.only(*follow.BLOCKING)
        follow.wait_for_change(daemon, KIND)
        snapshot = loaded(daemon, KIND)
        worker = daemon.workers[KIND]
        state = snapshot.items.get(among(name, _names(worker)) or "")
        if state is None:
            raise ApiError(404, NO_VIEW)
        return answer(_view_fields(worker, state))


def _names(worker: Worker[Any]) -> tuple[str, ...]:
    """The names of the views that are configured."""
    names: tuple[str, ...] = worker.source.settings.views  # type: ignore[attr-defined]  # its own source
    return names


def _known(worker: Worker[Any] | None, view: str | None) -> str | None:
    """The name of a view that can be refreshed alone; None is all.

    Raises:
        ApiError: 404, there is no such view.
    """
    if worker is None or view is None:
        return None
    if (name := among(view, _names(worker))) is None:
        raise ApiError(404, NO_VIEW)
    return name


def _status_fields(worker: Worker[Any]) -> dict[str, Any]:
    """The status of the views as JSON fields."""
    status = worker.get_status()
    states: Sequence[ViewState] = () if status.snapshot is None else tuple(status.snapshot.items.values())
    health = worker.watch_health()
    watch = None
    if health is not None:
        proof = rfc3339(health.last_proof_of_life)
        watch = {"connected": health.connected, "last_proof_of_life": proof, "error": health.error}
    return status_fields(
        worker,
        status,
        views_configured=len(_names(worker)),
        views_failed=sum(state.failed for state in states),
        automated=status.running and not status.paused,
        watch=watch,
    )


def compared(state: ViewState) -> dict[str, Any]:
    """What of a view tells two generations apart, by the names of `_view_fields`."""
    return {
        "state": state.failed,
        "mode": state.mode,
        "outcome": state.outcome,
        "last_refreshed": state.refreshed_at,
        "last_success": state.fresh_at,
        "skip": state.never,
        "duration_ms": state.duration_ms,
        "reason": state.reason,
        "error_type": state.error_type,
        "rows": state.rows,
        "size_bytes": state.size,
        "generation": state.generation,
    }


def _view_fields(worker: Worker[Any], state: ViewState) -> dict[str, Any]:
    """One view as JSON fields: nothing in them changes while nothing happens to the view."""
    source: Any = worker.source
    own = source.settings.of(state.name)
    return {
        "name": state.name,
        "state": "stale" if state.failed else "fresh",
        "mode": str(state.mode),
        "outcome": state.outcome,
        "last_refreshed": rfc3339(state.refreshed_at),
        "last_success": rfc3339(state.fresh_at),
        "next_refresh": rfc3339(due_at(worker.clock, next_run(worker, source, state.name))),
        "interval_seconds": own.interval,
        "skip": skip_words(state, own.skip_max_age),
        "duration_ms": round(state.duration_ms, 3),
        "reason": state.reason or None,
        "error_type": state.error_type or None,
        "rows": state.rows,
        "size_bytes": state.size,
        "generation": state.generation or None,
    }


def _add_converter(setup: BlueprintSetupState) -> None:
    setup.app.url_map.converters["view_name"] = ViewName
