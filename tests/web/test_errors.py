"""Every error as JSON."""

from __future__ import annotations

from typing import Any

import pytest
from gunicorn.http.errors import InvalidChunkSize
from werkzeug.exceptions import HTTPException, UnsupportedMediaType

from tests.web.world import World


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "invalid_request"),
        (404, "not_found"),
        (413, "payload_too_large"),
        (414, "uri_too_long"),
        (415, "unsupported_media_type"),
        (418, "invalid_request"),
        (500, "internal_error"),
        (502, "internal_error"),
    ],
)
def test_every_http_error_of_a_view_is_json_and_echoes_nothing(status: int, error: str) -> None:
    class Raised(HTTPException):
        code = status
        description = "<script>what the client sent</script>"

    with World() as world:

        @world.app.get("/raise")
        def fail() -> Any:
            raise Raised

        response = world.client.get("/raise")
        assert (response.status_code, response.json["error"]) == (status, error)
        assert b"script" not in response.data


def test_a_wrong_media_type_is_a_415_and_an_unreadable_body_a_400() -> None:
    with World() as world:

        @world.app.post("/typed")
        def typed() -> Any:
            raise UnsupportedMediaType

        @world.app.post("/chunked")
        def chunked() -> Any:
            raise InvalidChunkSize(b"zz")

        for path, code, error in (("/typed", 415, "unsupported_media_type"), ("/chunked", 400, "invalid_request")):
            response = world.client.post(path)
            assert (response.status_code, response.json["error"]) == (code, error)
