"""Causes of every fault of views; docs/faults-views.md is made of them.

To write it anew: `python -m tests.views.faults_table`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import psycopg

from alert_refresh.views.database.cause import explain
from alert_refresh.views.database.failure import STATES, TooLate, connect_failure, failure
from alert_refresh.views.database.pooler import SHARED
from alert_refresh.views.view import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alert_refresh.engine import AttemptError

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults-views.md"
CANARY = "canary-8e1b"
HEAD = """# Faults of views

What the status, the log, the answer of a refresh and `alert-refresh check` say of a view that cannot be refreshed, and
of a database that cannot be used. After the SQLSTATE stand PostgreSQL's own message and hint, unless they may quote
data; connection strings and queries are never shown. `error_type` is for programs. Tests make these tables and compare
them.

"""
GOOD = Plan("mv_a", 1, "public", "mv_a", "m", populated=True, unique_index=True)
PLANS: tuple[tuple[str, Plan], ...] = (
    ("VIEWS names a view that is not in the database", Plan("mv_a")),
    ("VIEWS names a table", Plan("mv_a", 1, "public", "mv_a", "r")),
    ("VIEWS names a partitioned table", Plan("mv_a", 1, "public", "mv_a", "p")),
    ("VIEWS names a plain view", Plan("mv_a", 1, "public", "mv_a", "v")),
    ("VIEWS names a foreign table", Plan("mv_a", 1, "public", "mv_a", "f")),
    ("VIEWS names a sequence", Plan("mv_a", 1, "public", "mv_a", "S")),
    ("VIEWS names an index", Plan("mv_a", 1, "public", "mv_a", "i")),
    ("a view of a system schema that the search path finds", Plan("mv_a", 1, "pg_catalog", "mv_a", "m")),
    ("the name without a schema is in two schemas", Plan("mv_a", 1, "public", "mv_a", "m", namesakes=2)),
)
"""What the catalog says of a view that cannot be refreshed."""
EXPLAINED: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("the view is dropped while it is refreshed", "42P01", {"oid": None}, {}),
    ("the view is created anew while it is refreshed", "42P01", {"oid": 2}, {}),
    ("`pg_cancel_backend`", "57014", {}, {}),
    ("a role that may not refresh the view", "42501", {"may_refresh": False}, {}),
    ("an owner who may not read a table of the query", "42501", {}, {}),
    ("a function that names a table without its schema", "42P01", {}, {}),
    ("the view reads one that was created WITH NO DATA", "55000", {"unpopulated": ("public.mv_b",)}, {}),
    ("the unique index is dropped while it is refreshed", "55000", {"unique_index": False}, {}),
    ("rows that are equal in the unique index", "21000", {}, {"source_file": "matview.c"}),
)
"""What the catalog, the SQLSTATE and the source file of PostgreSQL tell together."""

OF_CLASSES = (
    "08006", "22012", "23505", "28P01", "3D000", "3F000", "42883", "53200", "58030", "XX000",
)  # fmt: skip
"""An SQLSTATE for each class, and one of another class."""
Row = tuple[str, str, str]
"""The type of an error, its message, and its cause."""


def plan_rows() -> Iterator[tuple[str, str]]:
    """Each view that cannot be refreshed: the fault, and what makes it."""
    yield from ((str(plan.fault()), what) for what, plan in PLANS)


def refresh_rows() -> Iterator[Row]:
    """Every way in which a REFRESH fails, with its cause."""
    for what, state, changes, diagnosis in EXPLAINED:
        again = replace(GOOD, **changes)
        yield _row(explain(_error(state, **diagnosis), GOOD, again, ran_out=False), what)
    for state in (*STATES, *OF_CLASSES):
        yield _row(failure(_error(state)), f"SQLSTATE {state}")
    yield _row(failure(TooLate(CANARY)), "a server that does not answer within `VIEWS_REFRESH_TIMEOUT`")
    yield _row(failure(psycopg.OperationalError(CANARY)), "a connection that is lost")
    yield "config", SHARED, "pgbouncer with `pool_mode = transaction`"


def connect_rows() -> Iterator[Row]:
    """Every way in which connecting fails, with its cause."""
    yield _row(connect_failure(psycopg.errors.ConnectionTimeout(CANARY)), "a host that drops packets")
    yield _row(connect_failure(psycopg.ProgrammingError(CANARY)), "a service file that is malformed")
    yield _row(connect_failure(psycopg.OperationalError(CANARY)), "a host that DNS does not know")
    yield _row(connect_failure(_refused(needs_password=False)), "a port that nothing listens on")
    yield _row(connect_failure(_refused(needs_password=True)), "a wrong password")
    yield _row(connect_failure(_refused(needs_password=True), worked=True), "max_connections is reached")


def table() -> str:
    """All rows as Markdown."""
    lines = ["| message | made by |", "|---|---|", *(f"| {_cell(said)} | {what} |" for said, what in plan_rows())]
    for title, found in (("A REFRESH that fails:", refresh_rows()), ("A connection that fails:", connect_rows())):
        lines += ["", title, "", "| error_type | message | made by |", "|---|---|---|"]
        lines += [f"| {kind} | {_cell(said)} | {what} |" for kind, said, what in found]
    return HEAD + "\n".join(lines) + "\n"


def _row(error: AttemptError, what: str) -> Row:
    return error.error_type, str(error), what


def _error(state: str, source_file: str = "") -> psycopg.Error:
    """An error as the driver raises it, whose text and detail hold the canary; the server says nothing else."""
    diag = mock.Mock(message_primary=None, message_hint=None, message_detail=CANARY, source_file=source_file)
    known = psycopg.errors.lookup(state)
    kind = type(known.__name__, (known,), {"sqlstate": state, "diag": diag})
    error: psycopg.Error = kind(CANARY)
    return error


def _refused(*, needs_password: bool) -> psycopg.OperationalError:
    connection = mock.Mock(needs_password=needs_password, used_password=needs_password)
    return psycopg.OperationalError(CANARY, pgconn=connection)


def _cell(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")


if __name__ == "__main__":
    DOCUMENT.write_text(table())
