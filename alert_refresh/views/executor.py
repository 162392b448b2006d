"""One view refreshed on one connection: lock, REFRESH, the fallback where it is right, a new generation, the record."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg

from alert_refresh.engine import Permanent
from alert_refresh.views.catalog import plan as read_plan
from alert_refresh.views.connection import set_timeouts
from alert_refresh.views.failure import failure
from alert_refresh.views.tables import refused
from alert_refresh.views.tiers import generations
from alert_refresh.views.view import Mode, ViewState

if TYPE_CHECKING:
    from psycopg import Connection

    from alert_refresh.engine import AttemptError, Clock, Deadline
    from alert_refresh.views import Settings
    from alert_refresh.views.view import Plan

NO_WAY_CONCURRENTLY = (psycopg.errors.FeatureNotSupported, psycopg.errors.ObjectNotInPrerequisiteState)
"""0A000 not populated, 55000 no usable unique index; also what other mistakes raise, so the catalog decides."""

BUSY = "another session is refreshing it"

log = logging.getLogger(__name__)


class Executor:
    """Refreshes views on connections it is given; remembers which views it has warned of."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._warned: set[str] = set()

    def refresh(self, connection: Connection[Any], plan: Plan, deadline: Deadline, *, shared: bool) -> ViewState:
        """Bring one view up to date, or skip it while another session does that.

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
                return ViewState(plan.name, Mode.SKIPPED, BUSY)
            try:
                return self._refresh(connection, plan, deadline, shared)
            finally:
                _unlock(connection, plan)
        except psycopg.Error as error:
            raise failure(error) from error

    def _refresh(self, connection: Connection[Any], plan: Plan, deadline: Deadline, shared: bool) -> ViewState:
        statement = min(self._settings.statement_timeout, deadline.check())
        set_timeouts(connection, lock=self._settings.lock_timeout, statement=statement)
        started = self._clock.monotonic()
        mode, reason = plan.mode(), plan.why_blocking()
        try:
            self._execute(connection, plan, mode)
        except NO_WAY_CONCURRENTLY:
            again = read_plan(connection, [plan.name])[0]
            if mode is Mode.BLOCKING or again.oid != plan.oid or again.mode() is not Mode.BLOCKING:
                raise
            mode, reason = Mode.BLOCKING, again.why_blocking()
            self._execute(connection, again, mode)
        duration = (self._clock.monotonic() - started) * 1000
        state = ViewState(plan.name, mode, reason, duration_ms=duration, refreshed_at=self._clock.time())
        return replace(state, generation=self._advance(connection, plan)) if shared else state

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
    """Release the lock; a connection that cannot any more takes the lock with it."""
    if not connection.closed:
        try:
            connection.execute("select pg_advisory_unlock(%s)", [plan.lock_key()])
        except psycopg.Error:
            connection.close()


def unusable(fault: str) -> AttemptError:
    """The error for something that is not a view one can refresh."""
    return Permanent(fault, "config")
