"""The four methods of the worker, from start to stop."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from alert_refresh.engine import (
    AlreadyStarted,
    NotStarted,
    Outcome,
    RateLimitExceeded,
    RefreshInProgress,
    Result,
    ShutdownTimeout,
    SystemClock,
    Transient,
    Trigger,
    Worker,
)
from tests.fakes import FakeSource, FakeWatch, snapshot
from tests.stage import HANG_GUARD, KIND, GatedSource, Stage, eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.engine import Sink, Snapshot, Watch


ATTEMPT = "fake-attempt"


class WatchedSource(FakeSource):
    """A source with a watch; `made` holds each one created."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[FakeWatch] = []
        self.make_watches = self._make

    def _make(self, _: Sink) -> Sequence[Watch]:
        self.made.append(FakeWatch())
        return self.made[-1:]


def test_start_refreshes_immediately_and_then_waits_for_the_warm_up() -> None:
    with Stage().start().idle() as stage:
        assert stage.source.calls == 1
        assert stage.status.running
        assert stage.status.next_due == 30
        assert [outcome.trigger for outcome in stage.outcomes] == [Trigger.STARTUP]
        stage.fake.advance(30)
        stage.idle()
        assert stage.outcomes[-1].trigger is Trigger.PERIODIC


def test_start_twice_is_already_started_and_start_after_stop_works() -> None:
    with Stage().start().idle() as stage:
        with pytest.raises(AlreadyStarted):
            stage.worker.start()
        stage.worker.stop()
        assert not stage.status.running
        stage.start().idle()
        assert stage.source.calls == 2
        assert stage.source.closed == 1


def test_start_returns_immediately_while_the_first_refresh_runs() -> None:
    with Stage(GatedSource()) as stage:
        began = time.perf_counter()
        stage.start()
        assert time.perf_counter() - began < 15  # 1 ms is promised and measured in bench; this guards against a hang
        stage.source.wait_for_call(1)
        assert stage.status.in_progress


def test_stop_without_start_and_twice_does_nothing() -> None:
    with Stage() as stage:
        stage.worker.stop()
        assert stage.source.closed == 0
        stage.start().idle()
        stage.worker.stop()
        stage.worker.stop()
        assert stage.source.closed == 1


def test_stop_lets_a_running_attempt_finish_and_publishes_it() -> None:
    with Stage(GatedSource()).start() as stage:
        call = stage.source.wait_for_call(1)
        stopping = threading.Thread(target=stage.worker.stop)
        stopping.start()
        eventually(lambda: stage.status.stopping)
        with pytest.raises(NotStarted):
            stage.worker.refresh_now()
        call.answer(snapshot("late"))
        stopping.join()
        assert stage.status.snapshot is not None
        assert stage.status.snapshot.digest == "late"
        assert (stage.status.running, stage.status.stopping, stage.status.succeeded) == (False, False, 1)


def test_an_attempt_that_fails_during_stop_is_cancelled_and_not_retried() -> None:
    with Stage(GatedSource()).start() as stage:
        call = stage.source.wait_for_call(1)
        stage.worker.halt()
        call.answer(Transient("cut off", "network"))
        stage.worker.stop()
        assert (stage.status.cancelled, stage.status.failed, stage.source.calls) == (1, 0, 1)
        assert [outcome.result for outcome in stage.outcomes] == [Result.CANCELLED]


def test_an_attempt_that_outlives_stop_is_abandoned_cancelled_and_never_publishes() -> None:
    with Stage(GatedSource()).start() as stage:
        call = stage.source.wait_for_call(1)
        with pytest.raises(ShutdownTimeout, match="did not end within 0 s"):
            stage.worker.stop(0)
        assert (stage.status.running, stage.status.in_progress, stage.status.cancelled) == (False, False, 1)
        eventually(lambda: [one.name for one in threading.enumerate() if one.name.startswith("fake-")] == [ATTEMPT])
        before = stage.status
        stage.worker.stop(0)  # nothing runs any more: no second timeout
        call.answer(snapshot("ghost"))
        eventually(lambda: not stage.source.held)
        assert stage.status is before


