"""The change feed: which events there are, in which order, and who is told."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import Permanent, Snapshot, Transient, Trigger
from alert_refresh.observe import feed as module
from alert_refresh.observe.feed import Event, Feed, Follower, TooManyFollowers
from tests.fakes import FakeClock, snapshot
from tests.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


FEEDS: list[Feed] = []


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage().start().idle() as stage:
        yield stage
    while FEEDS:
        FEEDS.pop().stop()


def begun(stage: Stage, followers: int = 10) -> Feed:
    """A feed of the stage's worker."""
    feed = Feed(stage.fake, followers)
    FEEDS.append(feed)
    feed.start({"fake": stage.worker})
    return feed


def publish(stage: Stage, **items: str) -> int:
    """Publish these items as a watch would; returns their generation."""
    served: Any = Snapshot(items=items, digest=repr(sorted(items.items())))
    assert stage.worker.publish(served, stage.worker.current())
    assert stage.status.snapshot is not None
    return stage.status.snapshot.generation


def data(event: Event) -> dict[str, Any]:
    """The data of an event, which is one line of JSON."""
    [line] = [line for line in event.text.decode().splitlines() if line.startswith("data: ")]
    found: dict[str, Any] = json.loads(line.removeprefix("data: "))
    return found


def names(events: Iterable[Event]) -> list[str]:
    return [
        line.removeprefix("event: ") for one in events for line in one.text.decode().splitlines() if "event: " in line
    ]


def test_a_generation_is_told_with_the_names_that_differ_and_no_value(stage: Stage) -> None:
    feed = begun(stage)
    publish(stage, a="canary-1", b="canary-2")
    follower = feed.follow()
    generation = publish(stage, b="canary-3", c="canary-4")
    [event] = follower.take()
    assert data(event) == {
        "kind": "fake",
        "generation": generation,
        "at": "2023-11-14T22:13:20.000Z",
        "items": 2,
        "rejected": 0,
        "added": ["c"],
        "removed": ["a"],
        "changed": ["b"],
        "added_count": 1,
        "removed_count": 1,
        "changed_count": 1,
    }
    assert b"canary" not in event.text
    assert event.text.startswith(f"id: {follower.id}\nevent: published\ndata: ".encode())
    assert event.text.endswith(b"}\n\n")


def test_of_many_names_the_first_are_listed_and_all_are_counted(stage: Stage) -> None:
    feed = begun(stage)
    follower = feed.follow()
    publish(stage, **{f"n{number:04}": "x" for number in range(1200)})
    [event] = follower.take()
    assert (len(data(event)["added"]), data(event)["added_count"]) == (module.MAX_NAMES, 1200)
    assert data(event)["removed"] == ["item"]


def test_a_refresh_that_ends_is_an_event_also_if_nothing_changed(stage: Stage) -> None:
    feed = begun(stage)
    follower = feed.follow()
    stage.source.answer = lambda _: snapshot("version-1")
    request = stage.worker.refresh_now("0a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11")
    assert request.done.wait(30)
    [event] = follower.take()
    assert names([event]) == ["refresh"]
    told = data(event)
    assert (told["request_id"], told["result"], told["changed"]) == (request.request_id, "success", False)
    assert (told["trigger"], told["attempts"], told["next_attempt"]) == ("manual", 1, None)


def test_a_failed_attempt_that_is_retried_says_when_the_next_one_comes(stage: Stage) -> None:
    feed = begun(stage)
    follower = feed.follow()

    def fail(_: int) -> Snapshot[str]:
        raise Transient("connection refused", "network")

    stage.source.answer = fail
    stage.worker.notify(Trigger.WATCH)
    stage.fake.wait_for_sleeper(30)
    [event] = follower.take()
    told = data(event)
    assert (told["result"], told["error"], told["error_type"]) == ("retrying", "connection refused", "network")
    assert told["next_attempt"] == "2023-11-14T22:13:50.000Z"


def test_the_events_of_a_follower_that_comes_again_go_on_where_it_was(stage: Stage) -> None:
    feed = begun(stage)
    first = feed.follow()
    publish(stage, a="1")
    assert len(first.take()) == 1
    first.close()
    later = [publish(stage, a=str(number)) for number in range(2, 6)]
    again = feed.follow(first.id)
    assert [data(event)["generation"] for event in again.take()] == later
    assert not again.missed
    assert again.take() == []


