"""HTTP error responses: `{"error", "message", "request_id"}` for every error.

Below `/api/entities` the body is `{"detail"}` instead.
"""

from __future__ import annotations

import logging
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flask import g, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from alert_refresh.engine.stack import stack_of
from alert_refresh.web.answers import answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

    from alert_refresh.web.answers import JsonResponse

WORDS = {
    400: ("invalid_request", "The request is not valid"),
    401: ("unauthorized", "A valid bearer token is required"),
    403: ("forbidden", "The token does not allow this"),
    404: ("not_found", "There is nothing at this address"),
    405: ("method_not_allowed", "The method is not allowed here"),
    408: ("request_timeout", "The request took too long to arrive"),
    413: ("payload_too_large", "The request body is too large"),
    414: ("uri_too_long", "The address is too long"),
    415: ("unsupported_media_type", "The content type is not supported here"),
    417: ("expectation_failed", "The expectation cannot be met"),
    431: ("headers_too_large", "The request headers are too large"),
    500: ("internal_error", "An internal error occurred"),
    505: ("http_version_not_supported", "The HTTP version is not supported here"),
}
"""Error code and message by HTTP status; the messages contain nothing that a client sent."""

DETAIL_ONLY = "/api/entities/"

NONE: Mapping[str, str] = MappingProxyType({})

log = logging.getLogger(__name__)


class ApiError(Exception):
    """Raised when a request is answered with an error. `fields` are added to its JSON.

    `error` and `message` default to those of the status in `WORDS`. `retry_after` is in seconds and is rounded up to
    a whole number, at least 1, for the `Retry-After` header.
    """

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        error: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] = NONE,
        fields: Mapping[str, Any] = NONE,
    ) -> None:
        words = WORDS.get(status, WORDS[400 if status < 500 else 500])
        super().__init__(message or words[1])
        self.status = status
        self.error = error or words[0]
        self.message = message or words[1]
        self.fields = fields
        self.headers = dict(headers)
        if retry_after is not None:
            self.headers["Retry-After"] = str(whole_seconds(retry_after))


def whole_seconds(seconds: float) -> int:
    """A wait rounded up to whole seconds, at least 1."""
    return max(1, math.ceil(round(seconds, 6)))


def bad_request(message: str) -> ApiError:
    """A 400 with this message, which must not contain anything that the client sent."""
    return ApiError(400, message)


def install(app: Flask) -> None:
    """Make the app answer every error as JSON."""
    app.register_error_handler(ApiError, _api_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(ParseException, _broken_body)
    app.register_error_handler(Exception, _unexpected)


def _api_error(error: ApiError) -> JsonResponse:
    if request.path.startswith(DETAIL_ONLY):
        return answer({"detail": error.message, **error.fields}, error.status, error.headers)
    body = {"error": error.error, "message": error.message, "request_id": g.request_id, **error.fields}
    return answer(body, error.status, error.headers)


def _http_error(error: HTTPException) -> JsonResponse:
    """Errors of Flask and Werkzeug: routing, body size, media type."""
    headers = {}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return _api_error(ApiError(error.code or 500, headers=headers))


def _broken_body(_: ParseException) -> JsonResponse:
    """The server could not parse the body, such as a chunk with an invalid size."""
    return _api_error(ApiError(400))


def _unexpected(error: Exception) -> JsonResponse:
    """An unexpected exception: log its type and stack, not its message, which may hold a credential."""
    fields = {"request_id": g.request_id, "stack": stack_of(error)}
    log.error("A request raised an unexpected %s", type(error).__name__, extra=fields)
    return _api_error(ApiError(500))
