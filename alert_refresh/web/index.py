"""`GET /`: the status page for browsers, the list of routes for others; `GET /api/v2/version`."""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING

from flask import Blueprint, request

from alert_refresh import __version__
from alert_refresh.web import query
from alert_refresh.web.answers import answer
from alert_refresh.web.page import assets

if TYPE_CHECKING:
    from flask import Flask, Response

    from alert_refresh.web.answers import JsonResponse

NAME = "alert-refresh"
VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")
"""A variable in a rule of the URL map, such as `<target_name:name>`."""
HTML = "text/html"


def install(app: Flask) -> None:
    """Add `/`, which lists the routes registered so far and these two, and `/api/v2/version`."""
    blueprint = Blueprint("index", __name__)
    page = assets.read()["index.html"]

    @blueprint.get("/")
    def index() -> Response:
        """The status page where HTML is asked for, as browsers do; else the routes of this server."""
        wants_page = request.accept_mimetypes.best_match(["application/json", HTML]) == HTML
        response = assets.served(page, ".html") if wants_page else answer(fields)
        response.vary.add("Accept")
        return response

    @blueprint.get("/api/v2/version")
    def version() -> JsonResponse:
        """The version of the program and of Python."""
        query.only()
        return answer({"name": NAME, "version": __version__, "python": platform.python_version()})

    app.register_blueprint(blueprint)
    fields = {"name": NAME, "version": __version__, "routes": listed(app)}


def listed(app: Flask) -> list[dict[str, str]]:
    """Each route of an app: its method, its path with variables as `{name}`, and what it does.

    Raises:
        ValueError: the view function of a route has no docstring, whose first line is the summary.
    """
    found = [
        {"method": method, "path": VARIABLE.sub(r"{\1}", rule.rule), "summary": summary(app, rule.endpoint)}
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]
    return sorted(found, key=lambda one: (one["path"], one["method"]))


def summary(app: Flask, endpoint: str) -> str:
    """The first line of the view function's docstring, without the full stop."""
    first, *_ = (app.view_functions[endpoint].__doc__ or "").strip().split("\n")
    if not first:
        raise ValueError(f"the view function of {endpoint} has no docstring")
    return first.removesuffix(".")
