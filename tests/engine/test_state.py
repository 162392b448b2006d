"""Every transition of the state, one at a time, without a thread."""

from __future__ import annotations

import dataclasses

import pytest

from alert_refresh.engine import (
    AlreadyStarted,
    AttemptError,
    Deadline,
    Interval,
    Never,
    NotStarted,
    Outcome,
    Permanent,
    RateLimitExceeded,
    RefreshInProgress,
    Request,
    Result,
    Snapshot,
    Stopping,
    Transient,
    Trigger,
)
from alert_refresh.engine.errors import Superseded
from alert_refresh.engine.state import RefreshState
from tests.fakes import START, FakeClock, ruled, snapshot


class Steps:
    """A state and its clock, with the steps of one attempt in one call."""

    def __init__(self, rate_limit: float = 60) -> None:
        self.clock = FakeClock()
        self.state: RefreshState[str] = RefreshState("fake", self.clock, Interval(300, 30), rate_limit)
        self.run = self.state.open()

    def due(self) -> Request:
        request = self.state.due(self.run)
        assert request is not None
        return request

    def attempt(self, new: Snapshot[str] | None, error: AttemptError | None = None) -> Outcome:
        if self.state.status().pending is None:
            self.state.offer(Trigger.WATCH)
        attempt = self.state.begin(self.due(), 1, Deadline(self.clock, 30))
        self.clock.advance(1)
        return self.state.finish(attempt, ruled(new), error)

    def running(self) -> Request:
        """Begin the start-up refresh and leave it running."""
        request = self.due()
        self.state.begin(request, 1, Deadline(self.clock, 30))
        return request


@pytest.fixture
def steps() -> Steps:
    return Steps()


def test_opening_makes_a_start_up_refresh_due_and_cannot_be_done_twice(steps: Steps) -> None:
    assert steps.due().trigger is Trigger.STARTUP
    assert steps.state.status().next_due == 30
    with pytest.raises(AlreadyStarted):
        steps.state.open()


def test_the_first_generation_is_the_start_time_in_milliseconds_and_then_it_counts(steps: Steps) -> None:
    first = steps.attempt(snapshot("a"))
    assert first.generation == int((START + 1) * 1000)
    assert first.changed
    second = steps.attempt(snapshot("b"))
    assert second.generation == first.generation + 1
    assert second.changed


def test_equal_content_keeps_its_generation_and_still_takes_what_the_source_remembers(steps: Steps) -> None:
    first = steps.attempt(Snapshot(items={"a": "x"}, digest="same", memo=1))
    second = steps.attempt(Snapshot(items={"a": "x"}, digest="same", memo=2))
    assert second.generation == first.generation
    assert not second.changed
    served = steps.state.status().snapshot
    assert served is not None and served.memo == 2


def test_a_failure_keeps_what_was_good(steps: Steps) -> None:
    good = steps.attempt(snapshot("a", x="1", y="2"))
    bad = steps.attempt(None, Transient("refused", "network"))
    status = steps.state.status()
    assert (bad.items, bad.generation, bad.changed) == (2, good.generation, False)
    assert (bad.error, bad.error_type, bad.result) == ("refused", "network", Result.FAILED)
    assert status.snapshot is status.last_good is not None
    assert status.last_success_at == START + 1


def test_a_partial_refresh_publishes_and_counts_as_failed(steps: Steps) -> None:
    steps.attempt(snapshot("a"))
    outcome = steps.attempt(snapshot("b"), Permanent("one namespace is forbidden", "auth"))
    status = steps.state.status()
    assert outcome.result is Result.FAILED
    assert outcome.changed
    assert status.snapshot is not None and status.snapshot.digest == "b"
    assert status.last_good is not None and status.last_good.digest == "a"
    assert status.consecutive_failures == 1


def test_two_failures_and_a_success_count_as_two_failed_one_succeeded_and_no_streak(steps: Steps) -> None:
    steps.attempt(None, Transient("x"))
    second = steps.attempt(None, Transient("x"))
    third = steps.attempt(snapshot())
    status = steps.state.status()
    assert (status.succeeded, status.failed, status.cancelled, status.consecutive_failures) == (1, 2, 0, 0)
    assert (second.streak_before, second.consecutive_failures) == (1, 2)
    assert (third.streak_before, third.consecutive_failures) == (2, 0)


