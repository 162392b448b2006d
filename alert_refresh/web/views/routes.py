"""The views over HTTP: refresh them, their status, the automated service, the history."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from flask import Blueprint, g, request

from alert_refresh.views.names import among, name_fault
from alert_refresh.web import query
from alert_refresh.web.answers import answer
from alert_refresh.web.errors import ApiError, bad_request
from alert_refresh.web.manual_refresh import no_body
from alert_refresh.web.status import off_fields
from alert_refresh.web.views import entities, uniform
from alert_refresh.web.views.fields import status_fields
from alert_refresh.web.views.refresh import KIND, PREFIX, ViewsRefresh, not_running

if TYPE_CHECKING:
    from alert_refresh.daemon import Daemon
    from alert_refresh.views import Settings
    from alert_refresh.views.automated import Automated
    from alert_refresh.views.source import PostgresSource
    from alert_refresh.web.answers import JsonResponse
    from alert_refresh.web.auth import Auth

LIMIT = 1000
"""Rows of the history that one answer may have."""
SINCE = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?")
HISTORY_PARAMETERS = ("limit", "view_name", "since")
FIRST, LAST = -62_135_596_800, 253_402_300_800
"""The years 1 to 9999, in Unix seconds."""
STOP_WAIT = 60.0
"""Seconds that stopping the service waits for a refresh that runs."""

NOT_RUNNING = "Automated refresh service is not running"


def build(daemon: Daemon, auth: Auth, _: object) -> Blueprint:
    """The blueprint of everything below `/api/entities` and `/api/v2/views`."""
    both = Blueprint(KIND, __name__)
    both.register_blueprint(uniform.build(daemon, auth))
    both.register_blueprint(_build_entities(daemon, auth))
    return both


def _build_entities(daemon: Daemon, auth: Auth) -> Blueprint:
    blueprint = Blueprint("entities", __name__, url_prefix=PREFIX)
    worker = daemon.workers.get(KIND)
    if worker is None:
        _add_off(blueprint, daemon, auth)
        return blueprint
    from alert_refresh.views.automated import Automated

    source = cast("PostgresSource", worker.source)
    automated = Automated(worker)
    ask = ViewsRefresh(daemon, auth, worker)
    entities.add(blueprint, source)
    _add_history(blueprint, source)
    _add_service(blueprint, ask, automated, source.settings)
    _add_force(blueprint, ask, automated)

    def scope() -> str | None:
        view = query.one("view")
        if view is None:
            return None
        if (name := among(view, source.settings.views)) is None:
            raise ApiError(404, "There is no such view among VIEWS")
        return name

    @blueprint.post("/refresh")
    def refresh() -> JsonResponse:
        """Refresh all views, or ?view=NAME; answers with the result of each."""
        return ask.result(scope, "view")

    @blueprint.get("/refresh/status")
    def status() -> JsonResponse:
        """The last and the next refresh of the views, their caches and the automated service."""
        query.only()
        return answer(status_fields(worker, source, automated))

    return blueprint


def _add_service(blueprint: Blueprint, ask: ViewsRefresh, automated: Automated, settings: Settings) -> None:
    """Start and stop the automated service."""

    @blueprint.post("/refresh/automated/start")
    def start() -> JsonResponse:
        """Start the automated refresh of the views."""
        with ask.guarded("views.automated.start"):
            status = ask.worker.get_status()
            if not status.running or status.stopping:
                raise not_running()
            started = automated.start()
        words = "started successfully" if started else "is already running"
        interval = settings.refresh.interval
        return answer(
            {
                "status": "success",
                "message": f"Automated refresh service {words}",
                "config": {
                    "interval_seconds": int(interval) if interval.is_integer() else interval,
                    "concurrent_refresh": True,
                    "views": list(settings.views),
                },
                **({} if started else {"already_running": True}),
            }
        )

    @blueprint.post("/refresh/automated/stop")
    def stop() -> JsonResponse:
        """Stop the automated refresh of the views."""
        with ask.guarded("views.automated.stop"):
            final = automated.stop(STOP_WAIT)
            if final is None:
                raise ApiError(409, NOT_RUNNING, error="not_running")
        return answer(
            {
                "status": "success",
                "message": "Automated refresh service stopped successfully",
                "final_metrics": final,
            }
        )


def _add_force(blueprint: Blueprint, ask: ViewsRefresh, automated: Automated) -> None:
    """Force a refresh of the automated service."""

    @blueprint.post("/refresh/automated/force")
    def force() -> JsonResponse:
        """Refresh all views now as the automated service would."""

        def scope() -> None:
            if not automated.enabled:
                raise ApiError(409, NOT_RUNNING, error="not_running")

        automated.force(g.request_id)
        try:
            answered = ask.result(scope, shape=_forced)
        except ApiError:
            automated.unforce(g.request_id)
            raise
        automated.forced(g.request_id)
        return answered


def _forced(fields: dict[str, Any]) -> dict[str, Any]:
    """The result of a forced refresh, from that of any."""
    good = fields["status"] == "success"
    return {
        "status": fields["status"],
        "result": {
            "duration_ms": fields["duration_ms"],
            "views_refreshed": sum(fields["results"].values()),
            "success": good,
            **{name: fields[name] for name in ("results", "failed_views", "skipped_views") if name in fields},
        },
        "message": f"Forced refresh completed {'successfully' if good else 'with failures'}",
    }


def _add_history(blueprint: Blueprint, source: PostgresSource) -> None:
    """The table of past refreshes and its summary."""

    @blueprint.get("/refresh/automated/metrics")
    def metrics() -> JsonResponse:
        """The history of refreshes of the views; ?limit=100, ?view_name=NAME, ?since=UNIX_SECONDS."""
        query.only(*HISTORY_PARAMETERS)
        limit, view, since = query.one("limit"), query.one("view_name"), query.one("since")
        if limit is not None and not (re.fullmatch(r"[0-9]{1,4}", limit) and 1 <= int(limit) <= LIMIT):
            raise bad_request(f"Query parameter limit must be a whole number from 1 to {LIMIT}")
        if since is not None and not (SINCE.fullmatch(since) and FIRST <= float(since) < LAST):
            raise bad_request("Query parameter since must be a time in Unix seconds, in the years 1 to 9999")
        known = view is not None and among(view, source.settings.views)
        if view is not None and not known and name_fault(view) is not None:
            raise bad_request("Query parameter view_name must be the name of a view")
        with entities.unavailable():
            found = source.read_history(
                limit=int(limit or 100), view=known or view, since=None if since is None else float(since)
            )
        return answer({"status": "success", **found})


def _add_off(blueprint: Blueprint, daemon: Daemon, auth: Auth) -> None:
    """What answers when there is no database: the status says how to switch it on, all else is a 503."""
    fields = off_fields(daemon, KIND)

    @blueprint.get("/refresh/status")
    def status() -> JsonResponse:
        """The last and the next refresh of the views, their caches and the automated service."""
        query.only()
        return answer(fields)

    @blueprint.post("/refresh", endpoint="refresh", defaults={"known": ("view", "wait")})
    @blueprint.post("/refresh/automated/start", endpoint="start", defaults={"known": ()})
    @blueprint.post("/refresh/automated/stop", endpoint="stop", defaults={"known": ()})
    @blueprint.post("/refresh/automated/force", endpoint="force", defaults={"known": ("wait",)})
    @blueprint.get("/refresh/automated/metrics", endpoint="metrics", defaults={"known": HISTORY_PARAMETERS})
    @blueprint.get("/<path>/ancestors", endpoint="ancestors", defaults={"known": ()})
    @blueprint.get("/<path>/descendants/count", endpoint="descendants", defaults={"known": ()})
    def off(known: tuple[str, ...], **_: str) -> JsonResponse:
        """Answers 503: views are off."""
        if request.method == "POST":
            auth.demand_admin(auth.who())
            no_body()
        query.only(*known)
        raise ApiError(503, fields["message"], error="views_off", retry_after=daemon.config.shutdown_timeout)
