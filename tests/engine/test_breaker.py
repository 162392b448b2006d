"""The circuit breaker: after failed cycles in a row a cycle makes a single attempt, until one succeeds."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import Result, Snapshot, Transient, Trigger
from tests.fakes import FakeSource, snapshot
from tests.stage import Stage

if TYPE_CHECKING:
    from typing import Self


class Failing(Stage):
    """A started stage whose source fails while `fails` is set. A cycle has one retry, after 30 s."""

    def __init__(self, **settings: Any) -> None:
        self.fails = True

        def answer(number: int) -> Snapshot[str]:
            if self.fails:
                raise Transient("down", "network")
            return snapshot(f"version-{number}")

        super().__init__(FakeSource(answer), max_retries=1, interval=100, warmup=100, **settings)

    def cycle_fails(self) -> None:
        """Let a cycle with all its retries fail."""
        self.pass_backoffs(30)
        self.idle()

    def next_tick(self) -> Self:
        assert self.status.next_due is not None
        self.fake.advance(self.status.next_due - self.clock.monotonic())
        return self


def test_it_opens_after_that_many_failed_cycles_and_then_each_tick_is_one_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "alert_refresh")
    with Failing(breaker_failures=2).start() as stage:
        stage.cycle_fails()
        assert (stage.status.failed_cycles, stage.status.breaker_open) == (1, False)
        stage.next_tick().cycle_fails()
        assert stage.status.breaker_open
        assert stage.source.calls == 4
        stage.next_tick().idle()
        stage.next_tick().idle()
        assert stage.source.calls == 6 and stage.status.failed_cycles == 4
        stage.fails = False
        after = stage.next_tick().idle().status
        assert (after.failed_cycles, after.breaker_open) == (0, False)
    said = [one.getMessage() for one in caplog.records if "ircuit" in one.getMessage()]
    assert said == [
        "Circuit breaker opened after 2 failed cycles; a cycle makes one attempt until one succeeds",
        "Circuit breaker closed",
    ]


def test_a_manual_refresh_has_all_its_retries_while_it_is_open() -> None:
    with Failing(breaker_failures=1).start() as stage:
        stage.cycle_fails()
        assert stage.status.breaker_open
        stage.worker.refresh_now()
        stage.cycle_fails()
        assert stage.source.calls == 4


@pytest.mark.parametrize("trigger", [Trigger.WATCH, Trigger.FILE])
def test_a_change_is_tried_at_once_while_it_is_open(trigger: Trigger) -> None:
    with Failing(breaker_failures=1).start() as stage:
        stage.cycle_fails()
        stage.fails = False
        stage.worker.notify(trigger)
        stage.idle()
        assert not stage.status.breaker_open


def test_0_is_never() -> None:
    with Failing(breaker_failures=0).start() as stage:
        stage.cycle_fails()
        for _ in range(9):
            stage.next_tick().cycle_fails()
        assert stage.status.failed_cycles == 10 and not stage.status.breaker_open
        assert stage.source.calls == 20


def test_a_cancelled_cycle_counts_for_nothing() -> None:
    with Failing(breaker_failures=1).start() as stage:
        stage.backing_off(30)
        stage.worker.stop()
        assert stage.outcomes[-1].result is Result.FAILED
        assert (stage.status.failed_cycles, stage.status.breaker_open) == (0, False)