def test_a_ghost_of_an_earlier_run_does_not_publish_into_a_later_one() -> None:
    with Stage(GatedSource()).start() as stage:
        ghost = stage.source.wait_for_call(1)
        with pytest.raises(ShutdownTimeout):
            stage.worker.stop(0)
        stage.start()
        call = stage.source.wait_for_call(2)
        ghost.answer(snapshot("ghost"))
        eventually(lambda: len(stage.source.held) == 1)
        assert stage.status.in_progress
        call.answer(snapshot("real"))
        stage.idle()
        assert stage.status.snapshot is not None
        assert stage.status.snapshot.digest == "real"
        assert (stage.status.succeeded, stage.status.cancelled) == (1, 1)


def test_a_slow_listener_of_an_earlier_run_does_not_touch_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    gate, reported = threading.Event(), threading.Event()

    def deadly(outcome: Outcome) -> None:
        if not reported.is_set():
            reported.set()
            gate.wait(30)
            raise SystemExit

    with Stage(GatedSource()) as stage:
        stage.worker.listen(deadly)
        stage.start()
        stage.source.wait_for_call(1).answer()
        reported.wait(30)
        old = stage.worker._run.threads
        with pytest.raises(ShutdownTimeout):
            stage.worker.stop(0)
        stage.start()
        call = stage.source.wait_for_call(2)
        gate.set()
        old[0].join(30)
        assert not old[0].is_alive()
        assert stage.status.in_progress
        call.answer(snapshot("real"))
        stage.idle()
        assert (stage.status.succeeded, stage.status.cancelled) == (2, 0)


def test_a_listener_may_stop_its_worker() -> None:
    with Stage() as stage:
        stage.worker.listen(lambda outcome: stage.worker.stop())
        stage.start()
        eventually(lambda: not stage.status.running)
        assert stage.source.closed == 1


def test_refresh_now_needs_a_running_worker() -> None:
    with Stage() as stage:
        with pytest.raises(NotStarted):
            stage.worker.refresh_now()
        stage.start().idle().worker.stop()
        with pytest.raises(NotStarted):
            stage.worker.refresh_now()


def test_refresh_now_runs_immediately_with_the_given_id() -> None:
    with Stage().start().idle() as stage:
        request = stage.worker.refresh_now("11111111-2222-3333-4444-555555555555", scope="one")
        assert request.done.wait(30)
        assert stage.source.requests[-1] is request
        assert request.scope == "one"
        assert stage.outcomes[-1].request_id == "11111111-2222-3333-4444-555555555555"
        assert stage.outcomes[-1].trigger is Trigger.MANUAL


def test_every_request_has_an_id_of_its_own() -> None:
    with Stage(rate_limit=0).start().idle() as stage:
        ids = []
        for _ in range(10):
            request = stage.worker.refresh_now()
            request.done.wait(30)
            ids.append(request.request_id)
        assert len(set(ids)) == 10


def test_refusals_come_in_their_order() -> None:
    with Stage(GatedSource()).start() as stage:
        stage.source.wait_for_call(1)
        with pytest.raises(RefreshInProgress) as busy:
            stage.worker.refresh_now()
        assert busy.value.retry_after == 30
        stage.source.held[0].answer()
        stage.idle()
        stage.worker.refresh_now()
        stage.source.wait_for_call(2)
        with pytest.raises(RefreshInProgress):
            stage.worker.refresh_now()
        stage.source.held[0].answer()
        stage.idle()
        with pytest.raises(RateLimitExceeded) as limited:
            stage.worker.refresh_now()
        assert limited.value.retry_after == 60
        assert stage.source.calls == 2


def test_a_storm_of_notifications_during_an_attempt_makes_one_more_run() -> None:
    with Stage(GatedSource()).start() as stage:
        call = stage.source.wait_for_call(1)
        for _ in range(1000):
            stage.worker.notify(Trigger.WATCH)
        call.answer()
        stage.source.wait_for_call(2).answer()
        stage.idle()
        assert stage.source.calls == 2
        assert stage.outcomes[-1].trigger is Trigger.WATCH


