"""The cause of a failed REFRESH where the SQLSTATE alone is ambiguous: the catalog and the clock decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alert_refresh.views.database.failure import failure

if TYPE_CHECKING:
    import psycopg

    from alert_refresh.engine import AttemptError
    from alert_refresh.views.view import Plan

CONCURRENT_MERGE = "matview.c"
"""The source file of PostgreSQL that compares the rows of a CONCURRENT refresh; other files run the view's query."""

NO_UNIQUE_INDEX = "it has no unique index that CONCURRENTLY can use"

NOT_FOUND = frozenset(("42P01", "42883", "42725", "42704", "3F000"))
"""A relation, a function or operator (also an ambiguous one), a type, a schema."""

SEARCH_PATH = (
    "its query, or a function in it, names an object that was not found; from PostgreSQL 17 a REFRESH runs with"
    " search_path = pg_catalog, pg_temp: name the schema, or give the function SET search_path"
)


def explain(error: psycopg.Error, plan: Plan, again: Plan, *, ran_out: bool) -> AttemptError:
    """The engine's error for one that a REFRESH raised. `again` is the plan read after it.

    `ran_out` is whether the statement timeout had passed.
    """
    state = error.sqlstate or ""
    if again.oid != plan.oid:
        return failure(error, again.fault() or "the view was recreated meanwhile")
    if state == "57014" and not ran_out:
        return failure(error, "another session cancelled it (pg_cancel_backend)", "unknown")
    if state == "42501":
        return failure(error, privilege(again))
    if state in NOT_FOUND:
        return failure(error, SEARCH_PATH)
    if state == "55000":
        return failure(error, unprepared(again))
    if state == "21000" and error.diag.source_file == CONCURRENT_MERGE:
        return failure(error, "its rows would not be unique")
    return failure(error)


def privilege(plan: Plan) -> str:
    """Who lacks which privilege."""
    if not plan.may_refresh:
        return "the role may not refresh it; it must own the view or, from PostgreSQL 17, have MAINTAIN on it"
    return "the view's owner lacks a privilege that its query needs, or TEMPORARY on the database"


def unprepared(plan: Plan) -> str:
    """What is not in the state that a refresh needs."""
    if plan.unpopulated:
        return f"it reads {', '.join(plan.unpopulated)}, which has never been populated"
    return "" if plan.populated and plan.unique_index else NO_UNIQUE_INDEX
