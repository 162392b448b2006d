"""How many requests each route answered, by the class of the status, in Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request
from prometheus_client import Counter

if TYPE_CHECKING:
    from flask import Flask, Response
    from prometheus_client import CollectorRegistry

NO_ROUTE = "none"
"""The route of a request for which there is none, or none with that method."""

CLASSES = ("2xx", "3xx", "4xx", "5xx")


def count_requests(app: Flask, registry: CollectorRegistry) -> None:
    """Count every answer of `app` from now on, in `registry`. Call it once all routes are there."""
    counter = Counter(
        "alert_refresh_http_requests_total",
        "HTTP requests that were answered, by route and class of the status.",
        ("route", "code"),
        registry=registry,
    )
    for route in (NO_ROUTE, *(rule.rule for rule in app.url_map.iter_rules())):
        for code in CLASSES:
            counter.labels(route, code)

    @app.after_request
    def count(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else NO_ROUTE
        counter.labels(route, f"{response.status_code // 100}xx").inc()
        return response
