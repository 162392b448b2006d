"""Classifies PostgreSQL errors by exception type and SQLSTATE, never by their text.

The server's primary message and hint are shown; its detail, context and query, which can contain data, are not.
"""

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
    "55P03": (TRANSIENT, "timeout", "a lock could not be acquired within the lock timeout"),
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
        "the role lacks a privilege",
    ),
    "42P01": (PERMANENT, "config", "there is no such view or table"),
    "42809": (PERMANENT, "config", "it is not a materialized view"),
    "0A000": (PERMANENT, "config", "PostgreSQL does not support this"),
    "55000": (PERMANENT, "config", "an object is not in the state that this needs"),
    "21000": (PERMANENT, "parse", "its query fails on the data"),
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


QUOTES_DATA = ("22", "P0")
"""Classes whose primary messages may quote values."""
SAFE = ("22012",)
"""A division by zero quotes none."""
RAISED = "pl_exec.c"
"""The source file of PostgreSQL for errors raised by PL/pgSQL functions, whose messages may contain anything."""
LONGEST = 300
"""Characters of the server's message that are shown."""

REFUSED = "PostgreSQL refused the role, its password or the database"
NO_ROOM = (
    "PostgreSQL refused the connection: it or the role has no connection free (max_connections, CONNECTION LIMIT),"
    " or the password, which worked before, is no longer valid"
)


def failure(error: psycopg.Error, words: str = "", error_type: str = "") -> AttemptError:
    """The engine's error for one that a statement raised.

    `words` name a cause that is more precise than the SQLSTATE, `error_type` its type.
    """
    if isinstance(error, TooLate):
        return Transient("the server did not answer in time", "timeout")
    state = error.sqlstate
    if state is None:
        return Transient("the connection to PostgreSQL was lost", "network")
    lasting, usual, general = STATES.get(state) or CLASSES.get(state[:2]) or (TRANSIENT, "unknown", "it failed")
    message = f"{words or general} ({type(error).__name__}, SQLSTATE {state}){said(error)}"
    return (Permanent if lasting == PERMANENT else Transient)(message, error_type or usual)


def said(error: psycopg.Error) -> str:
    """The server's message, to be appended to ours; empty where it may contain data."""
    state = error.sqlstate or ""
    if (state.startswith(QUOTES_DATA) and state not in SAFE) or error.diag.source_file == RAISED:
        return ""
    hint = error.diag.message_hint
    parts = [one for one in (error.diag.message_primary, hint and f"hint: {hint}") if one]
    text = "".join(char if char.isprintable() else " " for char in "; ".join(parts))
    return f": {text[:LONGEST]}" if text else ""


def connect_failure(error: psycopg.Error, *, worked: bool = False) -> AttemptError:
    """The engine's error for one that connecting raised. libpq gives no SQLSTATE then, only the stage it reached.

    `worked` is whether the same connection string has worked in this process: a refusal is transient then.
    """
    if isinstance(error, (psycopg.errors.ConnectionTimeout, TooLate)):
        return Transient("PostgreSQL did not take the connection in time", "timeout")
    if isinstance(error, psycopg.ProgrammingError):
        return Permanent("the connection string is not one PostgreSQL understands", "config")
    if error.sqlstate is not None:
        return failure(error)
    if error.pgconn is None:
        return Transient("the name of PostgreSQL's host does not resolve", "dns")
    if error.pgconn.needs_password or error.pgconn.used_password:
        return Transient(NO_ROOM, "network") if worked else Permanent(f"{REFUSED}, or has no connection free", "auth")
    return Transient("PostgreSQL cannot be reached, or refused the connection", "network")
