"""A paused schedule: only manual refreshes run, and it restarts on resume."""

from __future__ import annotations

import pytest

from alert_refresh.engine import Deadline, Result, Trigger
from alert_refresh.engine.errors import Superseded
from tests.stage import GatedSource, Stage, eventually


def triggers(stage: Stage) -> list[Trigger]:
    return [outcome.trigger for outcome in stage.outcomes]


def test_a_worker_paused_before_its_start_starts_without_a_refresh_and_has_no_tick() -> None:
    with Stage(interval=10, warmup=0) as stage:
        stage.worker.pause()
        stage.start().idle()
        assert stage.status.paused and stage.status.next_due is None
        stage.fake.advance(100)
        stage.idle()
        assert stage.source.calls == 0


def test_a_pause_drops_the_ticks_and_a_resume_starts_a_new_grid_with_a_refresh_immediately() -> None:
    with Stage(interval=10, warmup=0) as stage:
        stage.start().idle()
        stage.worker.pause()
        stage.idle()
        stage.fake.advance(35)
        stage.idle()
        assert stage.source.calls == 1
        assert stage.worker.resume()
        stage.idle()
        assert triggers(stage) == [Trigger.STARTUP, Trigger.STARTUP]
        assert stage.status.next_due == pytest.approx(45)
        stage.fake.advance(10)
        stage.idle()
        assert triggers(stage)[-1] is Trigger.PERIODIC
        assert not stage.worker.resume(), "it is already running"


def test_a_manual_refresh_runs_while_paused_with_all_its_retries() -> None:
    with Stage(base_backoff=5, max_retries=1, rate_limit=0) as stage:
        stage.worker.pause()
        stage.start().idle()

        def fail(number: int) -> None:
            raise OSError

        stage.source.answer = fail
        stage.worker.refresh_now()
        stage.pass_backoffs(5)
        stage.idle()
        assert [outcome.attempt for outcome in stage.outcomes] == [1, 2]


def test_a_pause_ends_the_backoff_of_a_scheduled_cycle_permanently() -> None:
    with Stage(base_backoff=5, interval=100) as stage:

        def fail(number: int) -> None:
            raise OSError

        stage.source.answer = fail
        stage.start().backing_off(5)
        stage.worker.pause()
        stage.idle()
        stage.fake.advance(50)
        stage.idle()
        assert stage.source.calls == 1
        assert stage.status.next_attempt is None


def test_a_pause_waits_for_the_attempt_that_executes_and_counts_it() -> None:
    source = GatedSource()
    with Stage(source) as stage:
        stage.start()
        call = source.wait_for_call(1)
        stage.worker.pause()
        assert stage.status.in_progress
        call.answer()
        eventually(lambda: bool(stage.outcomes))
        assert stage.outcomes[0].result is Result.SUCCESS
        stage.worker.refresh_now()
        call = source.wait_for_call(2)
        call.answer()
        stage.worker.pause(timeout=30)
        assert not stage.status.in_progress


def test_a_pause_before_a_scheduled_request_has_begun_releases_its_waiters() -> None:
    with Stage() as stage:
        stage.worker.state.open()
        request = stage.status.pending
        assert request is not None
        stage.worker.state.pause()
        assert request.done.is_set() and request.first.is_set() and request.outcome is None
        stage.worker.state.stop(stage.status.run)
        stage.worker.state.close(stage.status.run)


def test_a_resume_before_the_start_is_kept_for_the_start() -> None:
    with Stage(interval=10, warmup=0) as stage:
        stage.worker.pause()
        assert stage.worker.resume()
        stage.start().idle()
        assert triggers(stage) == [Trigger.STARTUP]


def test_what_the_schedule_asked_for_does_not_begin_once_it_is_paused() -> None:
    with Stage() as stage:
        run = stage.worker.state.open()
        request = stage.worker.state.due(run)
        assert request is not None and request.trigger is Trigger.STARTUP
        stage.worker.state.pause()
        with pytest.raises(Superseded):
            stage.worker.state.begin(request, 1, Deadline(stage.fake, 1))
        stage.worker.state.stop(run)
        stage.worker.state.close(run)


def test_settings_can_say_that_the_worker_starts_paused() -> None:
    with Stage(paused=True) as stage:
        stage.start().idle()
        assert stage.status.paused and stage.source.calls == 0