def test_in_progress_only_while_an_attempt_runs(steps: Steps) -> None:
    assert not steps.state.status().in_progress
    request = steps.running()
    status = steps.state.status()
    assert status.in_progress
    assert status.attempt is not None
    outcome = steps.state.finish(status.attempt, None, Transient("x"))
    steps.state.waiting(request, 30, outcome)
    assert not steps.state.status().in_progress
    assert steps.state.status().next_attempt == 30
    assert steps.state.status().last is outcome
    steps.state.end_cycle(request)
    assert steps.state.status().next_attempt is None


def test_a_cycle_has_failed_once_it_is_over_and_until_another_one_is(steps: Steps) -> None:
    request = steps.running()
    attempt = steps.state.status().attempt
    assert attempt is not None
    request.outcome = steps.state.finish(attempt, None, Transient("x"))
    assert not steps.state.status().cycle_failed
    steps.state.end_cycle(request)
    assert steps.state.status().cycle_failed
    steps.state.offer(Trigger.WATCH)
    again = steps.running()
    assert steps.state.status().cycle_failed
    steps.state.end_cycle(Request(Trigger.MANUAL, run=again.run))
    assert steps.state.status().cycle_failed, "a cycle without an attempt has no outcome"
    attempt = steps.state.status().attempt
    assert attempt is not None
    again.outcome = steps.state.finish(attempt, ruled(snapshot()), None)
    steps.state.end_cycle(again)
    assert not steps.state.status().cycle_failed


def test_a_manual_refresh_is_refused_before_start_and_after_stop() -> None:
    state: RefreshState[str] = RefreshState("fake", FakeClock(), Never(), 60)
    with pytest.raises(NotStarted):
        state.accept(Request(Trigger.MANUAL))
    run = state.open()
    assert state.stop(run)
    with pytest.raises(NotStarted):
        state.accept(Request(Trigger.MANUAL))
    assert state.close(run)
    with pytest.raises(NotStarted):
        state.accept(Request(Trigger.MANUAL))


def test_a_manual_refresh_is_refused_while_an_attempt_runs_and_says_for_how_long(steps: Steps) -> None:
    steps.running()
    steps.clock.advance(10)
    with pytest.raises(RefreshInProgress) as refusal:
        steps.state.accept(Request(Trigger.MANUAL))
    assert refusal.value.started_at == START
    assert refusal.value.retry_after == 20
    steps.clock.advance(30)
    with pytest.raises(RefreshInProgress) as refusal:
        steps.state.accept(Request(Trigger.MANUAL))
    assert refusal.value.retry_after == 0


def test_an_accepted_one_that_has_not_begun_refuses_the_next(steps: Steps) -> None:
    steps.state.accept(Request(Trigger.MANUAL))
    steps.clock.advance(61)
    with pytest.raises(RefreshInProgress) as refusal:
        steps.state.accept(Request(Trigger.MANUAL))
    assert refusal.value.started_at == START


def test_c03_the_window_opens_after_exactly_its_seconds_and_only_accepted_ones_use_it(steps: Steps) -> None:
    steps.running()
    with pytest.raises(RefreshInProgress):
        steps.state.accept(Request(Trigger.MANUAL))
    attempt = steps.state.status().attempt
    assert attempt is not None
    steps.state.finish(attempt, ruled(snapshot()), None)
    steps.state.accept(Request(Trigger.MANUAL))  # the refusal before has not used the window
    steps.attempt(snapshot())
    steps.clock.advance(58.999)
    with pytest.raises(RateLimitExceeded) as refusal:
        steps.state.accept(Request(Trigger.MANUAL))
    assert refusal.value.retry_after == pytest.approx(0.001)
    steps.clock.advance(0.001)
    steps.state.accept(Request(Trigger.MANUAL))
    assert steps.state.status().last_manual_at == START + 60


def test_in_progress_comes_before_the_rate_limit(steps: Steps) -> None:
    steps.state.accept(Request(Trigger.MANUAL))
    with pytest.raises(RefreshInProgress):
        steps.state.accept(Request(Trigger.MANUAL))
    steps.running()
    with pytest.raises(RefreshInProgress):
        steps.state.accept(Request(Trigger.MANUAL))


def test_the_rate_limit_window_survives_a_restart(steps: Steps) -> None:
    steps.state.accept(Request(Trigger.MANUAL))
    steps.state.stop(steps.run)
    steps.state.close(steps.run)
    steps.state.open()
    with pytest.raises(RateLimitExceeded):
        steps.state.accept(Request(Trigger.MANUAL))


