"""The backoff table, and everything that may interrupt one of its waits."""

from __future__ import annotations

import itertools
import time
from typing import NoReturn

import pytest

from alert_refresh.engine import Permanent, Result, Snapshot, Transient, Trigger
from alert_refresh.engine.retry import RetryPolicy
from tests.fakes import FakeSource
from tests.stage import Stage, eventually

WAITS = [0, 30, 60, 120, 240, 300]
CUMULATIVE = [0, 30, 90, 210, 450, 750]


def refused(_: int = 0) -> NoReturn:
    raise Transient("connection refused", "network")


class Timed(FakeSource):
    """A source that records when each attempt began."""

    stage: Stage

    def __init__(self) -> None:
        super().__init__(self._fail)
        self.began: list[float] = []

    def _fail(self, number: int) -> Snapshot[str]:
        self.began.append(self.stage.clock.monotonic())
        refused()


@pytest.fixture
def failing() -> Stage:
    source = Timed()
    source.stage = Stage(source)
    return source.stage


def test_the_default_settings_wait_exactly_as_the_table_says(failing: Stage) -> None:
    with failing.start():
        failing.pass_backoffs(*WAITS[1:]).idle()
        assert failing.source.began == CUMULATIVE
        assert [outcome.retry_in for outcome in failing.outcomes] == [*WAITS[1:], None]
        assert list(itertools.accumulate(WAITS)) == CUMULATIVE
        assert [outcome.attempt for outcome in failing.outcomes] == [1, 2, 3, 4, 5, 6]
        assert {outcome.result for outcome in failing.outcomes} == {Result.FAILED}
        assert failing.status.consecutive_failures == failing.status.failed == 6


def test_after_the_last_retry_the_next_tick_tries_again(failing: Stage) -> None:
    with failing.start():
        failing.pass_backoffs(*WAITS[1:]).idle()
        assert failing.status.next_due == 930  # 30 + 3 x 300: the ticks at 30, 330 and 630 fell into the cycle
        failing.fake.advance(930 - 750)
        failing.backing_off(30)
        assert failing.source.began == [*CUMULATIVE, 930]
        assert failing.outcomes[-1].trigger is Trigger.PERIODIC


@pytest.mark.parametrize("passed", range(5))
def test_stop_in_each_wait_ends_immediately_and_starts_no_attempt(failing: Stage, passed: int) -> None:
    with failing.start():
        failing.pass_backoffs(*WAITS[1 : 1 + passed]).backing_off(WAITS[1 + passed])
        began = time.perf_counter()
        failing.worker.stop()
        assert time.perf_counter() - began < 15
        assert failing.source.calls == passed + 1
        assert failing.status.failed == passed + 1
        assert failing.status.cancelled == 0
        assert failing.status.next_attempt is None


@pytest.mark.parametrize("passed", range(5))
def test_a_manual_refresh_in_each_wait_starts_a_fresh_cycle_with_all_its_retries(failing: Stage, passed: int) -> None:
    with failing.start():
        failing.pass_backoffs(*WAITS[1 : 1 + passed]).backing_off(WAITS[1 + passed])
        waiting = failing.source.requests[-1]
        request = failing.worker.refresh_now("11111111-2222-3333-4444-555555555555")
        assert waiting.done.wait(30)
        failing.pass_backoffs(*WAITS[1:]).idle()
        assert request.done.is_set()
        mine = [outcome for outcome in failing.outcomes if outcome.request_id == request.request_id]
        assert request.request_id == "11111111-2222-3333-4444-555555555555" != waiting.request_id
        assert [outcome.attempt for outcome in mine] == [1, 2, 3, 4, 5, 6]
        assert [outcome.retry_in for outcome in mine] == [*WAITS[1:], None]
        assert {outcome.trigger for outcome in mine} == {Trigger.MANUAL}
        assert failing.source.calls == failing.status.failed == passed + 1 + 6


def test_a_manual_refresh_in_warm_up_runs_immediately() -> None:
    with Stage().start().idle() as stage:
        assert stage.fake.sleeping() == [30]
        request = stage.worker.refresh_now()
        assert request.done.wait(30)
        assert request.outcome is not None and request.outcome.result is Result.SUCCESS
        assert stage.source.calls == 2
        assert stage.idle().status.next_due == 30


def test_stop_in_warm_up_starts_no_attempt() -> None:
    with Stage().start().idle() as stage:
        stage.worker.stop()
        assert stage.source.calls == 1


def test_a_superseded_cycle_reports_its_attempts_once(failing: Stage) -> None:
    with failing.start():
        failing.backing_off(30)
        failing.worker.refresh_now()
        eventually(lambda: failing.source.calls == 2)
        failing.backing_off(30)
        assert [(outcome.trigger, outcome.attempt) for outcome in failing.outcomes] == [
            (Trigger.STARTUP, 1),
            (Trigger.MANUAL, 1),
        ]


def test_a_permanent_failure_is_not_retried_before_the_next_tick() -> None:
    def forbidden(_: int) -> NoReturn:
        raise Permanent("forbidden", "auth")

    with Stage(FakeSource(forbidden)).start().idle() as stage:
        assert stage.source.calls == 1
        assert stage.outcomes[-1].retry_in is None
        stage.fake.advance(30)
        eventually(lambda: stage.source.calls == 2)


def test_no_retries_means_one_attempt() -> None:
    with Stage(FakeSource(refused), max_retries=0).start().idle() as stage:
        assert stage.source.calls == 1


@pytest.mark.parametrize(
    ("asked", "waited"),
    [(1, 30), (45, 45), (3600, 300), (1e30, 300), (float("inf"), 300), (-1, 30), (float("nan"), 30), (0, 30)],
)
def test_a_wait_the_other_side_asks_for_lengthens_the_backoff_up_to_its_cap(asked: float, waited: float) -> None:
    def busy(_: int) -> NoReturn:
        raise Transient("too many requests", "k8s_api", retry_after=asked)

    with Stage(FakeSource(busy)).start() as stage:
        stage.backing_off(waited)
        assert stage.status.next_attempt == waited


def test_jitter_draws_each_wait_between_nothing_and_the_backoff() -> None:
    seen: list[float] = []

    def sleep(seconds: float) -> None:
        seen.append(seconds)

    policy = RetryPolicy(max_retries=5, base_backoff=30, max_backoff=300, jitter=True)
    for _ in range(50):
        with pytest.raises(Transient):
            policy.retrying(sleep=sleep, before_sleep=lambda _: None)(refused)
    for position, most in enumerate(WAITS[1:]):
        waits = seen[position::5]
        assert all(0 <= one <= most for one in waits)
        assert len(set(waits)) > 40
        assert max(waits) > most / 2 > min(waits)


def test_a_thousand_retries_never_wait_longer_than_the_cap() -> None:
    seen: list[float] = []
    policy = RetryPolicy(max_retries=1100, base_backoff=1e-9, max_backoff=2)
    with pytest.raises(Transient):
        policy.retrying(sleep=seen.append, before_sleep=lambda _: None)(refused)
    assert len(seen) == 1100
    assert seen == sorted(seen)
    assert seen[-1] == 2
