"""The circuit, the LRU, the meaning of errors, and the counts of the automated service."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import Backoff, Kind, Outcome, Permanent, RefreshSettings, Result, Transient, Trigger, Worker
from alert_refresh.views.automated import Automated
from alert_refresh.views.database.failure import TooLate, connect_failure, failure
from alert_refresh.views.tiers.circuit import Circuit
from alert_refresh.views.tiers.lru import LRU
from tests.fakes import FakeClock, FakeSource


def test_a_circuit_waits_longer_after_each_failure_and_lets_one_call_through() -> None:
    clock = FakeClock()
    circuit = Circuit(clock, Backoff(1, 8))
    assert circuit.closed() and circuit.healthy
    waits = []
    for _ in range(6):
        circuit.failed()
        waits.append(circuit.left())
        assert not circuit.closed()
        clock.advance(circuit.left())
        assert circuit.closed(), "the one call"
        assert not circuit.closed(), "and no other meanwhile"
        clock.advance(1)
    assert waits == [1, 2, 4, 8, 8, 8]
    assert circuit.worked() and not circuit.worked()
    assert circuit.closed() and circuit.failed() and not circuit.failed()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60), st.integers(1, 5))
def test_an_lru_keeps_what_was_used_last(steps: list[tuple[bool, int]], capacity: int) -> None:
    cache: LRU[int] = LRU(capacity)
    model: list[int] = []
    for put, key in steps:
        if put:
            cache.put(key, key + 1)
            model = [one for one in model if one != key] + [key]
            model = model[-capacity:]
        elif key in model:
            assert cache.get(key) == key + 1
            model = [one for one in model if one != key] + [key]
        else:
            assert cache.get(key) is None
    assert len(cache) == len(model) <= capacity
    assert cache.hits + cache.misses == sum(not put for put, _ in steps)


def test_an_lru_survives_many_threads() -> None:
    cache: LRU[int] = LRU(50)

    def work(seed: int) -> None:
        for n in range(3000):
            key = (n * seed) % 90
            if cache.get(key) is None:
                cache.put(key, key + 1)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in (1, 7, 11, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(cache) == 50 and cache.hits + cache.misses == 12_000


@pytest.mark.parametrize(
    ("error", "expected", "error_type"),
    [
        (psycopg.errors.QueryCanceled, Transient, "timeout"),
        (psycopg.errors.LockNotAvailable, Transient, "timeout"),
        (psycopg.errors.DeadlockDetected, Transient, "unknown"),
        (psycopg.errors.AdminShutdown, Transient, "network"),
        (psycopg.errors.ConnectionException, Transient, "network"),
        (psycopg.errors.ReadOnlySqlTransaction, Transient, "network"),
        (psycopg.errors.DiskFull, Transient, "storage"),
        (psycopg.errors.OutOfMemory, Transient, "storage"),
        (psycopg.errors.IoError, Transient, "storage"),
        (psycopg.errors.InternalError_, Transient, "unknown"),
        (psycopg.errors.InsufficientPrivilege, Permanent, "auth"),
        (psycopg.errors.InvalidPassword, Permanent, "auth"),
        (psycopg.errors.UndefinedTable, Permanent, "config"),
        (psycopg.errors.UndefinedFunction, Permanent, "config"),
        (psycopg.errors.CardinalityViolation, Permanent, "parse"),
        (psycopg.errors.DivisionByZero, Permanent, "parse"),
        (psycopg.errors.UniqueViolation, Permanent, "parse"),
        (psycopg.OperationalError, Transient, "network"),
        (TooLate, Transient, "timeout"),
    ],
)
def test_an_error_is_classified_by_its_type_and_its_text_is_never_shown(
    error: type[psycopg.Error], expected: type[Exception], error_type: str
) -> None:
    found = failure(error("canary 42501 timeout"))
    assert type(found) is expected and found.error_type == error_type
    assert "canary" not in str(found)


@pytest.mark.parametrize(
    ("error", "expected", "error_type"),
    [
        (psycopg.errors.ConnectionTimeout("canary"), Transient, "timeout"),
        (psycopg.ProgrammingError("canary"), Permanent, "config"),
        (psycopg.OperationalError("canary"), Transient, "dns"),
        (psycopg.errors.TooManyConnections("canary"), Transient, "network"),
    ],
)
def test_a_connection_that_fails_has_its_own_reasons(
    error: psycopg.Error, expected: type[Exception], error_type: str
) -> None:
    found = connect_failure(error)
    assert type(found) is expected and found.error_type == error_type
    assert "canary" not in str(found)


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


def test_a_cycle_that_goes_on_over_a_stop_and_a_start_counts_once_in_the_new_service() -> None:
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


def test_a_cycle_that_succeeds_after_a_stop_and_a_start_takes_no_failure_back() -> None:
    automated = service()
    automated.heard(outcome(1, Result.FAILED, retry_in=1.0))
    automated.start()
    automated.heard(outcome(2, Result.SUCCESS))
    assert (automated.succeeded, automated.failed) == (1, 0)


def test_ids_of_forced_refreshes_are_let_go_however_their_cycles_end() -> None:
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
