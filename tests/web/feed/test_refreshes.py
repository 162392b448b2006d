"""The last refreshes over HTTP: their states, the difference that each made, filters and pages."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import Outcome, Permanent, RefreshSettings, Result, Transient, Trigger
from tests.stage import eventually
from tests.web.world import World, target, targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REFRESHES = "/api/v2/refreshes"
ID = "0a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11"
FREE = RefreshSettings(rate_limit=0)


@pytest.fixture
def world() -> Iterator[World]:
    with World(settings=FREE).start() as world:
        yield world


def listed(world: World, query: str = "") -> list[dict[str, Any]]:
    response = world.client.get(REFRESHES + query)
    assert response.status_code == 200
    found: list[dict[str, Any]] = response.json["refreshes"]
    return found


def one(world: World, request_id: str = ID) -> dict[str, Any]:
    response = world.client.get(f"{REFRESHES}/{request_id}")
    assert response.status_code == 200
    found: dict[str, Any] = response.json
    return found


def begin(world: World, request_id: str = ID) -> None:
    assert world.post(headers={"X-Request-ID": request_id}).status_code == 202


def test_a_refresh_is_listed_with_what_came_of_it(world: World) -> None:
    world.source.answer = lambda n: targets(target("one"), target("three"), digest="two")
    assert world.post("?wait=5s", headers={"X-Request-ID": ID}).status_code == 200
    first, startup = listed(world)
    assert (startup["trigger"], startup["result"], startup["accepted_at"]) == ("startup", "success", None)
    generation = world.get("/status").json["generation"]
    assert first == {
        "request_id": ID,
        "kind": "targets",
        "trigger": "manual",
        "result": "success",
        "scope": None,
        "accepted_at": "2023-11-14T22:13:20Z",
        "started_at": "2023-11-14T22:13:20Z",
        "duration_ms": 0,
        "attempts": 1,
        "error": None,
        "error_type": None,
        "items": 2,
        "rejected": 0,
        "generation": generation,
        "changed": True,
        "next_attempt": None,
    }
    difference = {
        "added": ["three"],
        "removed": ["two"],
        "changed": [],
        "added_count": 1,
        "removed_count": 1,
        "changed_count": 0,
    }
    assert one(world) == first | {"difference": difference}


def test_the_difference_names_fields_and_never_a_value(world: World) -> None:
    changed = target("one", headers={}, enabled=False)
    world.source.answer = lambda n: targets(changed, target("two"), digest="two")
    assert world.post("?wait=5s", headers={"X-Request-ID": ID}).status_code == 200
    assert one(world)["difference"]["changed"] == [{"name": "one", "fields": ["enabled", "headers"]}]


def test_the_answer_of_a_post_that_waits_is_the_same_record(world: World) -> None:
    body = world.post("?wait=5s", headers={"X-Request-ID": ID}).json
    assert (body.pop("message"), body.pop("refresh_started_at")) == ("Refresh completed", body["accepted_at"])
    assert body == one(world)


def test_one_that_is_queued_and_then_running_says_so(world: World) -> None:
    begun, release = world.hang()
    world.change()
    assert begun.wait(30)
    assert [row["result"] for row in listed(world)][:1] == ["running"]
    world.change()
    queued, running, *_ = listed(world)
    assert (queued["result"], queued["trigger"], queued["started_at"], queued["attempts"]) == (
        "queued",
        "watch",
        None,
        0,
    )
    assert (running["result"], running["started_at"]) == ("running", "2023-11-14T22:13:20Z")
    assert one(world, running["request_id"])["difference"] is None
    release.set()


def test_one_that_waits_for_its_next_attempt_is_retrying_and_a_newer_one_supersedes_it(world: World) -> None:
    world.fail(Transient("connection refused", "network"))
    begin(world)
    world.clock.wait_for_sleeper(30)
    waits = one(world)
    assert (waits["result"], waits["next_attempt"]) == ("retrying", "2023-11-14T22:13:50Z")
    assert (waits["error"], waits["error_type"], waits["attempts"]) == ("connection refused", "network", 1)
    begun, release = world.hang()
    world.clock.advance(30)
    assert begun.wait(30)
    again = one(world)
    assert (again["result"], again["next_attempt"], again["attempts"]) == ("running", None, 1)
    release.set()
    world.clock.wait_for_sleeper(60)
    world.source.answer = lambda n: targets(target("one"), digest="two")
    assert world.post("?wait=5s").status_code == 200
    assert (one(world)["result"], one(world)["attempts"]) == ("superseded", 2)
    assert [row["result"] for row in listed(world, "?result=superseded")] == ["superseded"]


def test_a_wait_for_one_ends_as_soon_as_a_newer_one_takes_its_place(world: World) -> None:
    world.fail(Transient("connection refused", "network"))
    begin(world)
    world.clock.wait_for_sleeper(30)
    ask = asking(world, f"{REFRESHES}/{ID}?wait=30s")
    eventually(lambda: world.daemon.feed.followers == 1)
    follower = world.daemon.feed.follow()
    begun, release = world.hang()
    begin(world, ID.replace("0a", "0b"))
    assert begun.wait(30)
    assert ask().json["result"] == "superseded", "though the newer one still runs"
    [event] = follower.take()
    assert b'"result":"superseded"' in event.text
    assert ID.encode() in event.text
    release.set()
    world.attempt_ends()
    assert one(world)["result"] == "superseded"


def test_a_superseded_one_never_looks_otherwise_while_the_newer_one_is_recorded(world: World) -> None:
    world.fail(Transient("connection refused", "network"))
    begin(world)
    world.clock.wait_for_sleeper(30)
    seen: list[str] = []
    world.worker._listeners.outcomes.insert(0, lambda _: seen.append(one(world)["result"]))
    world.worker._listeners.swaps.insert(0, lambda _: seen.append(one(world)["result"]))
    world.source.answer = lambda n: targets(target("one"), digest="two")
    assert world.post("?wait=5s").status_code == 200
    assert seen == ["superseded"] * 2


def test_an_id_that_is_used_again_means_the_newer_refresh_from_its_begin(world: World) -> None:
    assert world.post("?wait=5s", headers={"X-Request-ID": ID}).status_code == 200
    world.clock.advance(1)
    begun, release = world.hang()
    begin(world)
    assert begun.wait(30)
    assert (one(world)["result"], one(world)["started_at"]) == ("running", "2023-11-14T22:13:21Z")
    assert [row["result"] for row in listed(world)][:2] == ["running", "success"]
    ask = asking(world, f"{REFRESHES}/{ID}?wait=25s")
    eventually(lambda: world.daemon.feed.followers == 1)
    release.set()
    assert ask().json["started_at"] == "2023-11-14T22:13:21Z"


def test_one_that_is_retried_keeps_its_place_in_the_pages(world: World) -> None:
    world.fail(Transient("connection refused", "network"))
    begin(world)
    world.clock.wait_for_sleeper(30)
    for number in (1, 2, 3, 4):
        world.daemon.refreshes._heard(other(number))
    world.clock.advance(30)
    world.clock.wait_for_sleeper(60)
    found: list[str] = []
    query = "?limit=1"
    while len(found) < 20:
        body = world.client.get(REFRESHES + query).json
        found += [row["request_id"] for row in body["refreshes"]]
        if body["next_cursor"] is None:
            break
        query = f"?limit=1&cursor={body['next_cursor']}"
    assert found[:5] == [*(f"{number}{ID[1:]}" for number in (4, 3, 2, 1)), ID]
    assert len(found) == 6


def other(number: int) -> Outcome:
    """The outcome of a refresh of another kind."""
    return Outcome("rules", Trigger.PERIODIC, f"{number}{ID[1:]}", 1, Result.SUCCESS, 1_700_000_000.0, 0.25)


def test_one_whose_schedule_was_paused_has_failed(world: World) -> None:
    world.fail(Transient("connection refused", "network"))
    world.clock.wait_for_sleeper(30)
    world.clock.advance(30)
    world.attempt_ends()
    world.clock.wait_for_sleeper(30)
    world.worker.pause()
    eventually(lambda: listed(world)[0]["result"] == "failed")


def test_one_whose_retries_a_stop_ended_has_failed(world: World) -> None:
    world.fail(Transient("connection refused", "network"))
    begin(world)
    world.clock.wait_for_sleeper(30)
    world.daemon.stop()
    assert one(world)["result"] == "failed"


def test_one_that_a_stop_cut_is_cancelled(world: World) -> None:
    world.fail(Transient("the request was interrupted", "network"))
    begun, release = world.hang()
    begin(world)
    assert begun.wait(30)
    world.daemon.halt()
    release.set()
    world.attempt_ends()
    assert one(world)["result"] == "cancelled"


def test_one_that_holds_removals_is_held() -> None:
    many = targets(*(target(f"t{number}") for number in range(12)), digest="many")
    with World(answer=lambda _: many, settings=FREE).start() as world:
        world.source.answer = lambda n: targets(target("t0"), digest="few")
        body = world.post("?wait=5s", headers={"X-Request-ID": ID}).json
        assert (body["result"], body["items"]) == ("held", 12)
        assert one(world)["result"] == "held"
        proposal = world.get("/status").json["held"]["proposal"]
        assert world.client.post(f"/api/v2/publishing/targets/reject?proposal={proposal}").status_code == 200
        assert world.post("?wait=5s").json["result"] == "success"


def test_one_that_has_just_ended_is_found_before_it_is_recorded(world: World) -> None:
    seen: list[Any] = []

    def look(outcome: Any) -> None:
        seen.append(one(world, outcome.request_id))

    world.worker._listeners.outcomes.insert(0, look)
    world.fail(Permanent("HTTP 403", "auth"))
    assert world.post("?wait=5s", headers={"X-Request-ID": ID}).status_code == 502
    assert [(row["request_id"], row["result"]) for row in seen] == [(ID, "running")]
    assert one(world)["result"] == "failed"


def test_wait_answers_when_it_is_over(world: World) -> None:
    begun, release = world.hang()
    begin(world)
    assert begun.wait(30)
    ask = asking(world, f"{REFRESHES}/{ID}?wait=30s")
    eventually(lambda: world.daemon.feed.followers == 1)
    release.set()
    assert (ask().status_code, ask().json["result"]) == (200, "success")
    assert world.client.get(f"{REFRESHES}/{ID}?wait=30s").json["result"] == "success"


def test_a_wait_that_ends_before_answers_with_the_current_state(world: World) -> None:
    begun, _ = world.hang()
    begin(world)
    assert begun.wait(30)
    ask = asking(world, f"{REFRESHES}/{ID}?wait=20s")
    world.clock.wait_for_sleeper(20)
    world.clock.advance(20)
    assert ask().json["result"] == "running"


def asking(world: World, path: str) -> Callable[[], Any]:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(world.app.test_client().get(path)))
    thread.start()

    def answer() -> Any:
        thread.join(20)
        return answers[0]

    return answer


@pytest.mark.parametrize("path", [ID, ID.upper(), "nonsense", "..", "%00"])
def test_an_unknown_one_is_a_404(world: World, path: str) -> None:
    response = world.client.get(f"{REFRESHES}/{path}")
    assert response.status_code == 404
    assert world.client.get(f"{REFRESHES}/{ID}?wait=30s").status_code == 404, "it does not wait"


def made(world: World) -> None:
    """One more of each: a success by hand, a failure by a watch."""
    world.source.answer = lambda n: targets(target("one"), target(f"n{n}"), digest=f"digest-{n}")
    assert world.post("?wait=5s").status_code == 200
    world.attempt_ends()
    world.fail(Permanent("HTTP 403", "auth"))
    world.worker.notify(Trigger.WATCH)
    world.attempt_ends()
    world.clock.advance(1)


def test_filters_choose(world: World) -> None:
    for _ in range(2):
        made(world)
    assert len(listed(world)) == 5
    assert {row["trigger"] for row in listed(world, "?trigger=watch")} == {"watch"}
    assert [row["result"] for row in listed(world, "?result=failed&kind=targets")] == ["failed"] * 2
    assert listed(world, "?kind=rules") == []
    assert len(listed(world, "?since=2023-11-14T22:13:21Z")) == 2
    assert len(listed(world, "?since=2023-11-14T23:13:21%2B01:00")) == 2
    assert len(listed(world, "?since=2023-11-14t22:13:20.5z")) == 2
    assert len(listed(world, "?since=1700000000")) == 5
    assert listed(world, "?since=1700000001.5") == []


def test_pages_by_cursor_have_each_once_though_more_are_made_meanwhile(world: World) -> None:
    for _ in range(3):
        made(world)
    wanted = [row["request_id"] for row in listed(world)]
    found, query = [], "?limit=2"
    while True:
        body = world.client.get(REFRESHES + query).json
        assert len(body["refreshes"]) <= 2
        found += [row["request_id"] for row in body["refreshes"]]
        made(world)
        if body["next_cursor"] is None:
            break
        query = f"?limit=2&cursor={body['next_cursor']}"
    assert found == wanted


def test_one_that_is_running_is_in_the_first_page_alone(world: World) -> None:
    made(world)
    begun, release = world.hang()
    begin(world)
    assert begun.wait(30)
    body = world.client.get(f"{REFRESHES}?limit=1").json
    assert [row["result"] for row in body["refreshes"]] == ["running"]
    rest = listed(world, f"?cursor={body['next_cursor']}")
    assert [row["trigger"] for row in rest] == ["watch", "manual", "startup"]
    release.set()


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("kind=nothing", "kind"),
        ("result=good", "result"),
        ("trigger=hand", "trigger"),
        ("since=NaN", "since"),
        ("since=yesterday", "since"),
        ("since=2023-11-14", "since"),
        ("since=2023-13-14T22:13:21Z", "since"),
        ("since=2023-11-14T22:13:21", "since"),
        ("since=-1", "since"),
        ("since=", "since"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e9", "limit"),
        ("limit=", "limit"),
        ("cursor=1.1", "cursor"),
        ("cursor=nonsense", "cursor"),
        ("cursor=", "cursor"),
        ("kind=targets&kind=rules", "kind"),
        ("nonsense=1", "Unknown"),
    ],
)
def test_an_invalid_parameter_is_a_400_that_names_it(world: World, query: str, name: str) -> None:
    response = world.client.get(f"{REFRESHES}?{query}")
    assert response.status_code == 400
    assert name in response.json["message"]
