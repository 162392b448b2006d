"""The counts of the automated service."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alert_refresh.engine import Kind, Outcome, RefreshSettings, Result, Trigger, Worker
from alert_refresh.views.automated import Automated
from tests.fakes import FakeClock, FakeSource


def outcome(attempt: int = 1, result: Result = Result.SUCCESS, **changes: Any) -> Outcome:
    made = Outcome("views", Trigger.PERIODIC, "id", attempt, result, started_at=5.0, duration=0.5)
    return replace(made, **changes)


def test_a_cycle_counts_once_and_as_its_last_attempt_ended() -> None:
    worker: Worker[str] = Worker(Kind("views", "V_", ()), FakeSource(), RefreshSettings(), clock=FakeClock())
    automated = Automated(worker)
    assert automated.stop(0) is None, "a worker that does not run has no service to stop"
    automated.heard(outcome(1, Result.FAILED, retry_in=1.0))
    assert (automated.succeeded, automated.failed) == (0, 1)
    automated.heard(outcome(2, Result.FAILED, retry_in=1.0))
    automated.heard(outcome(3, Result.SUCCESS))
    assert (automated.succeeded, automated.failed) == (1, 0)
    automated.heard(outcome(1, Result.CANCELLED))
    automated.heard(outcome(1, trigger=Trigger.MANUAL))
    assert (automated.succeeded, automated.failed) == (1, 0)
    automated.force("mine")
    automated.heard(outcome(1, trigger=Trigger.MANUAL, request_id="mine"))
    automated.heard(outcome(1, trigger=Trigger.MANUAL, request_id="mine"))
    assert (automated.succeeded, automated.last_run) == (2, 5.0)


def service() -> Automated:
    return Automated(Worker(Kind("views", "V_", ()), FakeSource(), RefreshSettings(paused=True), clock=FakeClock()))


def test_a_cycle_that_continues_over_a_stop_and_a_start_counts_once_in_the_new_service() -> None:
    automated = service()
    automated.heard(outcome(1, Result.FAILED, retry_in=1.0))
    automated.start()
    assert (automated.succeeded, automated.failed) == (0, 0)
    automated.heard(outcome(2, Result.FAILED, retry_in=1.0))
    assert (automated.succeeded, automated.failed) == (0, 1)
    automated.heard(outcome(3, Result.FAILED))
    assert (automated.succeeded, automated.failed) == (0, 1)
    automated.heard(outcome(1, Result.FAILED, request_id="next"))
    assert (automated.succeeded, automated.failed) == (0, 2)


def test_a_cycle_that_succeeds_after_a_stop_and_a_start_does_not_change_the_failures() -> None:
    automated = service()
    automated.heard(outcome(1, Result.FAILED, retry_in=1.0))
    automated.start()
    automated.heard(outcome(2, Result.SUCCESS))
    assert (automated.succeeded, automated.failed) == (1, 0)


def test_ids_of_forced_refreshes_are_removed_when_their_cycles_end() -> None:
    automated = service()
    for number in range(50):
        automated.force(f"superseded-{number}")
        automated.forced(f"superseded-{number}")
    assert len(automated._forced) == 1
    automated.force("cancelled")
    automated.heard(outcome(1, Result.CANCELLED, request_id="cancelled"))
    automated.force("refused")
    automated.unforce("refused")
    automated.force("done")
    automated.heard(outcome(1, trigger=Trigger.MANUAL, request_id="done"))
    automated.forced("done")
    assert list(automated._forced) in ([], ["superseded-49"]) and automated.succeeded == 1
