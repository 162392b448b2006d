"""Errors of PostgreSQL as errors of the engine."""

from __future__ import annotations

import psycopg
import pytest

from alert_refresh.engine import Permanent, Transient
from alert_refresh.views.database.failure import TooLate, connect_failure, failure


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
