"""What can be asked: `GET /` lists the routes, and `GET /api/v2/version` says what runs."""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING, Any

from flask import Blueprint

from alert_refresh import __version__
from alert_refresh.web import query
from alert_refresh.web.answers import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Flask
    from werkzeug.routing import Map

    from alert_refresh.web.answers import JsonResponse

NAME = "alert-refresh"
VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")
"""A variable in a rule of the URL map, such as `<target_name:name>`."""

SUMMARIES = {
    "index.routes": "The routes of this server",
    "index.version": "The version of the program and of Python",
    "health.healthz": "200 while every thread makes progress, whatever a dependency does",
    "health.readyz": "200 once targets and rules, where configured, are loaded",
    "health.summary": "One summary of all kinds; 503 when one is unhealthy",
    "metrics.metrics": "Metrics for Prometheus, as text or OpenMetrics; ?name[]= restricts them",
    "targets.refresh": "Refresh the targets; ?wait=10s answers with the result",
    "targets.status": "The last and the next refresh of the targets, their counts and the cause of a failure",
    "targets.listing": "All targets and the rejected Secrets; ?type=slack, ?enabled=true, ?reveal=true",
    "targets.one": "One target; ?reveal=true",
    "rules.refresh": "Refresh the rules, or ?family=NAME of them; ?wait=10s answers with the result",
    "rules.status": "The last and the next refresh of the rules, their counts and the cause of a failure",
    "rules.listing": "All rules; ?family=NAME",
    "rules.one": "One rule",
    "rules.match": "Which rules match an alert's labels, and to which targets they lead",
    "views.refresh": "Refresh all views, or ?view=NAME; answers with the result of each",
    "views.status": "The last and the next refresh of the views, their caches and the automated service",
    "views.start": "Start the automated refresh of the views",
    "views.stop": "Stop the automated refresh of the views",
    "views.force": "Refresh all views now as the automated service would",
    "views.metrics": "The history of refreshes of the views; ?limit=100, ?view_name=NAME, ?since=UNIX_SECONDS",
    "views.ancestors": "Who is above an entity",
    "views.descendants": "How many are below an entity",
}
"""One line for each endpoint; one without a line stops the start."""


def install(app: Flask) -> None:
    """Add `/`, which lists the routes that the app has now and these two, and the version."""
    blueprint = Blueprint("index", __name__)

    @blueprint.get("/")
    def routes() -> JsonResponse:
        return answer(fields)

    @blueprint.get("/api/v2/version")
    def version() -> JsonResponse:
        query.only()
        return answer({"name": NAME, "version": __version__, "python": platform.python_version()})

    app.register_blueprint(blueprint)
    fields = {"name": NAME, "version": __version__, "routes": listed(app.url_map, app.view_functions)}


def listed(url_map: Map, views: Mapping[str, Callable[..., Any]]) -> list[dict[str, str]]:
    """Each route of a URL map: its method, its path with variables as `{name}`, and what it does."""
    found = [
        {
            "method": method,
            "path": VARIABLE.sub(r"{\1}", rule.rule),
            "summary": SUMMARIES.get(rule.endpoint) or summary(views[rule.endpoint]),
        }
        for rule in url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]
    return sorted(found, key=lambda one: (one["path"], one["method"]))


def summary(view: Callable[..., Any]) -> str:
    """The first line of a view's docstring.

    Raises:
        ValueError: it has none.
    """
    if not view.__doc__:
        raise ValueError(f"the view {view.__name__} has no docstring")
    return view.__doc__.strip().splitlines()[0].rstrip(".")
