"""Refreshes one view on one connection: lock, REFRESH, fallback to a blocking one, new generation, ANALYZE."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from alert_refresh.engine import Permanent
from alert_refresh.views.catalog import plan as read_plan
from alert_refresh.views.database.cause import explain
from alert_refresh.views.database.connect import set_timeouts
from alert_refresh.views.database.failure import failure
from alert_refresh.views.database.tables import refused
from alert_refresh.views.tiers import generations
from alert_refresh.views.view import Mode, ViewState

if TYPE_CHECKING:
    from psycopg import Connection

    from alert_refresh.engine import AttemptError, Clock, Deadline
    from alert_refresh.views import Settings
    from alert_refresh.views.view import Plan

NO_WAY_CONCURRENTLY = (psycopg.errors.FeatureNotSupported, psycopg.errors.ObjectNotInPrerequisiteState)
"""0A000 not populated, 55000 no usable unique index; other faults raise them too, so the catalog decides."""

ROUNDED = 0.01
"""Seconds by which a statement timeout, in whole milliseconds, may end a statement early."""

BUSY = "another session holds its lock"

HOLDER = """
select l.pid, a.application_name from pg_locks l left join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.objsubid = 1 and l.classid::bigint = %s and l.objid::bigint = %s
    and l.database = (select oid from pg_database where datname = current_database())
"""

log = logging.getLogger(__name__)


class Executor:
    """Refreshes views on connections of the caller; remembers about which views it has logged a warning."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._warned: set[str] = set()

    def refresh(self, connection: Connection[Any], plan: Plan, deadline: Deadline, *, shared: bool) -> ViewState:
        """Bring one view up to date; `BUSY` while another session holds its lock.

        `shared` says whether its generation can be written.

        Raises:
            AttemptError: it failed; the error says how.
            Stopping: stop was asked for.
        """
        if (fault := plan.fault()) is not None:
            raise unusable(fault)
        try:
            row = connection.execute("select pg_try_advisory_lock(%s)", [plan.lock_key()]).fetchone()
            if row is None or not row[0]:
                return ViewState(plan.name, Mode.BUSY, BUSY, busy=(holder(connection, plan), self._clock.monotonic()))
            try:
                return self._refresh(connection, plan, deadline, shared)
            finally:
                _unlock(connection, plan)
        except psycopg.Error as error:
            raise failure(error) from error

    def _refresh(self, connection: Connection[Any], plan: Plan, deadline: Deadline, shared: bool) -> ViewState:
        own = self._settings.of(plan.name)
        statement = min(own.statement_timeout, deadline.check())
        set_timeouts(connection, lock=own.lock_timeout, statement=statement)
        started = self._clock.monotonic()
        try:
            mode, reason = self._statement(connection, plan)
        except psycopg.Error as error:
            ran_out = self._clock.monotonic() - started >= statement - ROUNDED
            raise self._explained(connection, error, plan, ran_out) from error
        duration = (self._clock.monotonic() - started) * 1000
        state = ViewState(plan.name, mode, reason, duration_ms=duration, refreshed_at=self._clock.time())
        if shared:
            state = replace(state, generation=self._advance(connection, plan))
        return replace(state, analyzed=analyze(connection, plan)) if own.analyze else state

    def _statement(self, connection: Connection[Any], plan: Plan) -> tuple[Mode, str]:
        """Run the REFRESH, without CONCURRENTLY if that turns out to be impossible; returns the mode and its reason."""
        mode = plan.mode()
        try:
            self._execute(connection, plan, mode)
        except NO_WAY_CONCURRENTLY:
            again = read_plan(connection, [plan.name])[0]
            if mode is Mode.BLOCKING or again.oid != plan.oid or again.mode() is not Mode.BLOCKING:
                raise
            self._execute(connection, again, Mode.BLOCKING)
            return Mode.BLOCKING, again.why_blocking()
        return mode, plan.why_blocking()

    def _explained(self, connection: Connection[Any], error: psycopg.Error, plan: Plan, ran_out: bool) -> AttemptError:
        """The error with its cause; the catalog is asked again if the connection still works."""
        if connection.closed or error.sqlstate is None:
            return failure(error)
        try:
            again = read_plan(connection, [plan.name])[0]
        except psycopg.Error:
            return failure(error)
        return explain(error, plan, again, ran_out=ran_out)

    def _execute(self, connection: Connection[Any], plan: Plan, mode: Mode) -> None:
        if mode is Mode.BLOCKING and plan.populated and plan.name not in self._warned:
            self._warned.add(plan.name)
            log.warning(
                "View %s is refreshed with its readers locked out: it has no unique index that CONCURRENTLY can use;"
                " create one on plain columns, without a WHERE clause",
                plan.name,
            )
        connection.execute(plan.statement(mode))

    def _advance(self, connection: Connection[Any], plan: Plan) -> int:
        try:
            return generations.advance(connection, plan)
        except psycopg.Error as error:
            if not refused(error):
                raise
            log.warning("The generation of view %s could not be written; other daemons may cache it", plan.name)
            return 0


def _unlock(connection: Connection[Any], plan: Plan) -> None:
    """Release the lock; on a broken connection the server releases it."""
    if not connection.closed:
        try:
            connection.execute("select pg_advisory_unlock(%s)", [plan.lock_key()])
        except psycopg.Error:
            connection.close()


def holder(connection: Connection[Any], plan: Plan) -> str:
    """Who holds the view's advisory lock: the process and its application_name."""
    key = plan.lock_key()
    row = connection.execute(HOLDER, [key >> 32, key & 0xFFFFFFFF]).fetchone()
    if row is None:
        return "another session"
    name = "".join(char for char in row[1] or "" if char.isprintable())
    return f"process {row[0]} ({name or 'application_name unknown'})"


def analyze(connection: Connection[Any], plan: Plan) -> str:
    """ANALYZE the view: `ok`, or why it failed. The refresh does not fail with it."""
    try:
        connection.execute(sql.SQL("analyze {}").format(sql.Identifier(plan.schema, plan.relation)))
    except psycopg.Error as error:
        return str(failure(error))
    return "ok"


def unusable(fault: str) -> AttemptError:
    """The error for a view that cannot be refreshed."""
    return Permanent(fault, "config")
