"""`GET /openapi.json`, and `/docs`, which shows it by files of the package alone: no other host is asked.

The addresses in them are relative, so that both work behind a path prefix.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Blueprint, request

from alert_refresh.web.answers import JsonResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parent
OPENAPI = FOLDER.with_name("openapi.json")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's own Content-Security-Policy: RapiDoc has style attributes, but no inline script."""


def build() -> Blueprint:
    """The blueprint of the description and the page."""
    blueprint = Blueprint("docs", __name__)

    @blueprint.get("/openapi.json")
    def openapi() -> JsonResponse:
        """This API as OpenAPI 3.1."""
        return file(OPENAPI, "application/json; charset=utf-8")

    @blueprint.get("/docs")
    def docs() -> JsonResponse:
        """A page that shows this API."""
        return file(FOLDER / "page.html", "text/html; charset=utf-8", {"Content-Security-Policy": POLICY})

    @blueprint.get("/docs/page.js")
    def script() -> JsonResponse:
        """The script of the page."""
        return file(FOLDER / "page.js", "text/javascript; charset=utf-8")

    @blueprint.get("/docs/rapidoc-min.js")
    def viewer() -> JsonResponse:
        """RapiDoc, which the page shows this API with."""
        return file(FOLDER / "rapidoc-min.js", "text/javascript; charset=utf-8")

    return blueprint


def file(path: Path, content_type: str, headers: Mapping[str, str] | None = None) -> JsonResponse:
    """A file of the package, or 304 for a client that has it; read again each time, since few ask for it."""
    content = path.read_bytes()
    response = JsonResponse(content, headers=headers, content_type=content_type)
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(sha256(content).hexdigest()[:16], weak=True)
    response.make_conditional(request)
    return response
