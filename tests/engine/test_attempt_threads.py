"""Attempts that hang, and threads that die."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from alert_refresh.engine import (
    Outcome,
    RefreshInProgress,
    Result,
    ShutdownTimeout,
    Trigger,
    Watch,
    attempt_threads,
    threads,
)
from alert_refresh.engine import worker as engine_worker
from tests.fakes import FakeClock, FakeSource, FakeWatch, snapshot
from tests.stage import GatedSource, Stage, eventually


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[threading.ExceptHookArgs]:
    """The calls of `threading.excepthook`."""
    heard: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", heard.append)
    return heard


def hang_once(stage: Stage, number: int) -> None:
    """Let the attempt with that number hang until it is abandoned, 5 s past its timeout."""
    stage.source.wait_for_call(number)
    stage.fake.wait_for_sleeper(35)
    stage.fake.advance(34.999)
    assert stage.status.in_progress
    stage.fake.wait_for_sleeper(0.001)
    stage.fake.advance(0.001)


def test_e4_an_attempt_is_abandoned_five_seconds_past_its_timeout_and_a_replacement_continues() -> None:
    with Stage(GatedSource()).start() as stage:
        hang_once(stage, 1)
        stage.backing_off(30)
        assert stage.outcomes[0].error == "the attempt did not end within 30 s and was abandoned"
        assert (stage.outcomes[0].error_type, stage.outcomes[0].duration) == ("timeout", 35)
        assert stage.worker.health() is None
        stage.fake.advance(30)
        stage.source.wait_for_call(2).answer(snapshot("replacement"))
        stage.idle()
        before = stage.status
        stage.source.held[0].answer(snapshot("ghost"))
        eventually(lambda: not stage.source.held)
        assert stage.status is before
        assert before.snapshot is not None
        assert before.snapshot.digest == "replacement"


def test_e4_a_second_stuck_attempt_is_unhealthy_and_a_third_is_not_started() -> None:
    with Stage(GatedSource()).start() as stage:
        hang_once(stage, 1)
        stage.pass_backoffs(30)
        hang_once(stage, 2)
        stage.backing_off(60)
        assert stage.worker.health() == "fake-attempt"
        stage.fake.advance(60)
        stage.backing_off(120)
        assert stage.source.calls == 2
        assert stage.outcomes[-1].error == "2 earlier attempts still hang"
        assert stage.outcomes[-1].error_type == "timeout"
        assert stage.status.failed == 3
        for call in list(stage.source.held):
            call.answer()
        eventually(lambda: stage.worker.health() is None)
        stage.fake.advance(120)
        stage.source.wait_for_call(3).answer()
        assert stage.idle().status.succeeded == 1


def test_stuck_attempts_are_remembered_across_a_restart() -> None:
    with Stage(GatedSource()) as stage:
        for number in (1, 2):
            stage.start()
            stage.source.wait_for_call(number)
            with pytest.raises(ShutdownTimeout):
                stage.worker.stop(0)
        stage.start().backing_off(30)
        assert stage.source.calls == 2
        assert stage.worker.health() == "fake-attempt"


def test_a_manual_refresh_during_a_hanging_attempt_is_refused_until_it_is_abandoned() -> None:
    with Stage(GatedSource()).start() as stage:
        stage.source.wait_for_call(1)
        stage.fake.wait_for_sleeper(35)
        stage.fake.advance(32)
        with pytest.raises(RefreshInProgress):
            stage.worker.refresh_now()
        stage.fake.wait_for_sleeper(3)
        stage.fake.advance(3)
        stage.backing_off(30)
        request = stage.worker.refresh_now()
        assert stage.source.wait_for_call(2).request is request


def test_the_worker_is_healthy_before_start_while_idle_and_after_stop() -> None:
    with Stage() as stage:
        assert stage.worker.health() is None
        stage.start().idle()
        assert stage.worker.health() is None
        stage.worker.stop()
        assert stage.worker.health() is None


def test_a_worker_that_is_late_is_unhealthy_until_it_returns() -> None:
    gate, reported = threading.Event(), threading.Event()

    def slow(outcome: Outcome) -> None:
        reported.set()
        gate.wait(30)

    with Stage() as stage:
        stage.worker.listen(slow)
        stage.start()
        reported.wait(30)
        stage.fake.advance(10)
        assert stage.worker.health() is None
        stage.fake.advance(0.001)
        assert stage.worker.health() == "fake-worker"
        gate.set()
        stage.idle()
        assert stage.worker.health() is None


class TrippingClock(FakeClock):
    """A clock whose `wait` kills the worker's thread, once for each error listed, when a call of `source` is held."""

    def __init__(self, source: GatedSource, *errors: type[BaseException]) -> None:
        super().__init__()
        self.source = source
        self.errors = list(errors)

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        if threading.current_thread().name == "fake-worker" and self.errors and seconds != 0.5:
            self.source.wait_for_call(1)
            raise self.errors.pop(0)
        return super().wait(event, seconds)


