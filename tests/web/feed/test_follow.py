"""Blocking queries: when they answer, with what, and how many there may be."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.web.feed.follow import WHEN_GONE
from tests.stage import eventually
from tests.web.world import TARGETS, World, target, targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alert_refresh.engine import Snapshot

ROUTES = ["", "/one", "/status"]


@pytest.fixture
def world() -> Iterator[World]:
    with World(environ={"ALERT_REFRESH_THREADS": "8"}).start() as world:
        yield world


def generation(world: World) -> int:
    snapshot = world.worker.get_status().snapshot
    assert snapshot is not None
    return snapshot.generation


def publish(world: World, *names: str) -> None:
    """Serve these targets, as a watch would."""
    served: Snapshot[Any] = targets(*(target(name) for name in names), digest=repr(names))
    assert world.worker.publish(served, world.worker.current())


def asking(world: World, path: str, environ: dict[str, Any] | None = None) -> Callable[[], Any]:
    """Ask in a thread; returns a function that waits for the response."""
    answers: list[Any] = []
    client = world.app.test_client()
    thread = threading.Thread(target=lambda: answers.append(client.get(path, environ_overrides=environ or {})))
    thread.start()

    def answer() -> Any:
        thread.join(20)
        return answers[0]

    return answer


@pytest.mark.parametrize("path", ROUTES)
def test_a_query_for_the_current_generation_answers_when_there_is_another(world: World, path: str) -> None:
    now = generation(world)
    ask = asking(world, f"{TARGETS}{path}?generation={now}&wait=25s")
    world.clock.wait_for_sleeper(25)
    publish(world, "one", "three")
    assert ask().status_code == 200
    assert generation(world) == now + 1
    assert world.get(path).headers["ETag"] == ask().headers["ETag"]
    assert world.daemon.feed.followers == 0


@pytest.mark.parametrize("path", ROUTES)
def test_when_the_wait_ends_without_a_change_the_answer_is_the_current_state(world: World, path: str) -> None:
    ask = asking(world, f"{TARGETS}{path}?generation={generation(world)}&wait=20s")
    world.clock.wait_for_sleeper(20)
    world.clock.advance(20)
    assert (ask().status_code, ask().headers["ETag"]) == (200, world.get(path).headers["ETag"])


@pytest.mark.parametrize("sent", ["0", "1", "9007199254740992"])
def test_any_other_generation_answers_at_once(world: World, sent: str) -> None:
    assert world.get(f"?generation={sent}&wait=30s").json["generation"] == generation(world)


def test_a_query_without_wait_answers_at_once(world: World) -> None:
    assert world.get(f"?generation={generation(world)}").status_code == 200
    assert world.get(f"?generation={generation(world)}&wait=0s").status_code == 200


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("wait=30s", "wait"),
        ("generation=-1&wait=1s", "generation"),
        ("generation=x&wait=1s", "generation"),
        ("generation=&wait=1s", "generation"),
        ("generation=1.5", "generation"),
        ("generation=99999999999999999", "generation"),
        ("generation=%D9%A1", "generation"),
        ("generation=1&generation=2&wait=1s", "generation"),
        ("generation=1&wait=61s", "wait"),
        ("generation=1&wait=-1s", "wait"),
        ("generation=1&wait=10", "wait"),
    ],
)
@pytest.mark.parametrize("path", ROUTES)
def test_an_invalid_parameter_is_a_400_that_names_it(world: World, path: str, query: str, name: str) -> None:
    response = world.get(f"{path}?{query}")
    assert response.status_code == 400
    assert name in response.json["message"]


def test_a_client_can_wait_for_what_is_loaded_first() -> None:
    with World() as world:
        begun, release = world.hang()
        world.daemon.start()
        assert begun.wait(30)
        asked = [asking(world, f"{TARGETS}{path}?generation=0&wait=25s") for path in ROUTES]
        eventually(lambda: world.daemon.feed.followers == len(asked))
        release.set()
        assert [ask().status_code for ask in asked] == [200] * len(asked)
        assert world.get("/status").json["generation"] == asked[-1]().json["generation"]


def test_before_anything_is_loaded_another_generation_answers_at_once() -> None:
    with World() as world:
        assert world.get("?generation=1&wait=30s").status_code == 503
        assert world.get("/status?generation=1&wait=30s").json["generation"] is None


def test_an_event_that_is_no_change_of_the_kind_does_not_end_the_wait(world: World) -> None:
    ask = asking(world, f"{TARGETS}?generation={generation(world)}&wait=25s")
    world.clock.wait_for_sleeper(25)
    world.clock.advance(10)
    world.change()
    world.attempt_ends()
    world.clock.wait_for_sleeper(15)
    world.clock.advance(15)
    assert ask().json["generation"] == generation(world)


def test_a_stop_ends_the_wait_with_the_current_state(world: World) -> None:
    ask = asking(world, f"{TARGETS}?generation={generation(world)}&wait=25s")
    world.clock.wait_for_sleeper(25)
    world.daemon.halt()
    assert ask().json["generation"] == generation(world)


def test_a_client_that_is_gone_ends_the_wait(world: World) -> None:
    told: list[Callable[[], None]] = []

    def when_gone(callback: Callable[[], None], *, streams: bool) -> None:
        assert not streams
        told.append(callback)

    ask = asking(world, f"{TARGETS}?generation={generation(world)}&wait=25s", {WHEN_GONE: when_gone})
    world.clock.wait_for_sleeper(25)
    [gone] = told
    gone()
    assert ask().status_code == 200
    assert world.daemon.feed.followers == 0


def test_beyond_the_limit_a_query_is_a_503_that_says_when_to_come_again() -> None:
    environ = {"ALERT_REFRESH_THREADS": "8", "ALERT_REFRESH_MAX_STREAMS": "2"}
    with World(environ=environ).start() as world:
        path = f"{TARGETS}?generation={generation(world)}&wait=30s"
        asked = [asking(world, path) for _ in range(2)]
        eventually(lambda: world.daemon.feed.followers == 2)
        refused = world.client.get(path)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "5"
        assert refused.json["error"] == "too_many_streams"
        assert "ALERT_REFRESH_MAX_STREAMS" in refused.json["message"]
        assert world.client.get("/api/v2/events").status_code == 503
        assert world.get("?generation=1&wait=30s").status_code == 200, "this one need not wait"
        assert world.get("/status").status_code == 200
        publish(world, "one")
        assert [ask().status_code for ask in asked] == [200, 200]
        assert world.client.get("/api/v2/events").status_code == 200