def test_offers_while_one_is_pending_or_running_make_one_more_run(steps: Steps) -> None:
    steps.running()
    for _ in range(100):
        steps.state.offer(Trigger.WATCH)
    assert steps.due().trigger is Trigger.WATCH
    steps.state.stop(steps.run)
    steps.state.offer(Trigger.WATCH)
    assert steps.state.status().pending is None


def test_a_tick_is_due_once_and_what_is_pending_takes_its_place(steps: Steps) -> None:
    steps.attempt(snapshot())
    assert steps.state.due(steps.run) is None
    steps.clock.advance(29)
    assert steps.due().trigger is Trigger.PERIODIC
    assert steps.state.status().next_due == 330
    steps.attempt(snapshot())
    steps.state.offer(Trigger.FILE)
    steps.clock.advance(300)
    assert steps.due().trigger is Trigger.FILE
    assert steps.state.status().next_due == 630


def test_a_request_accepted_before_a_cycle_has_begun_is_first(steps: Steps) -> None:
    startup, manual = steps.due(), Request(Trigger.MANUAL)
    steps.state.accept(manual)
    with pytest.raises(Superseded):
        steps.state.begin(startup, 1, Deadline(steps.clock, 30))
    assert steps.due() is manual
    assert steps.state.begin(manual, 1, Deadline(steps.clock, 30)).request is manual


def test_a_request_accepted_as_a_backoff_ends_precedes_the_next_attempt(steps: Steps) -> None:
    startup = steps.running()
    attempt = steps.state.status().attempt
    assert attempt is not None
    steps.state.waiting(startup, 30, steps.state.finish(attempt, None, Transient("x")))
    steps.clock.advance(30)
    steps.state.accept(Request(Trigger.MANUAL))
    with pytest.raises(Superseded):
        steps.state.begin(startup, 2, Deadline(steps.clock, 30))


def test_ticks_that_pass_in_a_long_cycle_are_gone_and_the_next_is_ahead(steps: Steps) -> None:
    request = steps.running()
    attempt = steps.state.status().attempt
    assert attempt is not None
    steps.clock.advance(40)
    outcome = steps.state.finish(attempt, None, Transient("x"))
    assert steps.state.status().next_due == 330
    steps.state.waiting(request, 300, outcome)
    assert steps.state.status().next_due == 630  # the one at 330 falls into the wait
    steps.clock.advance(600)  # it was to be 300: the machine is busy
    steps.state.begin(request, 2, Deadline(steps.clock, 30))
    assert steps.state.status().next_due == 930
    steps.clock.advance(300)
    steps.state.end_cycle(request)
    assert steps.state.status().next_due == 1230


def test_a_tick_that_would_have_fallen_into_a_wait_is_due_again_when_the_wait_ends_early(steps: Steps) -> None:
    request = steps.running()
    attempt = steps.state.status().attempt
    assert attempt is not None
    steps.state.waiting(request, 300, steps.state.finish(attempt, None, Transient("x")))
    assert steps.state.status().next_due == 330
    steps.clock.advance(1)
    steps.state.end_cycle(request)
    assert steps.state.status().next_due == 30


def test_stop_ends_what_is_pending_and_begins_nothing(steps: Steps) -> None:
    request = steps.due()
    assert steps.state.stop(steps.run)
    assert not steps.state.stop(steps.run)
    assert request.done.is_set()
    assert request.first.is_set()
    with pytest.raises(Stopping):
        steps.state.due(steps.run)
    with pytest.raises(Stopping):
        steps.state.begin(request, 1, Deadline(steps.clock, 30))


def test_a_failure_while_stopping_is_cancelled_and_no_failure(steps: Steps) -> None:
    steps.running()
    steps.state.stop(steps.run)
    attempt = steps.state.status().attempt
    assert attempt is not None
    outcome = steps.state.finish(attempt, None, Transient("x"))
    status = steps.state.status()
    assert outcome.result is Result.CANCELLED
    assert (status.cancelled, status.failed, status.consecutive_failures) == (1, 0, 0)


def test_a_success_while_stopping_is_published(steps: Steps) -> None:
    steps.running()
    steps.state.stop(steps.run)
    attempt = steps.state.status().attempt
    assert attempt is not None
    assert steps.state.finish(attempt, ruled(snapshot("late")), None).result is Result.SUCCESS
    served = steps.state.status().snapshot
    assert served is not None and served.digest == "late"


