"""The Flask app: the headers and logging of every request, and the blueprints."""

from __future__ import annotations

import logging
import re
import uuid
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask import Flask, g, request
from prometheus_client import CollectorRegistry
from werkzeug.exceptions import NotFound

from alert_refresh import daemon as kinds
from alert_refresh.keep.metrics import KeeperMetrics
from alert_refresh.kind import load
from alert_refresh.observe.metrics import EngineMetrics
from alert_refresh.observe.notify.metrics import measure
from alert_refresh.web import compression, errors, health, index, metrics
from alert_refresh.web.answers import JsonResponse
from alert_refresh.web.auth import Auth
from alert_refresh.web.docs import routes as docs
from alert_refresh.web.feed import conditional, events, refreshes
from alert_refresh.web.page import routes as page
from alert_refresh.web.prefix import PathPrefix
from alert_refresh.web.proxies import TrustedProxies
from alert_refresh.web.request_metrics import count_requests
from alert_refresh.web.summary import Summary

if TYPE_CHECKING:
    from flask import Response

    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import Clock

BODY_LIMIT = 1024
"""Maximum bytes of a request body, unless the view function sets another limit."""

UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})

HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "default-src 'none'"),
    ("Cache-Control", "no-store"),
)
"""Headers of every response that does not set its own."""

access = logging.getLogger("alert_refresh.access")


def create_app(daemon: Daemon) -> Flask:
    """The app for `daemon`. Starts no thread; may be called more than once in a process."""
    app = Flask("alert_refresh", static_folder=None, template_folder=None)
    app.response_class = JsonResponse
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT
    errors.install(app)
    _every_request(app, daemon.clock)
    if daemon.config.trusted_proxies:
        app.wsgi_app = TrustedProxies(app.wsgi_app, daemon.config.trusted_proxies)  # type: ignore[method-assign]  # Flask's documented way

    if daemon.config.path_prefix:
        app.wsgi_app = PathPrefix(app.wsgi_app, daemon.config.path_prefix)  # type: ignore[method-assign]  # see above

    registry = CollectorRegistry()
    engine = EngineMetrics(registry, daemon.workers, daemon.gauges, off=daemon.off, stuck=daemon.stuck)
    measure(registry, daemon.notifier)
    auth = Auth(daemon.config, daemon.clock, engine.wrong_token)
    for kind in kinds.KINDS:
        measured = load(kind.metrics)(registry, daemon.workers) if kind.metrics else None
        app.register_blueprint(load(kind.blueprint)(daemon, auth, measured))
    if daemon.keeper is not None:
        registry.register(KeeperMetrics(daemon.keeper))
    app.register_blueprint(health.build(daemon, Summary(daemon)))
    app.register_blueprint(metrics.build(registry))
    app.register_blueprint(docs.build())
    app.register_blueprint(events.build(daemon))
    app.register_blueprint(refreshes.build(daemon))
    app.register_blueprint(page.build())
    index.install(app)
    count_requests(app, registry)
    compression.install(app)
    conditional.install(app)  # it comes before the compression
    return app


def _every_request(app: Flask, clock: Clock) -> None:
    """Assign an id to each request, set the headers of each response, and log both."""

    @app.before_request
    def begin() -> Response | None:
        environ = request.environ
        g.started = clock.monotonic()
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        g.request_id = sent if UUID.fullmatch(sent) else str(uuid.uuid4())
        if _disguised(environ.get("PATH_INFO", ""), environ.get("RAW_URI", "")):
            raise NotFound
        if request.method == "OPTIONS" and environ.get("RAW_URI") == "*":
            # `OPTIONS *` is about the whole server and has no route (RFC 9110, 9.3.7).
            return JsonResponse(status=204, headers={"Allow": "GET, HEAD, OPTIONS, POST"})
        return None

    @app.after_request
    def end(response: Response) -> Response:
        headers = response.headers
        headers["X-Request-ID"] = g.request_id
        for name, value in HEADERS:
            headers.setdefault(name, value)
        if request.environ["wsgi.url_scheme"] == "https":
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        if access.isEnabledFor(logging.INFO):
            access.info(
                "request",
                extra={
                    "method": request.method if request.method in METHODS else "OTHER",
                    "route": request.url_rule.rule if request.url_rule else quote(request.path[:200]),
                    "status": response.status_code,
                    "duration_ms": round((clock.monotonic() - g.started) * 1000, 3),
                    "request_id": g.request_id,
                    "ip": request.remote_addr,
                },
            )
        return response


def _disguised(path: str, raw: str) -> bool:
    """Whether a path would match another route: the router drops leading slashes and decodes `%2F`."""
    if path.startswith("//"):
        return True
    return "%" in raw and "%2f" in raw.partition("?")[0].lower()
