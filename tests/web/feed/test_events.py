"""The stream of events: what a client reads, where it goes on, and how it ends."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from alert_refresh.observe import feed
from alert_refresh.web.feed.events import HEARTBEAT
from tests.web.world import World, target, targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alert_refresh.engine import Snapshot

EVENTS = "/api/v2/events"


@pytest.fixture
def world() -> Iterator[World]:
    with World().start() as world:
        yield world


class Stream:
    """A client that reads the stream piece by piece."""

    def __init__(self, world: World, query: str = "", after: str | None = None) -> None:
        headers = {} if after is None else {"Last-Event-ID": after}
        self.response: Any = world.app.test_client().get(EVENTS + query, headers=headers)
        assert self.response.status_code == 200
        self._pieces = iter(cast("Iterator[bytes]", self.response.response))
        self.id = ""

    def read(self) -> list[tuple[str, Any]]:
        """The next piece: the name and the data of each of its events; a comment has no name."""
        events = []
        for text in next(self._pieces).decode().split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith(":"))
            self.id = fields.get("id", self.id)
            events.append((fields.get("event", ""), json.loads(fields.get("data", "null"))))
        return events

    def ended(self) -> bool:
        return next(self._pieces, None) is None

    def close(self) -> None:
        self.response.close()


def opened(world: World, query: str = "", after: str | None = None) -> Stream:
    """A stream whose first pieces were read."""
    stream = Stream(world, query, after)
    assert stream.read() == [("", None)], "how soon to come again"
    if after is None:
        stream.read()
    return stream


def publish(world: World, *names: str) -> int:
    served: Snapshot[Any] = targets(*(target(name) for name in names), digest=repr(names))
    assert world.worker.publish(served, world.worker.current())
    snapshot = world.worker.get_status().snapshot
    assert snapshot is not None
    return snapshot.generation


def test_a_stream_is_not_cached_buffered_or_compressed(world: World) -> None:
    response = world.client.get(EVENTS, headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert not {"Content-Length", "Content-Encoding", "ETag"} & set(response.headers.keys())
    response.close()


def test_it_begins_with_the_generations_that_are_served(world: World) -> None:
    stream = Stream(world)
    assert stream.response.headers["X-Request-ID"]
    assert next(stream._pieces) == b"retry: 2000\n\n"
    generation = world.get("/status").json["generation"]
    assert stream.read() == [("sync", {"generations": {"targets": generation}, "missed": False})]
    stream.close()
    assert world.daemon.feed.followers == 0


def test_each_event_is_sent_once_and_a_client_goes_on_where_it_was(world: World) -> None:
    stream = opened(world)
    first = publish(world, "one")
    assert [(name, data["generation"]) for name, data in stream.read()] == [("published", first)]
    stream.close()
    second, third = publish(world, "two"), publish(world, "three")
    again = opened(world, after=stream.id)
    assert [data["generation"] for _, data in again.read()] == [second, third]
    again.close()


def test_after_events_were_lost_the_client_is_told_and_goes_on_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = opened(world)
    monkeypatch.setattr(feed, "MOST_EVENTS", 3)
    for number in range(10):
        publish(world, f"n{number}")
    [(name, data)] = stream.read()
    assert (name, data["missed"]) == ("sync", True)
    assert data["generations"] == {"targets": world.get("/status").json["generation"]}
    last = publish(world, "last")
    assert [(name, data["generation"]) for name, data in stream.read()] == [("published", last)]
    stream.close()


@pytest.mark.parametrize("after", ["1.1", "nonsense", "1700000000000.99", "x" * 5000])
def test_an_unknown_last_event_id_is_told_as_missed(world: World, after: str) -> None:
    stream = opened(world, after=after)
    [(name, data)] = stream.read()
    assert (name, data["missed"]) == ("sync", True)
    stream.close()


def test_an_empty_last_event_id_is_none(world: World) -> None:
    stream = Stream(world, after=" ")
    stream.read()
    assert stream.read()[0][1]["missed"] is False
    stream.close()


def test_only_the_wanted_kinds_are_sent_but_the_id_moves_on(world: World) -> None:
    stream = opened(world, "?kinds=rules,views")
    begun = stream.id
    publish(world, "one")
    world.daemon.halt()
    assert stream.ended()
    assert stream.id == begun
    stream.close()


def test_after_a_silence_a_comment_with_the_id_of_the_last_event_is_sent() -> None:
    with World().start() as world:
        stream = opened(world, "?kinds=rules")
        publish(world, "one")
        stop_waiting(world)
        assert stream.read() == [("", None)]
        assert stream.id == world.daemon.feed.follow().id
        stream.close()


def stop_waiting(world: World, meanwhile: Callable[[], object] = lambda: None, most: float = HEARTBEAT) -> None:
    """Make waits of this thread end at once, at most so many seconds later by the clock; `meanwhile` happens then."""

    def wait(event: Any, seconds: float | None) -> bool:
        if threading.current_thread() is not threading.main_thread() or seconds is None:
            return before(event, seconds)
        waits.append(seconds)
        world.clock.advance(min(seconds, most))
        meanwhile()
        return event.is_set()  # type: ignore[no-any-return]

    waits: list[float] = []
    before = world.clock.wait
    world.clock.wait = wait  # type: ignore[method-assign]


def test_events_of_other_kinds_are_a_silence_for_a_client_that_did_not_ask_for_them() -> None:
    with World().start() as world:
        stream = opened(world, "?kinds=rules")
        numbers = iter(range(10))
        stop_waiting(world, lambda: publish(world, f"n{next(numbers)}"), most=4)
        assert stream.read() == [("", None)]
        assert 3 <= next(numbers) <= 5, "it waited for about four of them"
        assert stream.id == world.daemon.feed.follow().id
        stream.close()


def test_a_response_that_is_never_sent_gives_its_place_back(world: World) -> None:
    broken: list[int] = []

    @world.app.after_request
    def fail(response: Any) -> Any:
        if response.is_streamed and not broken:
            broken.append(1)
            raise RuntimeError("broken")
        return response

    assert world.client.get(EVENTS).status_code == 500
    assert broken
    assert world.daemon.feed.followers == 0


def test_a_stop_ends_the_stream(world: World) -> None:
    stream = opened(world)
    world.daemon.halt()
    assert stream.ended()
    stream.close()


def test_a_head_takes_no_place(world: World) -> None:
    response = world.client.head(EVENTS)
    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert world.daemon.feed.followers == 0


@pytest.mark.parametrize("kinds", ["", "nothing", "targets,", "Targets", "targets,nothing"])
def test_an_unknown_kind_is_a_400_that_names_the_known_ones(world: World, kinds: str) -> None:
    response = world.client.get(f"{EVENTS}?kinds={kinds}")
    assert response.status_code == 400
    assert "targets, rules, views" in response.json["message"]


def test_no_value_of_a_target_is_ever_sent(world: World) -> None:
    stream = opened(world)
    publish(world, "one", "three")
    assert world.client.post("/api/v2/publishing/targets/refresh?wait=5s").status_code == 200
    text = b"".join(event.text for event in world.daemon.feed.after(0)[0]).decode()
    assert text.count("event: ") >= 3
    assert not [word for word in ("hooks.example.com", "key=1", "header-secret") if word in text]
    stream.close()