FATAL = [SystemExit, KeyboardInterrupt, MemoryError, BaseException, ValueError]


@pytest.mark.parametrize("death", [SystemExit, KeyboardInterrupt, BaseException])
def test_p14_a_worker_that_dies_in_mid_attempt_is_reported_restarted_and_not_in_progress(
    death: type[BaseException], deaths: list[threading.ExceptHookArgs]
) -> None:
    source = GatedSource()
    clock = TrippingClock(source, death)
    with Stage(source, clock=clock).start() as stage:
        clock.wait_for_sleeper(0.5)
        assert not stage.status.in_progress
        assert [one.exc_type for one in deaths] == [death]
        assert stage.status.cancelled == 1
        assert stage.worker.health() is None
        clock.advance(0.5)
        clock.wait_for_sleeper(29.5)
        stage.source.release_all()
        request = stage.worker.refresh_now()
        stage.source.wait_for_call(2).answer()
        assert request.done.wait(30)
        status = stage.idle().status
        assert status.succeeded + status.failed + status.cancelled == stage.source.calls == 2


def test_p14_an_ordinary_error_of_the_worker_in_mid_attempt_is_a_failed_attempt() -> None:
    source = GatedSource()
    clock = TrippingClock(source, MemoryError)
    with Stage(source, clock=clock).start() as stage:
        stage.backing_off(30)
        assert stage.outcomes[0].error == "unexpected MemoryError"
        assert len(stage.worker.hanging()) == 1


def test_p14_an_attempt_whose_worker_died_counts_as_abandoned(deaths: list[threading.ExceptHookArgs]) -> None:
    source = GatedSource()
    clock = TrippingClock(source, SystemExit, SystemExit)
    with Stage(source, clock=clock, rate_limit=0).start() as stage:
        clock.wait_for_sleeper(0.5)
        clock.advance(0.5)
        eventually(lambda: deaths and clock.sleeping() != [])
        assert len(deaths) == 2  # the second: at the next wait of the restarted worker
        clock.wait_for_sleeper(0.5)
        clock.advance(0.5)
        clock.wait_for_sleeper(29)
        assert len(stage.worker.hanging()) == 1


@pytest.mark.parametrize("death", FATAL)
def test_p14_a_watch_that_dies_is_reported_and_restarted(
    death: type[BaseException], deaths: list[threading.ExceptHookArgs]
) -> None:
    ran: list[None] = []
    stopped = threading.Event()

    class Mine(Watch):
        def run(self) -> None:
            ran.append(None)
            if len(ran) == 1:
                raise death
            stopped.wait(30)

        def stop(self) -> None:
            stopped.set()

    source = FakeSource()
    source.make_watches = lambda sink: (Mine(),)
    with Stage(source).start().idle() as stage:
        stage.fake.wait_for_sleeper(0.5)
        assert [one.exc_type for one in deaths] == [death]
        stage.fake.advance(0.5)
        eventually(lambda: len(ran) == 2)


def test_a_watch_that_ends_by_itself_is_run_again_and_stop_ends_that_wait() -> None:
    ran: list[None] = []

    class Mine(Watch):
        def run(self) -> None:
            ran.append(None)

        def stop(self) -> None:
            pass

    source = FakeSource()
    source.make_watches = lambda sink: (Mine(),)
    with Stage(source).start().idle() as stage:
        for count in (1, 2, 3):
            stage.fake.wait_for_sleeper(0.5)
            assert len(ran) == count
            stage.fake.advance(0.5)
        eventually(lambda: len(ran) == 4)
        stage.worker.stop()
        assert len(ran) == 4


@pytest.mark.parametrize("death", [SystemExit, KeyboardInterrupt, BaseException])
def test_p14_an_attempt_that_kills_its_thread_is_reported_and_retried(
    death: type[BaseException], deaths: list[threading.ExceptHookArgs]
) -> None:
    with Stage(GatedSource()).start() as stage:
        stage.source.wait_for_call(1).answer(death())
        stage.backing_off(30)
        assert [one.exc_type for one in deaths] == [death]
        assert stage.outcomes[0].error == f"the attempt was ended by {death.__name__}"
        stage.fake.advance(30)
        stage.source.wait_for_call(2).answer()
        assert stage.idle().outcomes[-1].result is Result.SUCCESS


