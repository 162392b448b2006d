"""What a watch publishes between attempts, and an attempt that a watch overtook."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import Partial, Publication, Result, Snapshot, Transient, Watch, WatchHealth
from tests.fakes import FakeSource, FakeWatch, snapshot
from tests.stage import GatedSource, Stage, eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.engine import Outcome, Sink


class Living(FakeWatch):
    """A watch that publishes from its own thread."""

    def __init__(self, name: str = "watch", health: WatchHealth | None = None) -> None:
        super().__init__()
        self.name = name
        self.mine = health
        self.heard: list[Outcome] = []

    def refreshed(self, outcome: Outcome) -> None:
        self.heard.append(outcome)

    def health(self) -> WatchHealth | None:
        return self.mine


def watched(*watches: Watch) -> FakeSource:
    source = FakeSource()
    source.make_watches = lambda sink: watches
    return source


def merging(content: str) -> Snapshot[str]:
    """A snapshot whose rebase keeps what is served then."""
    own = snapshot(content)

    def rebase(current: Snapshot[Any]) -> Snapshot[Any]:
        return replace(own, digest=f"{current.digest}+{content}", rebase=rebase)

    return replace(own, rebase=rebase)


def test_a8_what_a_watch_publishes_is_a_new_generation_and_no_attempt() -> None:
    with Stage().start().idle() as stage:
        before = stage.status
        heard: list[Publication] = []
        stage.worker.listen_publish(heard.append)
        stage.fake.advance(2)
        assert stage.worker.publish(snapshot("event"), stage.worker.current(), 1.5)
        after = stage.status
        assert before.snapshot is not None and after.snapshot is not None
        assert after.snapshot.digest == "event"
        assert after.snapshot.generation == before.snapshot.generation + 1
        assert after == replace(before, snapshot=after.snapshot, found=after.snapshot)
        assert heard == [Publication("fake", after.snapshot.generation, 0.5, 1, 0, seen_at=1.5)]
        assert len(stage.outcomes) == 1


def test_only_over_what_is_served_still() -> None:
    with Stage().start().idle() as stage:
        first = stage.worker.current()
        assert stage.worker.publish(snapshot("event"), first)
        assert not stage.worker.publish(snapshot("late"), first)
        assert stage.status.snapshot is not None and stage.status.snapshot.digest == "event"


def test_equal_content_takes_the_memo_and_notifies_no_listener() -> None:
    with Stage().start().idle() as stage:
        heard: list[Publication] = []
        stage.worker.listen_publish(heard.append)
        current = stage.worker.current()
        assert current is not None
        assert stage.worker.publish(replace(current, memo="newer"), current, 0.0)
        served = stage.worker.current()
        assert served is not None and (served.memo, served.generation) == ("newer", current.generation)
        assert heard == []


def test_nothing_is_published_after_stop() -> None:
    with Stage().start().idle() as stage:
        current = stage.worker.current()
        stage.worker.stop()
        assert not stage.worker.publish(snapshot("late"), current, 0.0)
        assert stage.worker.current() is current


def test_a_first_snapshot_may_come_from_a_watch() -> None:
    heard: list[Publication] = []
    with Stage(GatedSource()) as stage:
        stage.worker.listen_publish(heard.append)
        stage.start().source.wait_for_call(1)
        assert stage.worker.publish(snapshot("event"), None, 0.0)
        assert len(heard) == 1
        stage.source.held[0].answer(snapshot("list"))
        stage.idle()
        assert stage.status.snapshot is not None and stage.status.snapshot.digest == "list"


def test_a_listener_of_publications_that_fails_is_logged_and_the_next_one_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[Publication] = []

    def failing(_: Publication) -> None:
        raise RuntimeError("canary")

    with Stage().start().idle() as stage:
        stage.worker.listen_publish(failing)
        stage.worker.listen_publish(heard.append)
        assert stage.worker.publish(snapshot("event"), stage.worker.current(), 0.0)
    assert len(heard) == 1
    assert "A listener failed with RuntimeError" in caplog.text
    assert "canary" not in caplog.messages[-1]


def test_an_attempt_that_a_watch_overtook_is_rebased_until_it_fits() -> None:
    with Stage(GatedSource()).start() as stage:
        stage.source.wait_for_call(1).answer(merging("first"))
        stage.idle().worker.refresh_now()
        call = stage.source.wait_for_call(2)
        assert stage.worker.publish(snapshot("event"), stage.worker.current())
        call.answer(merging("second"))
        stage.idle()
        assert stage.status.snapshot is not None and stage.status.snapshot.digest == "event+second"
        assert stage.status.succeeded == 2


def test_an_attempt_is_rebased_again_when_it_is_overtaken_again() -> None:
    rebased: list[str] = []
    with Stage(GatedSource()).start() as stage:
        stage.source.wait_for_call(1).answer(snapshot("first"))
        stage.idle().worker.refresh_now()
        call = stage.source.wait_for_call(2)

        def rebase(current: Snapshot[Any]) -> Snapshot[Any]:
            rebased.append(current.digest)
            if len(rebased) == 1:
                assert stage.worker.publish(snapshot("event-2"), stage.worker.current())
            return replace(snapshot("list"), rebase=rebase)

        assert stage.worker.publish(snapshot("event-1"), stage.worker.current())
        call.answer(replace(snapshot("list"), rebase=rebase))
        stage.idle()
    assert rebased == ["event-1", "event-2"]
    assert stage.status.snapshot is not None and stage.status.snapshot.digest == "list"


def test_a_partial_refresh_is_rebased_and_fails_anyway() -> None:
    with Stage(GatedSource(), max_retries=0).start() as stage:
        stage.source.wait_for_call(1).answer(snapshot("first"))
        stage.idle().worker.refresh_now()
        call = stage.source.wait_for_call(2)
        assert stage.worker.publish(snapshot("event"), stage.worker.current())
        call.answer(Partial(merging("part"), Transient("a part failed", "network")))
        stage.idle()
        assert stage.outcomes[-1].result is Result.FAILED
        assert stage.status.snapshot is not None and stage.status.snapshot.digest == "event+part"


def test_a_rebase_that_raises_fails_the_attempt_and_keeps_what_is_served() -> None:
    def broken(_: Snapshot[Any]) -> Snapshot[Any]:
        raise KeyError("canary")

    with Stage(GatedSource(), max_retries=0).start() as stage:
        stage.source.wait_for_call(1).answer(snapshot("first"))
        stage.idle().worker.refresh_now()
        call = stage.source.wait_for_call(2)
        assert stage.worker.publish(snapshot("event"), stage.worker.current())
        call.answer(replace(snapshot("list"), rebase=broken))
        stage.idle()
        assert stage.outcomes[-1].error == "unexpected KeyError"
        assert stage.status.snapshot is not None and stage.status.snapshot.digest == "event"


def test_each_watch_runs_in_a_thread_that_has_its_name_and_hears_of_each_attempt() -> None:
    watches = Living("watch-a"), Living("watch-b")
    with Stage(watched(*watches)).start().idle() as stage:
        names = [thread.name for thread in threading.enumerate()]
        assert "fake-watch-a" in names and "fake-watch-b" in names
        assert [[one.attempt for one in watch.heard] for watch in watches] == [[1], [1]]
        stage.worker.stop()
        assert all(watch.stopped.is_set() for watch in watches)


def test_a_watch_that_is_late_makes_the_worker_unhealthy() -> None:
    watch = Living("watch-a")
    with Stage(watched(watch)).start().idle() as stage:
        watch.back_by = 5.0
        stage.fake.advance(15)
        assert stage.worker.health() is None
        stage.fake.advance(0.1)
        assert stage.worker.health() == "fake-watch-a"


def test_a_watch_that_does_not_end_is_abandoned_and_stop_succeeds() -> None:
    go = threading.Event()

    class Deaf(Watch):
        def run(self) -> None:
            go.wait(30)

        def stop(self) -> None:
            pass

    with Stage(watched(Deaf())).start().idle() as stage:
        stage.worker.stop()
        assert not stage.status.running
        go.set()
        eventually(lambda: not any(thread.name == "fake-watch" for thread in threading.enumerate()))


HEALTHS: list[tuple[Sequence[WatchHealth | None], WatchHealth | None]] = [
    ([], None),
    ([None], None),
    ([WatchHealth(True, 5.0), None], WatchHealth(True, 5.0)),
    (
        [WatchHealth(True, 5.0, counts={"lists": 1}), WatchHealth(True, 3.0, counts={"lists": 2, "ends": 1})],
        WatchHealth(True, 3.0, counts={"lists": 3, "ends": 1}),
    ),
    ([WatchHealth(True, 5.0), WatchHealth(False, None, "refused")], WatchHealth(False, None, "refused")),
]


@pytest.mark.parametrize(("healths", "expected"), HEALTHS)
def test_the_health_of_all_watches_is_combined(
    healths: Sequence[WatchHealth | None], expected: WatchHealth | None
) -> None:
    watches = [Living(f"watch-{number}", health) for number, health in enumerate(healths)]
    with Stage(watched(*watches)).start().idle() as stage:
        assert stage.worker.watch_health() == expected
        stage.worker.stop()
        assert stage.worker.watch_health() is None


def test_a_watch_has_no_deadline_and_no_health_by_default() -> None:
    def through(sink: Sink) -> Sequence[Watch]:
        return (FakeWatch(),)

    source = FakeSource()
    source.make_watches = through
    with Stage(source).start().idle() as stage:
        stage.fake.advance(1e9)
        stage.idle()
        assert stage.worker.health() is None
        assert stage.worker.watch_health() is None