def test_a_notification_wakes_an_idle_worker_and_ends_a_backoff() -> None:
    with Stage().start().idle() as stage:
        stage.worker.notify(Trigger.FILE)
        eventually(lambda: stage.source.calls == 2)
        stage.idle()
    with Stage(GatedSource()).start() as stage:
        stage.source.wait_for_call(1).answer(Transient("x"))
        stage.backing_off(30)
        stage.worker.notify(Trigger.FILE)
        stage.source.wait_for_call(2).answer()
        stage.idle()
        assert stage.outcomes[-1].trigger is Trigger.FILE


def test_a_wake_without_a_request_does_not_keep_a_backoff_awake() -> None:
    with Stage(GatedSource()).start() as stage:
        call = stage.source.wait_for_call(1)
        stage.worker._run.wake.set()  # as by a notification that this very attempt has taken up
        call.answer(Transient("x"))
        stage.backing_off(30)
        assert not stage.worker._run.wake.is_set()


def test_a_notification_to_a_worker_that_does_not_run_is_nothing() -> None:
    with Stage() as stage:
        stage.worker.notify(Trigger.WATCH)
        assert stage.status.pending is None
        stage.start().idle().worker.stop()
        stage.worker.notify(Trigger.WATCH)
        assert stage.status.pending is None


def test_the_watch_runs_in_its_own_thread_until_stop_and_again_after_start() -> None:
    source = WatchedSource()
    with Stage(source).start().idle() as stage:
        assert "fake-watch" in [thread.name for thread in threading.enumerate()]
        assert source.sink is not None
        source.sink.notify(Trigger.WATCH)
        eventually(lambda: source.calls == 2)
        stage.idle().worker.stop()
        assert source.made[0].stopped.is_set()
        stage.start().idle()
        assert len(source.made) == 2
        assert not source.made[1].stopped.is_set()


def test_a_second_start_asks_for_no_second_watch() -> None:
    source = WatchedSource()
    with Stage(source).start().idle() as stage:
        with pytest.raises(AlreadyStarted):
            stage.worker.start()
        assert [watch.stopped.is_set() for watch in source.made] == [False]
        assert stage.worker.health() is None


def test_stop_joins_the_threads_of_the_watches() -> None:
    class Slow(FakeWatch):
        """Ends once another thread joins its thread."""

        def __init__(self) -> None:
            super().__init__()
            self.ready, self.joined, self.ended = threading.Event(), threading.Event(), threading.Event()

        def run(self) -> None:
            thread = threading.current_thread()
            join = thread.join

            def joined(timeout: float | None = None) -> None:
                self.joined.set()
                join(timeout)

            thread.join = joined  # type: ignore[method-assign]  # a spy
            self.ready.set()
            super().run()
            if self.joined.wait(HANG_GUARD):
                self.ended.set()

    watch = Slow()
    source = FakeSource()
    source.make_watches = lambda sink: (watch,)
    with Stage(source).start().idle() as stage:
        assert watch.ready.wait(HANG_GUARD)
        stage.worker.stop()
        ended = watch.ended.is_set()
        watch.joined.set()
        assert ended


def test_what_a_watch_of_an_earlier_run_brings_is_dropped() -> None:
    source = WatchedSource()
    with Stage(source).start().idle() as stage:
        earlier = source.sink
        assert earlier is not None
        stage.worker.stop()
        assert not earlier.publish(snapshot("stopped"), earlier.current())
        stage.start().idle()
        served, calls = stage.worker.current(), source.calls
        assert not earlier.publish(snapshot("late"), earlier.current())
        earlier.notify(Trigger.WATCH)
        stage.idle()
        assert stage.worker.current() is served and source.calls == calls
        assert source.sink is not None and source.sink.publish(snapshot("present"), served)
        source.sink.notify(Trigger.WATCH)
        eventually(lambda: source.calls == calls + 1)


def test_a_worker_that_is_stopped_while_its_watches_are_made_ends() -> None:
    source = WatchedSource()
    made, stopping = source.make_watches, threading.Event()

    def watches(sink: Sink) -> Sequence[Watch]:
        stage.worker.halt()
        stopping.set()
        return made(sink)

    source.make_watches = watches
    with Stage(source) as stage:
        stage.worker.start()
        assert stopping.is_set()
        stage.worker.stop()
        assert source.calls == 0 and not stage.status.running


