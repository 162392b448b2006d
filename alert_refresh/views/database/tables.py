"""Our two tables in the database: the history of refreshes, and the current generation of each view."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from psycopg import Connection

DDL = {
    "refresh_metrics": """
        create table if not exists refresh_metrics (
            id bigserial primary key,
            view_name text not null,
            refresh_duration_ms double precision not null,
            success boolean not null,
            created_at timestamptz not null default now(),
            error_message text,
            outcome text,
            reason text
        );
        create index if not exists refresh_metrics_created_at on refresh_metrics (created_at);
    """,
    "refresh_generations": """
        create table if not exists refresh_generations (
            view_oid oid primary key,
            view_name text not null,
            generation bigint not null,
            token uuid not null,
            refreshed_at timestamptz not null
        );
    """,
}

ADD_OUTCOMES = "alter table refresh_metrics add column if not exists outcome text, add column if not exists reason text"
"""For a table that was created by an earlier version."""

CREATE_LOCK = 0x616C6572 << 32
"""An advisory lock for creating them: `if not exists` alone fails when two sessions do it at once."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tables:
    """Which of the two can be written, and whether the history has columns for outcome and reason.

    Without generations nothing is cached: other daemons could not invalidate our caches.
    """

    history: bool = False
    generations: bool = False
    outcomes: bool = False


LOOK = """
select to_regclass('refresh_metrics') is not null, to_regclass('refresh_generations') is not null,
    coalesce(has_table_privilege(to_regclass('refresh_metrics'), 'insert'), false),
    coalesce(has_table_privilege(to_regclass('refresh_generations'), 'insert')
        and has_table_privilege(to_regclass('refresh_generations'), 'update')
        and has_table_privilege(to_regclass('refresh_generations'), 'select'), false),
    coalesce(has_schema_privilege(current_schema(), 'create'), false),
    (select count(*) = 2 from pg_attribute where attrelid = to_regclass('refresh_metrics')
        and attname in ('outcome', 'reason') and not attisdropped),
    coalesce((select pg_has_role(relowner, 'usage') from pg_class where oid = to_regclass('refresh_metrics')), false)
"""


def ensure(connection: Connection[Any]) -> Tables:
    """Create the missing tables, if the role may; refreshes work without them."""
    history, generations, may_record, may_advance, may_create, outcomes, own = _look(connection)
    missing = [name for name, there in zip(DDL, (history, generations), strict=True) if not there]
    statements = [DDL[name] for name in missing] if may_create else []
    if own and not outcomes:
        statements.append(ADD_OUTCOMES)
    if statements:
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", [CREATE_LOCK])
            for statement in statements:
                connection.execute(statement.encode())
        _, _, may_record, may_advance, _, outcomes, _ = _look(connection)
    return Tables(may_record, may_advance, outcomes)


def _look(connection: Connection[Any]) -> tuple[bool, bool, bool, bool, bool, bool, bool]:
    row = connection.execute(LOOK).fetchone()
    assert row is not None
    history, generations, may_record, may_advance, may_create, outcomes, own = row
    return history, generations, may_record, may_advance, may_create, outcomes, own


def refused(error: psycopg.Error) -> bool:
    """Whether a table is missing or we have no privilege on it: not a fault of the connection."""
    return isinstance(error, (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege))
