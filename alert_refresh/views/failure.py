"""What a PostgreSQL error means for a refresh, told by its class and SQLSTATE, never by its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from alert_refresh.engine import Permanent, Transient

if TYPE_CHECKING:
    from alert_refresh.engine import AttemptError

PERMANENT = "permanent"
TRANSIENT = "transient"

STATES: dict[str, tuple[str, str, str]] = {
    "57014": (TRANSIENT, "timeout", "the statement timeout ended it"),
    "55P03": (TRANSIENT, "timeout", "the lock was not to be had within the lock timeout"),
    "40P01": (TRANSIENT, "unknown", "a deadlock ended it"),
    "25006": (TRANSIENT, "network", "the server is read-only, a standby perhaps"),
    "57P01": (TRANSIENT, "network", "the server ended the connection"),
    "57P02": (TRANSIENT, "network", "the server crashed"),
    "57P03": (TRANSIENT, "network", "the server takes no connections yet"),
    "53100": (TRANSIENT, "storage", "the server's disk is full"),
    "53300": (TRANSIENT, "network", "the server has too many connections"),
    "42501": (
        PERMANENT,
        "auth",
        "the role may not do this; it must own the view or, from PostgreSQL 17, have MAINTAIN",
    ),
    "42P01": (PERMANENT, "config", "there is no such view or table"),
    "42809": (PERMANENT, "config", "it is not a materialized view"),
    "0A000": (PERMANENT, "config", "it is not a populated materialized view"),
    "55000": (PERMANENT, "config", "it has no unique index that CONCURRENTLY can use"),
    "21000": (PERMANENT, "parse", "its rows would not be unique"),
}

CLASSES: dict[str, tuple[str, str, str]] = {
    "08": (TRANSIENT, "network", "the connection was lost"),
    "21": (PERMANENT, "parse", "its query fails on the data"),
    "22": (PERMANENT, "parse", "its query fails on the data"),
    "23": (PERMANENT, "parse", "its rows violate an index"),
    "28": (PERMANENT, "auth", "the server refused the role or the password"),
    "3D": (PERMANENT, "config", "there is no such database"),
    "3F": (PERMANENT, "config", "there is no such schema"),
    "42": (PERMANENT, "config", "the server refused the statement"),
    "53": (TRANSIENT, "storage", "the server lacks resources"),
    "58": (TRANSIENT, "storage", "the server's storage failed"),
}


class TooLate(psycopg.OperationalError):
    """Raised when the server did not answer in time; the connection is closed."""


def failure(error: psycopg.Error) -> AttemptError:
    """The error to raise for one that a statement raised; its message is built from our words and the SQLSTATE."""
    if isinstance(error, TooLate):
        return Transient("the server did not answer in time", "timeout")
    state = error.sqlstate
    if state is None:
        return Transient("the connection to PostgreSQL was lost", "network")
    lasting, error_type, words = STATES.get(state) or CLASSES.get(state[:2]) or (TRANSIENT, "unknown", "it failed")
    message = f"{words} ({type(error).__name__}, SQLSTATE {state})"
    return Permanent(message, error_type) if lasting == PERMANENT else Transient(message, error_type)


def connect_failure(error: psycopg.Error) -> AttemptError:
    """The error to raise for one that connecting raised. libpq gives no SQLSTATE then, only how far it came."""
    if isinstance(error, (psycopg.errors.ConnectionTimeout, TooLate)):
        return Transient("PostgreSQL did not take the connection in time", "timeout")
    if isinstance(error, psycopg.ProgrammingError):
        return Permanent("the connection string is not one PostgreSQL understands", "config")
    if error.sqlstate is not None:
        return failure(error)
    if error.pgconn is None:
        return Transient("the name of PostgreSQL's host does not resolve", "dns")
    if error.pgconn.needs_password or error.pgconn.used_password:
        return Permanent("PostgreSQL refused the role, its password or the database", "auth")
    return Transient("PostgreSQL cannot be reached, or refused the connection", "network")
