"""ETags: what they cover, and the 304 of a client that has the current version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.web.world import ADMIN, TARGETS, World, target, targets

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTS = [
    TARGETS,
    f"{TARGETS}/one",
    f"{TARGETS}/status",
    "/api/v2/refreshes",
    "/api/v2/rules/status",
    "/api/v2/alertmanager/status",
]


@pytest.fixture
def world() -> Iterator[World]:
    with World(environ={"ALERT_REFRESH_ADMIN_TOKEN": ADMIN}).start() as world:
        yield world


def get(world: World, path: str, etag: str | None = None, **arguments: Any) -> Any:
    headers = arguments.pop("headers", {}) | ({} if etag is None else {"If-None-Match": etag})
    return world.client.get(path, headers=headers, **arguments)


def revealed(world: World, path: str, etag: str | None = None) -> Any:
    return get(world, path, etag, headers={"Authorization": f"Bearer {ADMIN}"})


@pytest.mark.parametrize("path", LISTS)
def test_every_list_and_status_has_an_etag_and_is_a_304_without_a_body_to_who_has_it(world: World, path: str) -> None:
    first = get(world, path)
    assert first.status_code == 200
    etag = first.headers["ETag"]
    assert etag.startswith('W/"')
    assert etag.endswith('"')
    again = get(world, path, etag)
    assert (again.status_code, again.data) == (304, b"")
    assert "Content-Type" not in again.headers
    kept = ("ETag", "Cache-Control", "X-Content-Type-Options")
    assert [again.headers[name] for name in kept] == [first.headers[name] for name in kept]
    assert again.headers["X-Request-ID"]
    assert get(world, path, etag.removeprefix("W/")).status_code == 304
    assert get(world, path, f'"other", {etag}').status_code == 304
    assert get(world, path, "*").status_code == 304
    assert get(world, path, '"other"').status_code == 200
    head = world.client.head(path, headers={"If-None-Match": etag})
    assert (head.status_code, head.headers["ETag"]) == (304, etag)


def test_a_change_makes_another_etag_and_a_refresh_that_changes_nothing_the_same(world: World) -> None:
    etag = get(world, TARGETS).headers["ETag"]
    world.post(token=ADMIN)
    world.attempt_ends()
    assert get(world, TARGETS).headers["ETag"] == etag
    world.source.answer = lambda n: targets(target("one"), digest="two")
    world.change()
    world.attempt_ends()
    changed = get(world, TARGETS, etag)
    assert (changed.status_code, changed.headers["ETag"] != etag) == (200, True)


def test_the_etag_covers_the_query_and_what_is_revealed(world: World) -> None:
    paths = ("", "?type=slack", "?type=webhook", "?enabled=true", "?enabled=false", "?type=slack&enabled=true")
    etags = [get(world, TARGETS + path).headers["ETag"] for path in paths]
    clear = revealed(world, f"{TARGETS}?reveal=true")
    masked = revealed(world, f"{TARGETS}?reveal=false").headers["ETag"]
    assert len({*etags, clear.headers["ETag"], masked}) == len(paths) + 2
    assert clear.headers["Cache-Control"] == "no-store"
    assert get(world, TARGETS, clear.headers["ETag"]).status_code == 200
    assert revealed(world, f"{TARGETS}?reveal=true", clear.headers["ETag"]).status_code == 304
    assert get(world, f"{TARGETS}?reveal=true", clear.headers["ETag"]).status_code == 401, "the client is checked first"


def test_how_long_a_client_waits_is_no_part_of_the_etag(world: World) -> None:
    plain = get(world, TARGETS)
    assert get(world, f"{TARGETS}?generation=1&wait=1s").headers["ETag"] == plain.headers["ETag"]
    assert get(world, f"{TARGETS}?generation=1", plain.headers["ETag"]).status_code == 304


def test_a_compressed_answer_has_the_same_etag() -> None:
    many = targets(*(target(f"t{number}") for number in range(50)))
    with World(answer=lambda _: many).start() as world:
        plain, small = get(world, TARGETS), get(world, TARGETS, headers={"Accept-Encoding": "gzip"})
        assert small.headers["Content-Encoding"] == "gzip"
        assert small.headers["ETag"] == plain.headers["ETag"]
        assert get(world, TARGETS, small.headers["ETag"], headers={"Accept-Encoding": "gzip"}).status_code == 304


def test_an_error_a_post_and_a_page_outside_the_api_have_no_etag(world: World) -> None:
    for response in (
        get(world, f"{TARGETS}/nobody"),
        get(world, f"{TARGETS}?type=x"),
        world.post(),
        get(world, "/healthz"),
        get(world, "/metrics"),
    ):
        assert "ETag" not in response.headers
        assert response.headers["Cache-Control"] == "no-store"


def test_two_daemons_share_no_etag_and_none_tells_of_the_content(world: World) -> None:
    etag = get(world, TARGETS).headers["ETag"]
    assert "one" not in etag
    with World(environ={"ALERT_REFRESH_ADMIN_TOKEN": ADMIN}).start() as other:
        other.source.answer = lambda n: targets(target("one", url=target("one").url), digest="another")
        other.change()
        other.attempt_ends()
        assert get(other, TARGETS).headers["ETag"] != etag


def test_a_304_is_counted_as_an_answer_of_its_route(world: World) -> None:
    etag = get(world, TARGETS).headers["ETag"]
    get(world, TARGETS, etag)
    counted = {name: value for name, value in world.metrics().items() if 'code="3xx"' in name and value}
    assert counted == {f'alert_refresh_http_requests_total{{code="3xx",route="{TARGETS}"}}': 1.0}