def test_p14_an_attempt_out_of_memory_failed_and_is_retried() -> None:
    with Stage(GatedSource()).start() as stage:
        stage.source.wait_for_call(1).answer(MemoryError())
        stage.backing_off(30)
        assert stage.outcomes[0].error == "unexpected MemoryError"
        assert stage.outcomes[0].error_type == "unknown"


def test_p14_a_listener_that_kills_the_worker_is_reported_and_the_worker_restarted(
    deaths: list[threading.ExceptHookArgs],
) -> None:
    def deadly(outcome: Outcome) -> None:
        if outcome.trigger is Trigger.STARTUP:
            raise SystemExit

    with Stage() as stage:
        stage.worker.listen(deadly)
        stage.start()
        stage.fake.wait_for_sleeper(0.5)
        assert [one.exc_type for one in deaths] == [SystemExit]
        stage.fake.advance(0.5)
        stage.idle()
        stage.fake.advance(29.5)
        stage.idle()
        assert stage.source.calls == 2


def test_p14_a_thread_that_cannot_even_be_restarted_makes_the_worker_unhealthy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(args: Any) -> None:
        raise RuntimeError("the hook itself fails")

    class Mine(Watch):
        def run(self) -> None:
            raise ValueError

        def stop(self) -> None:
            pass

    heard: list[object] = []
    monkeypatch.setattr(threading, "excepthook", broken)
    monkeypatch.setattr("sys.excepthook", lambda *args: heard.append(args))
    source = FakeSource()
    source.make_watches = lambda sink: (Mine(),)
    with Stage(source).start().idle() as stage:
        eventually(lambda: stage.worker.health() == "fake-watch")
        stage.worker.stop()


def test_stop_ends_the_pause_before_a_restart(deaths: list[threading.ExceptHookArgs]) -> None:
    source = GatedSource()
    clock = TrippingClock(source, SystemExit)
    with Stage(source, clock=clock).start() as stage:
        clock.wait_for_sleeper(0.5)
        stage.source.release_all()
        stage.worker.stop()
        assert not stage.status.running
        assert len(deaths) == 1


def refuse(name: str, failure: type[Exception], monkeypatch: pytest.MonkeyPatch, times: int = 1) -> list[str]:
    """Make the start of the next threads with this name fail; returns their names, as they fail."""
    refused: list[str] = []

    def spawn(wanted: str, target: Any) -> threading.Thread:
        if wanted == name and len(refused) < times:
            refused.append(wanted)
            raise failure
        return threads.spawn(wanted, target)

    for module in (attempt_threads, engine_worker):
        monkeypatch.setattr(module, "spawn", spawn)
    return refused


NO_THREAD = [RuntimeError, MemoryError]


@pytest.mark.parametrize("failure", NO_THREAD)
def test_p17_an_attempt_whose_thread_cannot_start_fails_and_the_next_one_runs(
    failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = refuse("fake-attempt", failure, monkeypatch, times=2)
    with Stage().start() as stage:
        stage.backing_off(30)
        assert [one.error_type for one in stage.outcomes] == ["unknown"]
        assert stage.outcomes[0].error == f"unexpected {failure.__name__}"
        assert not stage.status.in_progress
        stage.fake.advance(30)
        stage.backing_off(60)
        assert stage.worker.health() is None
        stage.fake.advance(60)
        assert stage.idle().status.succeeded == 1
        assert len(refused) == 2
        assert stage.worker.health() is None


@pytest.mark.parametrize("failure", NO_THREAD)
@pytest.mark.parametrize("job", ["worker", "watch"])
def test_p17_a_worker_whose_threads_cannot_start_says_so_is_stopped_and_can_be_started(
    job: str, failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeSource()
    watches: list[FakeWatch] = []

    def watch(sink: Any) -> Any:
        watches.append(FakeWatch())
        return watches[-1:]

    source.make_watches = watch
    with Stage(source) as stage:
        refused = refuse(f"fake-{job}", failure, monkeypatch)
        with pytest.raises(failure):
            stage.worker.start()
        assert refused == [f"fake-{job}"]
        assert watches[0].stopped.is_set()
        assert not stage.status.running
        eventually(lambda: not [one for one in threading.enumerate() if one.name.startswith("fake-")], "their end")
        assert stage.worker.health() is None
        stage.start().idle()
        assert stage.status.succeeded == 1
