"""The files of the status page and the runbooks over HTTP. The page itself is at `/`."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

import msgspec
from flask import Blueprint

from alert_refresh.web.errors import ApiError
from alert_refresh.web.page import assets, causes, runbook

if TYPE_CHECKING:
    from flask import Response

INDEX = "index.html"


def build() -> Blueprint:
    """The blueprint of everything below `/page/` and `/runbooks/`."""
    blueprint = Blueprint("page", __name__)
    files = assets.read() | {"causes.json": msgspec.json.encode(causes.table())}

    @blueprint.get("/page/<name>")
    def file(name: str) -> Response:
        """A script, style sheet, image or table of the status page."""
        if name not in files or name == INDEX:
            raise ApiError(404)
        return assets.served(files[name], PurePath(name).suffix)

    @blueprint.get("/runbooks/<name>")
    def page(name: str) -> Response:
        """A page of the documentation as HTML, such as runbook-targets.md."""
        if name not in runbook.PAGES:
            raise ApiError(404)
        return assets.served(runbook.render(name), ".html")

    return blueprint