def test_a_watch_that_cannot_be_made_fails_the_start_and_leaves_nothing_open() -> None:
    source = FakeSource()
    made: list[FakeWatch] = []

    def watches(sink: Sink) -> Sequence[Watch]:
        if not made:
            made.append(FakeWatch())
            raise OSError("no more watches")
        return made

    source.make_watches = watches
    with Stage(source) as stage:
        with pytest.raises(OSError, match="no more watches"):
            stage.start()
        assert not stage.status.running
        assert source.calls == 0
        stage.start().idle()
        assert source.calls == 1


@pytest.mark.parametrize("job", ["fake-worker", "fake-watch"])
def test_a_thread_that_cannot_be_started_fails_the_start_and_leaves_nothing_open(
    job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def exhausted(thread: threading.Thread) -> None:
        if thread.name == job:
            raise RuntimeError("can't start new thread")
        start(thread)

    source = WatchedSource()
    with Stage(source) as stage:
        monkeypatch.setattr(threading.Thread, "start", exhausted)
        with pytest.raises(RuntimeError):
            stage.start()
        assert not stage.status.running
        assert source.made[0].stopped.is_set()
        monkeypatch.undo()
        eventually(lambda: not [one for one in threading.enumerate() if one.name.startswith("fake-")])
        stage.start().idle()


def test_an_attempt_whose_thread_cannot_be_started_failed_and_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    refused: list[threading.Thread] = []

    def exhausted(thread: threading.Thread) -> None:
        if thread.name == "fake-attempt" and not refused:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", exhausted)
    with Stage().start() as stage:
        stage.pass_backoffs(30).idle()
        assert refused
        assert [outcome.error for outcome in stage.outcomes] == ["unexpected RuntimeError", None]
        assert not stage.status.in_progress


def test_e8_listeners_can_tell_the_third_failure_and_the_recovery() -> None:
    with Stage(GatedSource()).start() as stage:
        for number, seconds in enumerate((30, 60, 120, 240), 1):
            stage.source.wait_for_call(number).answer(Transient("x"))
            stage.pass_backoffs(seconds)
        stage.source.wait_for_call(5).answer()
        stage.idle()
        streaks = [(outcome.streak_before, outcome.consecutive_failures) for outcome in stage.outcomes]
        assert streaks == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]


def test_e7_two_failures_and_a_success_count_so() -> None:
    with Stage(GatedSource()).start() as stage:
        in_progress = []
        for number, seconds in ((1, 30), (2, 60)):
            call = stage.source.wait_for_call(number)
            in_progress.append(stage.status.in_progress)
            call.answer(Transient("x"))
            stage.backing_off(seconds)
            in_progress.append(stage.status.in_progress)
            stage.fake.advance(seconds)
        stage.source.wait_for_call(3).answer()
        status = stage.idle().status
        assert in_progress == [True, False, True, False]
        assert (status.succeeded, status.failed, status.cancelled, status.consecutive_failures) == (1, 2, 0, 0)


def test_a_worker_runs_on_the_machine_s_clock_with_no_clock_given() -> None:
    source = FakeSource()
    worker: Worker[str] = Worker(KIND, source, Stage().worker.settings)
    assert isinstance(worker.clock, SystemClock)
    worker.start()
    eventually(lambda: worker.get_status().succeeded == 1)
    began = time.perf_counter()
    worker.stop(30)
    assert time.perf_counter() - began < 15
    assert worker.get_status().running is False


def test_a_refresh_far_away_on_the_machine_s_clock_is_stopped_immediately() -> None:
    def refused(_: int) -> Snapshot[str]:
        raise Transient("x")

    source = FakeSource(refused)
    worker: Worker[str] = Worker(KIND, source, Stage().worker.settings)
    worker.start()
    eventually(lambda: worker.get_status().next_attempt is not None)
    began = time.perf_counter()
    worker.stop(30)
    assert time.perf_counter() - began < 15
    assert source.calls == 1


def test_two_concurrent_stops_both_end_and_close_once() -> None:
    with Stage(GatedSource()).start() as stage:
        call = stage.source.wait_for_call(1)
        stops = [threading.Thread(target=stage.worker.stop) for _ in range(2)]
        for stop in stops:
            stop.start()
        eventually(lambda: stage.status.stopping)
        call.answer()
        for stop in stops:
            stop.join()
        assert stage.source.closed == 1
        assert not stage.status.running
