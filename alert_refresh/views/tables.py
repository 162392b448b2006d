"""The two tables of our own in the database: the history, and which generation each view is at."""

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
            error_message text
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

CREATE_LOCK = 0x616C6572 << 32
"""An advisory lock for creating them: `if not exists` alone fails when two sessions do it at once."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tables:
    """Which of the two can be written. Without generations nothing is cached: others could not tell us to forget."""

    history: bool = False
    generations: bool = False


LOOK = """
select to_regclass('refresh_metrics') is not null, to_regclass('refresh_generations') is not null,
    coalesce(has_table_privilege(to_regclass('refresh_metrics'), 'insert'), false),
    coalesce(has_table_privilege(to_regclass('refresh_generations'), 'insert')
        and has_table_privilege(to_regclass('refresh_generations'), 'update')
        and has_table_privilege(to_regclass('refresh_generations'), 'select'), false),
    coalesce(has_schema_privilege(current_schema(), 'create'), false)
"""


def ensure(connection: Connection[Any]) -> Tables:
    """Create what is missing, if the role may; without them refreshing goes on."""
    history, generations, may_record, may_advance, may_create = _look(connection)
    missing = [name for name, there in zip(DDL, (history, generations), strict=True) if not there]
    if missing and may_create:
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", [CREATE_LOCK])
            for name in missing:
                connection.execute(DDL[name].encode())
        _, _, may_record, may_advance, _ = _look(connection)
    return Tables(may_record, may_advance)


def _look(connection: Connection[Any]) -> tuple[bool, bool, bool, bool, bool]:
    row = connection.execute(LOOK).fetchone()
    assert row is not None
    history, generations, may_record, may_advance, may_create = row
    return history, generations, may_record, may_advance, may_create


def refused(error: psycopg.Error) -> bool:
    """Whether a table is not there or not ours to use: a state to live with, not a fault of the connection."""
    return isinstance(error, (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege))
