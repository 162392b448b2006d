"""Error responses that the server sends without the application, in the application's JSON shape."""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus

from gunicorn.http.errors import (
    ConfigurationProblem,
    ExpectationFailed,
    InvalidHTTPVersion,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)


def refusal(status: int) -> bytes:
    """A complete response that closes the connection."""
    from alert_refresh.web.app import HEADERS
    from alert_refresh.web.errors import WORDS

    error, message = WORDS.get(status, WORDS[400])
    request_id = str(uuid.uuid4())
    body = json.dumps({"error": error, "message": message, "request_id": request_id}).encode()
    headers = {
        "Server": "alert-refresh",
        "Connection": "close",
        "Content-Type": "application/json; charset=utf-8",
        "Content-Length": str(len(body)),
        "X-Request-ID": request_id,
        **dict(HEADERS),
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def status_for(error: BaseException) -> int:
    """The HTTP status for an error: 4xx or 505 if the request caused it, else 500."""
    if isinstance(error, LimitRequestLine):
        return 414
    if isinstance(error, LimitRequestHeaders):
        return 431
    if isinstance(error, ExpectationFailed):
        return 417
    if isinstance(error, InvalidHTTPVersion) and isinstance(error.version, tuple):
        return 505
    if isinstance(error, InvalidResponseHeader | InvalidResponseHeaderName | ConfigurationProblem):
        return 500
    return 400 if isinstance(error, ParseException) else 500
