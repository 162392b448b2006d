"""Which responses are compressed, and for which clients."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from alert_refresh.web.compression import SMALLEST
from tests.web.world import ADMIN, TARGETS, World, target, targets


def world_of(count: int, **arguments: Any) -> World:
    return World(answer=lambda n: targets(*(target(f"name-{i:03d}") for i in range(count))), **arguments).start()


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.001", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("identity", False),
        ("br", False),
        ("gzippy", False),
        ("", False),
        (None, False),
    ],
)
def test_a_large_list_is_compressed_if_the_client_accepts_gzip(accept: str | None, compressed: bool) -> None:
    with world_of(50) as world:
        plain = world.get()
        response = world.get(headers={} if accept is None else {"Accept-Encoding": accept})
        assert (response.headers.get("Content-Encoding") == "gzip") == compressed
        assert response.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
        assert int(response.headers["Content-Length"]) == len(response.data)
        assert (gzip.decompress(response.data) if compressed else response.data) == plain.data
        assert len(response.data) < len(plain.data) / 5 or not compressed


@pytest.mark.parametrize("path", ["/", "/metrics", TARGETS])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_head_has_the_headers_of_get_and_no_body(path: str, encoding: str) -> None:
    headers = {"Accept-Encoding": encoding, "X-Request-ID": "0a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11"}
    with world_of(50) as world:
        get, head = (world.client.open(path, method=method, headers=headers) for method in ("GET", "HEAD"))
        lengths = [int(dict(answer.headers.items()).pop("Content-Length")) for answer in (get, head)]
        assert abs(lengths[0] - lengths[1]) <= (100 if path == "/metrics" else 0), "metrics move from one to the next"
        for name in ("Content-Type", "Content-Encoding", "Vary", "X-Request-ID", "Cache-Control"):
            assert get.headers.get(name) == head.headers.get(name)
        assert (get.status_code, head.status_code, head.data) == (200, 200, b"")


def test_from_one_size_on_answers_are_compressed() -> None:
    sizes = (0, 1, SMALLEST - 1, SMALLEST, SMALLEST + 1)
    with World() as world:
        for size in sizes:
            world.app.add_url_rule(f"/{size}", str(size), lambda size=size: "x" * size)
        for size in sizes:
            response = world.client.get(f"/{size}", headers={"Accept-Encoding": "gzip"})
            assert ("Content-Encoding" in response.headers) == ("Vary" in response.headers) == (size >= SMALLEST)


def test_what_is_not_a_whole_plain_answer_to_a_get_is_left_alone() -> None:
    large = "x" * SMALLEST * 2
    with world_of(1) as world:
        world.app.add_url_rule("/stream", "stream", lambda: (part for part in [large]))
        world.app.add_url_rule("/done", "done", lambda: (large, 200, {"Content-Encoding": "br"}))
        world.app.add_url_rule("/error", "error", lambda: (large, 500))
        world.app.add_url_rule("/post", "post", lambda: large, methods=["POST"])
        for path in ("/stream", "/done", "/error", "/post"):
            method = "POST" if path == "/post" else "GET"
            response = world.client.open(path, method=method, headers={"Accept-Encoding": "gzip"})
            assert response.data.decode() == large
            assert response.headers.get("Content-Encoding") != "gzip"


def test_an_answer_that_is_not_sent_again_varies_as_the_one_that_was() -> None:
    with world_of(50) as world:
        first = world.get("", headers={"Accept-Encoding": "gzip"})
        again = world.get("", headers={"Accept-Encoding": "gzip", "If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data, again.headers["Vary"]) == (304, b"", first.headers["Vary"])
        assert "Content-Encoding" not in again.headers


def test_what_is_revealed_is_compressed_too_and_whole() -> None:
    with world_of(50, environ={"ALERT_REFRESH_ADMIN_TOKEN": ADMIN}) as world:
        headers = {"Accept-Encoding": "gzip", "Authorization": f"Bearer {ADMIN}"}
        response = world.get("?reveal=true", headers=headers)
        assert gzip.decompress(response.data).count(b"?key=1") == 50
