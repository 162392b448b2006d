"""Prometheus counter of requests by route and status class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request
from prometheus_client import Counter

if TYPE_CHECKING:
    from flask import Flask, Response
    from prometheus_client import CollectorRegistry

NO_ROUTE = "none"
"""The label of a request without a route, or without one for its method."""

CLASSES = ("2xx", "3xx", "4xx", "5xx")


def count_requests(app: Flask, registry: CollectorRegistry) -> None:
    """Count every response of `app` in `registry`. Call it after all routes are registered."""
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