def test_an_attempt_that_outlives_its_run_can_never_finish(steps: Steps) -> None:
    steps.running()
    attempt = steps.state.status().attempt
    assert attempt is not None
    steps.state.stop(steps.run)
    assert steps.state.close(steps.run)
    assert not steps.state.close(steps.run)
    assert (steps.state.status().in_progress, steps.state.status().cancelled) == (False, 1)
    steps.state.open()
    before = steps.state.status()
    with pytest.raises(Stopping):
        steps.state.finish(attempt, ruled(snapshot("ghost")), None)
    assert steps.state.status() is before


def test_an_earlier_run_does_not_affect_a_later_one(steps: Steps) -> None:
    old = steps.running()
    steps.state.stop(steps.run)
    steps.state.close(steps.run)
    new = steps.state.open()
    request = steps.state.due(new)
    assert request is not None
    attempt = steps.state.begin(request, 1, Deadline(steps.clock, 30))
    outcome = Outcome("fake", Trigger.STARTUP, old.request_id, 1, Result.FAILED, START, 1.0, retry_in=7.0)
    before = steps.state.status()
    steps.state.void(steps.run)
    steps.state.waiting(old, 7, outcome)
    steps.state.end_cycle(old)
    assert not steps.state.stop(steps.run)
    assert not steps.state.close(steps.run)
    with pytest.raises(Stopping):
        steps.state.begin(old, 2, Deadline(steps.clock, 30))
    with pytest.raises(Stopping):
        steps.state.due(steps.run)
    assert not steps.state.active(steps.run)
    assert not steps.state.is_open(steps.run)
    assert steps.state.status() is before
    assert steps.state.finish(attempt, ruled(snapshot()), None).result is Result.SUCCESS


def test_void_without_an_attempt_changes_nothing(steps: Steps) -> None:
    before = steps.state.status()
    steps.state.void(steps.run)
    assert steps.state.status() is before


def test_the_snapshot_survives_stop_and_start(steps: Steps) -> None:
    first = steps.attempt(snapshot("a"))
    steps.state.stop(steps.run)
    steps.state.close(steps.run)
    assert steps.state.status().next_due is None
    steps.run = steps.state.open()
    served = steps.state.status().snapshot
    assert served is not None and served.generation == first.generation
    assert steps.attempt(snapshot("b")).generation == first.generation + 1


def test_a_kind_without_a_schedule_has_no_next_tick() -> None:
    state: RefreshState[str] = RefreshState("fake", FakeClock(), Never(), 0)
    run = state.open()
    assert state.status().next_due is None
    request = state.due(run)
    assert request is not None
    state.finish(state.begin(request, 1, Deadline(FakeClock(), 1)), ruled(snapshot()), None)
    state.end_cycle(request)
    assert state.due(run) is None


def test_c08_a_status_cannot_be_changed_by_its_readers(steps: Steps) -> None:
    steps.attempt(snapshot())
    status = steps.state.status()
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.failed = 5  # type: ignore[misc]  # it is frozen
    assert status.last is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.last.error = "x"  # type: ignore[misc]  # it is frozen


def test_an_outcome_tells_when_the_oldest_change_that_it_took_over_was_seen(steps: Steps) -> None:
    steps.attempt(snapshot("one"))
    steps.clock.advance(10)
    began = steps.clock.monotonic()
    steps.state.offer(Trigger.FILE)
    steps.clock.advance(2)
    steps.state.offer(Trigger.FILE)
    assert steps.attempt(snapshot("two")).seen_at == began


def test_a_change_that_only_failed_attempts_looked_at_is_still_the_oldest_one(steps: Steps) -> None:
    steps.attempt(snapshot("one"))
    began = steps.clock.monotonic()
    assert steps.attempt(None, Permanent("bad")).seen_at == began
    steps.clock.advance(60)
    assert steps.attempt(snapshot("two")).seen_at == began
    steps.clock.advance(60)
    assert steps.attempt(snapshot("three")).seen_at == steps.clock.monotonic() - 1


def test_an_attempt_that_nothing_was_seen_for_tells_when_it_began(steps: Steps) -> None:
    steps.clock.advance(5)
    assert steps.attempt(None, Permanent("bad")).seen_at == 5
    assert steps.state.status().missed_since is None


def test_a_manual_refresh_takes_over_the_change_that_was_waiting(steps: Steps) -> None:
    steps.attempt(snapshot("one"))
    began = steps.clock.monotonic()
    steps.state.offer(Trigger.WATCH)
    steps.clock.advance(1)
    request = Request(Trigger.MANUAL)
    steps.state.accept(request)
    assert request.seen_at == began
