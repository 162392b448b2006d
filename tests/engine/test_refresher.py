"""One cycle, run in the test's own thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import (
    Interval,
    Limits,
    Outcome,
    Partial,
    Permanent,
    Request,
    Result,
    Snapshot,
    Stopping,
    Transient,
    Trigger,
)
from alert_refresh.engine.errors import Superseded
from alert_refresh.engine.guard.ruling import Guard
from alert_refresh.engine.refresher import Listeners, Refresher
from alert_refresh.engine.retry import RetryPolicy
from alert_refresh.engine.state import RefreshState
from tests.fakes import FakeClock, FakeSource, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable


class Cycle:
    """A refresher whose source follows a list: a snapshot to return, an error to raise."""

    def __init__(self, *answers: Snapshot[str] | BaseException, retries: int = 5) -> None:
        self.clock = FakeClock()
        self.state: RefreshState[str] = RefreshState("fake", self.clock, Interval(300), 60)
        self.run = self.state.open()
        self.source = FakeSource(self._answer)
        self.outcomes: list[Outcome] = []
        self.slept: list[float] = []
        self._answers = list(answers)
        self.refresher: Refresher[str] = Refresher(
            source=self.source,
            state=self.state,
            guard=Guard(None, Limits(), self.clock),
            policy=RetryPolicy(retries, 30, 300),
            timeout=30,
            clock=self.clock,
            listeners=Listeners([self.outcomes.append]),
        )

    def _answer(self, number: int) -> Snapshot[str]:
        answer = self._answers[number - 1]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def __call__(self, sleep: Callable[[float], None] | None = None, **more: Any) -> Request:
        request = self.state.due(self.run)
        assert request is not None
        self.refresher.cycle(request, sleep=sleep or self.slept.append, **more)
        return request


def test_a_success_is_one_outcome_and_ends_the_cycle() -> None:
    cycle = Cycle(snapshot("a", x="1"))
    request = cycle()
    assert request.done.is_set()
    assert request.first.is_set()
    assert cycle.outcomes == [request.outcome]
    outcome = cycle.outcomes[0]
    assert (outcome.kind, outcome.trigger, outcome.request_id) == ("fake", Trigger.STARTUP, request.request_id)
    assert (outcome.result, outcome.attempt, outcome.items, outcome.rejected) == (Result.SUCCESS, 1, 1, 0)
    assert cycle.source.previous == [None]


def test_transient_failures_are_retried_until_one_succeeds() -> None:
    cycle = Cycle(Transient("x", "network"), Transient("y", "dns"), snapshot())
    request = cycle()
    assert cycle.slept == [30, 60]
    assert [one.result for one in cycle.outcomes] == [Result.FAILED, Result.FAILED, Result.SUCCESS]
    assert [one.retry_in for one in cycle.outcomes] == [30, 60, None]
    assert [one.error_type for one in cycle.outcomes] == ["network", "dns", None]
    assert cycle.outcomes[-1] is request.outcome
    assert {one.request_id for one in cycle.outcomes} == {request.request_id}


def test_the_first_event_comes_with_the_first_attempt_and_done_with_the_end() -> None:
    cycle = Cycle(Transient("x"), snapshot())
    seen: list[tuple[bool, bool]] = []
    requests: list[Request] = cycle.source.requests
    cycle(sleep=lambda _: seen.append((requests[0].first.is_set(), requests[0].done.is_set())))
    assert seen == [(True, False)]
    assert requests[0].done.is_set()


def test_a_permanent_failure_ends_the_cycle() -> None:
    cycle = Cycle(Permanent("forbidden", "auth"))
    cycle()
    assert cycle.slept == []
    assert cycle.outcomes[0].error == "forbidden"


@pytest.mark.parametrize("cause", [Transient("half", "network"), Permanent("half", "auth")])
def test_a_partial_refresh_is_published_and_retried_only_if_its_cause_may_pass(cause: Transient | Permanent) -> None:
    cycle = Cycle(Partial(snapshot("half"), cause), snapshot("whole"))
    cycle()
    first = cycle.outcomes[0]
    assert (first.result, first.changed, first.error) == (Result.FAILED, True, "half")
    assert cycle.source.calls == (2 if isinstance(cause, Transient) else 1)
    if isinstance(cause, Transient):
        assert cycle.source.previous[1] is not None
        assert cycle.source.previous[1].digest == "half"


@pytest.mark.parametrize("error", [ValueError("canary-value"), MemoryError("canary-value"), KeyError("canary-value")])
def test_anything_unknown_is_retried_and_shown_by_its_class_alone(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    cycle = Cycle(error, snapshot())
    with caplog.at_level(logging.DEBUG):
        cycle()
    assert cycle.outcomes[0].error == f"unexpected {type(error).__name__}"
    assert cycle.outcomes[0].error_type == "unknown"
    assert cycle.outcomes[1].result is Result.SUCCESS
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert type(error).__name__ in record.getMessage()
    assert "_answer" in record.__dict__["stack"]
    assert "canary-value" not in str(record.__dict__)


def test_what_the_source_remembers_comes_back_to_it() -> None:
    cycle = Cycle(Snapshot(items={}, digest="a", memo="mine"), snapshot())
    cycle()
    cycle.state.offer(Trigger.WATCH)
    cycle()
    assert cycle.source.previous[1] is not None
    assert cycle.source.previous[1].memo == "mine"


def test_a_listener_that_fails_delays_no_other(caplog: pytest.LogCaptureFixture) -> None:
    cycle = Cycle(Transient("x"), snapshot())

    error = ValueError("canary-value")

    def broken(outcome: Outcome) -> None:
        raise error

    cycle.refresher.listeners.outcomes.insert(0, broken)
    request = cycle()
    assert len(cycle.outcomes) == 2
    assert request.done.is_set()
    assert [record.getMessage() for record in caplog.records].count("A listener failed with ValueError") == 2
    assert "canary-value" not in str([record.__dict__ for record in caplog.records])


def test_listeners_are_called_after_the_outcome_took_effect() -> None:
    cycle = Cycle(Transient("x"), snapshot("a"))
    seen: list[tuple[bool, int, float | None]] = []

    def look(outcome: Outcome) -> None:
        status = cycle.state.status()
        seen.append((status.in_progress, status.succeeded + status.failed, status.next_attempt))

    cycle.refresher.listeners.outcomes.append(look)
    cycle()
    assert seen == [(False, 1, 30), (False, 2, None)]


@pytest.mark.parametrize("interruption", [Stopping("stop"), Superseded("another")])
def test_an_interrupted_wait_ends_the_cycle_without_another_outcome(interruption: Exception) -> None:
    cycle = Cycle(Transient("x"))

    def sleep(seconds: float) -> None:
        raise interruption

    request = cycle(sleep=sleep)
    assert len(cycle.outcomes) == 1
    assert cycle.outcomes[0].retry_in == 30
    assert request.done.is_set()
    assert cycle.state.status().next_attempt is None


def test_stop_before_the_first_attempt_has_no_outcome() -> None:
    cycle = Cycle()
    request = cycle.state.due(cycle.run)
    assert request is not None
    cycle.state.stop(cycle.run)
    cycle.refresher.cycle(request, sleep=cycle.slept.append)
    assert cycle.outcomes == []
    assert request.outcome is None
    assert request.done.is_set()


def test_an_attempt_that_fails_after_stop_is_cancelled_and_reported_once() -> None:
    cycle = Cycle()

    def answer(number: int) -> Snapshot[str]:
        cycle.state.stop(cycle.run)
        raise Transient("cut off", "network")

    cycle.source.answer = answer
    cycle()
    assert [one.result for one in cycle.outcomes] == [Result.CANCELLED]
    assert cycle.slept == []
    status = cycle.state.status()
    assert (status.cancelled, status.failed, status.consecutive_failures) == (1, 0, 0)


def test_an_execution_abandoned_at_stop_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    cycle = Cycle()

    def execute(call: object, deadline: object) -> Snapshot[str]:
        cycle.state.stop(cycle.run)
        raise Stopping("the worker is stopping")

    cycle(execute=execute)
    assert [(one.result, one.error) for one in cycle.outcomes] == [(Result.CANCELLED, "the worker is stopping")]
    assert caplog.records == []


def test_an_attempt_of_a_run_that_is_over_says_nothing() -> None:
    cycle = Cycle()

    def answer(number: int) -> Snapshot[str]:
        cycle.state.stop(cycle.run)
        cycle.state.close(cycle.run)
        return snapshot("ghost")

    cycle.source.answer = answer
    request = cycle()
    assert cycle.outcomes == []
    assert request.done.is_set()
    assert cycle.state.status().snapshot is None


@pytest.mark.parametrize("at", ["retry", "end"])
def test_a_listener_that_kills_its_thread_still_leaves_no_caller_waiting(at: str) -> None:
    cycle = Cycle(Transient("x"), snapshot()) if at == "retry" else Cycle(snapshot())

    def deadly(outcome: Outcome) -> None:
        raise SystemExit

    cycle.refresher.listeners.outcomes.append(deadly)
    request = cycle.state.due(cycle.run)
    assert request is not None
    with pytest.raises(SystemExit):
        cycle.refresher.cycle(request, sleep=cycle.slept.append)
    assert request.done.is_set()
    assert not cycle.state.status().in_progress
