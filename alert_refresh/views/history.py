"""Every refresh of every view, in the table refresh_metrics; buffered in memory while the database is unavailable."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import astuple, dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from alert_refresh.views.view import ViewState

KEPT = 10_000
"""Rows buffered in memory while they cannot be written; the oldest are dropped first."""

BATCH = 1000

INSERT = """
insert into refresh_metrics (view_name, refresh_duration_ms, success, created_at, error_message{columns})
select view_name, duration, success, to_timestamp(ended), error{columns}
from unnest(%s::text[], %s::double precision[], %s::boolean[], %s::double precision[], %s::text[],
    %s::text[], %s::text[]) as r(view_name, duration, success, ended, error, outcome, reason)
"""

ONCE = """
where not exists (
    select from refresh_metrics m where m.view_name = r.view_name and m.created_at = to_timestamp(r.ended)
)
"""
"""For records of an earlier process, which may have written them."""

FILTER = """
from refresh_metrics m
where (%(view)s::text is null or view_name = %(view)s)
    and (%(since)s::double precision is null or created_at >= to_timestamp(%(since)s))
"""

ROWS = f"""
select id, view_name, refresh_duration_ms, success, extract(epoch from created_at)::double precision, error_message,
    to_jsonb(m) ->> 'outcome', to_jsonb(m) ->> 'reason'
{FILTER} order by created_at desc, id desc limit %(limit)s
"""  # noqa: S608 - from constants

SUMMARY = f"""
select count(*), count(*) filter (where success), avg(refresh_duration_ms),
    percentile_cont(0.95) within group (order by refresh_duration_ms),
    percentile_cont(0.99) within group (order by refresh_duration_ms),
    min(refresh_duration_ms), max(refresh_duration_ms)
{FILTER}
"""

PRUNE = "delete from refresh_metrics where created_at < now() - make_interval(secs => %s)"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """One attempted refresh of one view. `created_at` is its end in Unix seconds."""

    view_name: str
    duration_ms: float
    success: bool
    created_at: float
    error: str | None = None
    outcome: str | None = None
    reason: str | None = None

    @staticmethod
    def of(state: ViewState, ended: float) -> Record:
        """The record of a view that was refreshed or failed."""
        error = state.reason if state.failed else None
        return Record(
            state.name, state.duration_ms, not state.failed, ended, error, state.outcome, state.reason or None
        )


class History:
    """Buffers records and writes them when a connection is available.

    `changes` differs whenever `unwritten` may. Records that are being written are unwritten until that has succeeded.
    """

    def __init__(self) -> None:
        self._pending: deque[Record] = deque(maxlen=KEPT)
        self._in_flight: dict[int, list[Record]] = {}
        self._restored: frozenset[Record] = frozenset()
        self.lost = 0
        self.changes = 0

    @property
    def pending(self) -> int:
        """Records not yet written."""
        return len(self._pending)

    def add(self, record: Record) -> None:
        """Buffer a record until it is written."""
        self.lost += len(self._pending) == KEPT
        self._pending.append(record)
        self.changes += 1

    def restore(self, records: Sequence[Record]) -> None:
        """Keep the unwritten records of an earlier process, which may have written them since."""
        self._restored = frozenset(records)
        self._put_back(list(records))

    def unwritten(self) -> list[Record]:
        """Every record that is not known to be written, oldest first."""
        batches = list(self._in_flight.values())
        return [*chain.from_iterable(batches), *self._pending.copy()][-KEPT:]

    def write(self, connection: Connection[Any], *, outcomes: bool = True) -> None:
        """Write the pending records; on failure they stay. `outcomes` says whether the table has these columns.

        Raises:
            psycopg.Error: the rows could not be written.
        """
        statement = INSERT.format(columns=", outcome, reason" if outcomes else "")
        while batch := self._take():
            self._in_flight[id(batch)] = batch
            try:
                self._insert(connection, statement, batch)
            except psycopg.Error:
                self._put_back(batch)
                raise
            finally:
                del self._in_flight[id(batch)]
                self.changes += 1

    def _insert(self, connection: Connection[Any], statement: str, batch: list[Record]) -> None:
        """Insert a batch; those of an earlier process only if they are not there, as far as the role may look."""
        columns = [list(column) for column in zip(*map(astuple, batch), strict=True)]
        if self._restored.isdisjoint(batch):
            connection.execute(statement.encode(), columns)
            return
        try:
            connection.execute((statement + ONCE).encode(), columns)
        except psycopg.errors.InsufficientPrivilege:
            connection.execute(statement.encode(), columns)

    def _put_back(self, batch: list[Record]) -> None:
        """Put back a batch that could not be written; if there is no room for all of it, its oldest are dropped."""
        for record in reversed(batch):
            if len(self._pending) == KEPT:
                self.lost += 1
            else:
                self._pending.appendleft(record)

    def _take(self) -> list[Record]:
        batch: list[Record] = []
        try:
            while len(batch) < BATCH:
                batch.append(self._pending.popleft())
        except IndexError:
            pass
        return batch


def read(connection: Connection[Any], *, limit: int, view: str | None, since: float | None) -> dict[str, Any]:
    """The newest `limit` rows and the summary of all rows under the same filters; times are Unix seconds."""
    values = {"limit": limit, "view": view, "since": since}
    rows = connection.execute(ROWS.encode(), values).fetchall()
    summary = connection.execute(SUMMARY.encode(), values).fetchone()
    assert summary is not None
    total, succeeded, average, p95, p99, shortest, longest = summary
    names = ("id", "view_name", "refresh_duration_ms", "success", "created_at", "error_message", "outcome", "reason")
    return {
        "metrics": [dict(zip(names, row, strict=True)) for row in rows],
        "summary": {
            "total_count": total,
            "success_count": succeeded,
            "failure_count": total - succeeded,
            "success_rate": 100.0 * succeeded / total if total else 0.0,
            "average_duration_ms": average,
            "p95_duration_ms": p95,
            "p99_duration_ms": p99,
            "min_duration_ms": shortest,
            "max_duration_ms": longest,
        },
    }


def prune(connection: Connection[Any], retention: float) -> int:
    """Delete rows older than `retention` seconds; returns how many."""
    return connection.execute(PRUNE, [retention]).rowcount
