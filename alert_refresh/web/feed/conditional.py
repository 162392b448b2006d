"""ETags: a client that has the current version of an answer already gets 304 without a body (RFC 9110, 13)."""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from flask import Response, g, request

from alert_refresh.web.feed.follow import BLOCKING

if TYPE_CHECKING:
    from flask import Flask

    from alert_refresh.engine import Snapshot

PREFIX = "/api/"
"""Answers to GET below it have an ETag."""
KEY = secrets.token_bytes(16)
"""Of this process: an ETag tells nothing of a content that its reader cannot see, and two daemons share none."""
REVALIDATE, KEEP_NOT = "no-cache", "no-store"


class NotModified(Exception):
    """Raised when the client has the current version already."""


def install(app: Flask) -> None:
    """Give the app's answers ETags."""
    app.register_error_handler(NotModified, lambda _: Response(status=304))
    app.after_request(finish)


def lists(snapshot: Snapshot[Any], *more: object) -> None:
    """Note that the answer depends on this snapshot and the query alone, and on `more`: its ETag needs no answer then.

    Raises:
        NotModified: the client has it already.
    """
    g.etag = _tag(snapshot.generation, *more)
    if request.if_none_match.contains_weak(g.etag):
        raise NotModified


def finish(response: Response) -> Response:
    """The response with its ETag; 304 if the client has it already."""
    if request.method not in ("GET", "HEAD") or response.status_code not in (200, 304) or response.is_streamed:
        return response
    if not request.path.startswith(PREFIX):
        return response
    etag = g.get("etag") or _tag(response.data)
    if response.status_code == 200 and request.if_none_match.contains_weak(etag):
        response = Response(status=304)
    # Weak, since a compressed answer has the same one.
    response.set_etag(etag, weak=True)
    response.headers["Cache-Control"] = KEEP_NOT if request.args.get("reveal") == "true" else REVALIDATE
    if response.status_code == 304:
        del response.headers["Content-Type"]
    return response


def _tag(*parts: object) -> str:
    """The ETag of an answer with this content, which covers the path and the query but for how long to wait."""
    asked = sorted((name, value) for name, value in request.args.items(multi=True) if name not in BLOCKING)
    return blake2b(repr((request.path, asked, *parts)).encode(), digest_size=12, key=KEY).hexdigest()
