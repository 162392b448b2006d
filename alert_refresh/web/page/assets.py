"""The files of the status page, read once: what each is, and answers that a browser may keep and ask again."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from flask import Response, request

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".png": "image/png",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Content-Security-Policy of the page: nothing but its own files, and no script may make markup of text."""


def read() -> dict[str, bytes]:
    """The files of the page by name."""
    return {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in TYPES}


def served(content: bytes, suffix: str) -> Response:
    """An answer with this content, 304 if the client has it already; `suffix` is that of its file name."""
    response = Response(content, content_type=TYPES[suffix])
    response.set_etag(blake2b(content, digest_size=12).hexdigest(), weak=True)
    response.headers["Cache-Control"] = "no-cache"
    if suffix == ".html":
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
    response.make_conditional(request)
    return response