@pytest.mark.parametrize("after", ["1.1", "0.0", "nonsense", "99999999999999999999.1", "-1.2", "1700000000000.77"])
def test_an_unknown_position_is_told_as_missed_and_begins_now(stage: Stage, after: str) -> None:
    feed = begun(stage)
    publish(stage, a="1")
    follower = feed.follow(after)
    assert follower.missed
    assert follower.take() == []
    follower.missed = False
    publish(stage, a="2")
    assert len(follower.take()) == 1
    assert not follower.missed


@pytest.mark.parametrize("limit", ["MOST_EVENTS", "MOST_BYTES"])
def test_a_follower_for_whom_events_were_lost_is_told_so_and_goes_on_now(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(module, limit, {"MOST_EVENTS": 5, "MOST_BYTES": 1500}[limit])
    feed = begun(stage)
    follower = feed.follow()
    for number in range(20):
        publish(stage, a=str(number))
    assert follower.take() == []
    assert follower.missed
    assert follower.id == feed.id_of(20)
    kept, first, last = feed.after(0)
    assert 0 < len(kept) <= 6
    assert (kept[0].number, kept[-1].number, last) == (first, 20, 20)


def test_a_follower_takes_a_part_of_many_events_at_a_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TAKEN", 3)
    feed = begun(stage)
    follower = feed.follow()
    generations = [publish(stage, a=str(number)) for number in range(7)]
    taken = [follower.take() for _ in range(4)]
    assert [len(events) for events in taken] == [3, 3, 1, 0]
    assert [data(event)["generation"] for events in taken for event in events] == generations


def test_two_generations_that_are_told_in_the_other_order_are_one_event_and_never_go_back(stage: Stage) -> None:
    feed = begun(stage)
    follower = feed.follow()
    swaps = stage.worker._listeners.swaps
    told: list[Any] = []
    swaps[:] = [told.append]
    publish(stage, a="1")
    last = publish(stage, b="1")
    for swap in reversed(told):
        feed._swapped(swap)
    [event] = follower.take()
    assert (data(event)["generation"], data(event)["added"], data(event)["removed"]) == (last, ["b"], ["item"])


def test_only_so_many_follow_and_one_that_leaves_makes_room(stage: Stage) -> None:
    feed = begun(stage, followers=2)
    first, _ = feed.follow(), feed.follow()
    with pytest.raises(TooManyFollowers):
        feed.follow()
    first.close()
    first.close()
    assert feed.followers == 1
    assert isinstance(feed.follow(), Follower)


def test_a_stop_and_a_client_that_leaves_end_the_wait_of_a_follower(stage: Stage) -> None:
    feed = begun(stage)
    one, other = feed.follow(), feed.follow()
    one.leave()
    assert (one.over, one.news.is_set(), other.over, other.news.is_set()) == (True, True, False, False)
    feed.halt()
    assert (other.over, other.news.is_set()) == (True, True)
    feed.stop()
    feed.start({"fake": stage.worker})
    assert not other.over


def test_the_generations_are_those_that_were_told(stage: Stage) -> None:
    assert Feed(FakeClock(), 1).generations() == {}
    feed = begun(stage)
    generation = publish(stage, a="1")
    assert feed.generations() == {"fake": generation}


def test_a_feed_that_is_started_twice_tells_each_event_once(stage: Stage) -> None:
    feed = begun(stage)
    feed.stop()
    feed.start({"fake": stage.worker})
    follower = feed.follow()
    publish(stage, a="1")
    assert len(follower.take()) == 1


def test_generations_reach_followers_that_come_again_and_again_each_once_and_in_order(stage: Stage) -> None:
    feed = begun(stage)
    count = 2_000
    kept: list[list[int]] = [[], [], []]
    ready = threading.Barrier(len(kept) + 1)

    def follow(into: list[int]) -> None:
        follower = feed.follow()
        ready.wait(30)
        while len(into) < count and follower.news.wait(30):
            follower.news.clear()
            while events := follower.take():
                into.extend(data(event)["generation"] for event in events)
            if len(into) % 7 == 0:
                follower.close()
                follower = feed.follow(follower.id)
                follower.news.set()
        follower.close()

    threads = [threading.Thread(target=follow, args=(into,)) for into in kept]
    for thread in threads:
        thread.start()
    ready.wait(30)
    generations = [publish(stage, a=str(number)) for number in range(count)]
    for thread in threads:
        thread.join(60)
    assert kept == [generations] * len(kept)


def test_a_permanent_failure_is_told_as_such(stage: Stage) -> None:
    feed = begun(stage)
    follower = feed.follow()

    def fail(_: int) -> Snapshot[str]:
        raise Permanent("HTTP 403", "auth")

    stage.source.answer = fail
    assert stage.worker.refresh_now().done.wait(30)
    assert [data(event)["result"] for event in follower.take()] == ["failed"]
