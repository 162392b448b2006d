"""The views in the style of the other kinds, against a real PostgreSQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.postgres import VIEWS
from tests.web.views.world import ViewsWorld

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "/api/v2/views"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def world() -> Iterator[ViewsWorld]:
    with ViewsWorld(VIEWS_REFRESH_MAX_RETRIES="0") as world:
        yield world.start()


def get(world: ViewsWorld, path: str = "", **arguments: Any) -> Any:
    return world.app.test_client().get(PREFIX + path, **arguments)


def post(world: ViewsWorld, query: str = "?wait=60s") -> Any:
    return world.app.test_client().post(f"{PREFIX}/refresh{query}")


def test_the_list_has_every_view_with_its_last_refresh(world: ViewsWorld) -> None:
    body = get(world).json
    assert [view["name"] for view in body["views"]] == list(VIEWS)
    assert body["generation"] == get(world, "/status").json["generation"]
    for view in body["views"]:
        assert (view["state"], view["reason"], view["error_type"]) == ("fresh", None, None)
        assert view["outcome"] == "refreshed"
        assert all(STAMP.fullmatch(view[name]) for name in ("last_refreshed", "last_success", "next_refresh"))
        assert get(world, f"/{view['name']}").json == view


def test_the_status_has_the_fields_of_every_kind(world: ViewsWorld) -> None:
    status = get(world, "/status").json
    assert (status["status"], status["views_configured"], status["views_failed"]) == ("success", 3, 0)
    assert status["automated"] is True
    assert all(STAMP.fullmatch(status[name]) for name in ("last_refresh", "next_refresh"))
    assert set(status["watch"]) == {"connected", "last_proof_of_life", "error"}


def test_a_view_that_fails_is_stale_with_the_cause(world: ViewsWorld) -> None:
    world.database.run("drop materialized view mv_entity_hierarchy_stats")
    response = post(world)
    assert response.status_code == 502
    body = response.json
    assert (body["error"], body["kind"], body["result"], body["error_type"]) == (
        "refresh_failed",
        "views",
        "failed",
        "config",
    )
    view = get(world, "/mv_entity_hierarchy_stats").json
    assert (view["state"], view["error_type"]) == ("stale", "config")
    assert "there is no such view" in view["reason"]
    assert get(world, "/status").json["views_failed"] == 1


def test_one_view_can_be_refreshed_and_the_record_says_which(world: ViewsWorld) -> None:
    body = post(world, "?wait=60s&view=mv_descendant_counts").json
    assert (body["result"], body["scope"]) == ("success", "mv_descendant_counts")
    changed = body["difference"]["changed"]
    assert [one["name"] for one in changed] == ["mv_descendant_counts"]
    assert "last_refreshed" in changed[0]["fields"]
    assert set(changed[0]["fields"]) <= set(get(world, "/mv_descendant_counts").json)
    recorded: Any = world.app.test_client().get(f"/api/v2/refreshes/{body['request_id']}").json
    assert recorded["scope"] == "mv_descendant_counts"


def test_what_does_not_exist_is_a_404_in_the_common_style(world: ViewsWorld) -> None:
    for response in (get(world, "/nothing"), post(world, "?view=nothing")):
        assert response.status_code == 404
        assert set(response.json) == {"error", "message", "request_id"}


def test_routes_are_no_names_of_views(world: ViewsWorld) -> None:
    assert get(world, "/refresh").status_code == 405
    assert world.app.test_client().post(f"{PREFIX}/status").status_code == 405


def test_an_answer_is_the_same_while_nothing_happens(world: ViewsWorld) -> None:
    for path in ("", "/status", "/mv_descendant_counts"):
        first = get(world, path)
        assert get(world, path, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_a_refresh_is_an_event_of_the_feed(world: ViewsWorld) -> None:
    follower = world.daemon.feed.follow()
    assert post(world).status_code == 200
    text = b"".join(event.text for event in follower.take()).decode()
    assert text.index("event: published") < text.index("event: refresh")
    assert '"kind":"views"' in text
    assert all(name in text for name in VIEWS)
