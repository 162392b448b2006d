"""One attempt: the views that are to be done, each in its turn, on one connection that is replaced when it breaks."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from alert_refresh.engine import AttemptError, Transient
from alert_refresh.views import advice, catalog, tables
from alert_refresh.views.connection import connect, set_timeouts
from alert_refresh.views.failure import failure
from alert_refresh.views.history import Record
from alert_refresh.views.tables import Tables
from alert_refresh.views.tiers.reads import Unavailable
from alert_refresh.views.view import Mode, ViewState, in_order, read_again, unchanged

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

    from alert_refresh.credential import Credential
    from alert_refresh.engine import Clock, Deadline
    from alert_refresh.views import Settings
    from alert_refresh.views.connection import BoundedConnection
    from alert_refresh.views.executor import Executor
    from alert_refresh.views.history import History
    from alert_refresh.views.tiers.reads import Reads
    from alert_refresh.views.view import Plan, Reading

UNCHANGED = "nothing that it reads has changed"

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Attempt:
    """Goes through views and keeps what became of each in `states`; `readings` are of the ones now up to date.

    `tables` says which of our own tables can be written, `refreshed` which views this cycle has refreshed so far,
    `reached` whether there was a connection at all. `advise` asks for a look at the role and the server.
    """

    settings: Settings
    url: Credential
    reads: Reads
    clock: Clock
    executor: Executor
    history: History
    deadline: Deadline
    stopping: threading.Event
    readings: dict[str, Reading]
    refreshed: list[str] = field(default_factory=list)
    states: dict[str, ViewState] = field(default_factory=dict)
    tables: Tables = field(default_factory=Tables)
    advise: bool = False
    reached: bool = True
    _connection: BoundedConnection | None = None

    def run(self, names: Sequence[str], before: Mapping[str, ViewState], *, may_skip: bool) -> None:
        """Take up these views. `before` are the states they were in; `may_skip` leaves unchanged ones alone.

        Raises:
            Stopping: stop was asked for.
        """
        try:
            began = self.clock.monotonic()
            try:
                plans = self._plans(names, may_skip)
            except AttemptError as error:
                self.reached = self._connection is not None
                for name in names:
                    self._note(self._failed(name, error).after(before.get(name)))
                return
            planned = self.clock.monotonic()
            for plan in plans:
                old = before.get(plan.name)
                if may_skip and unchanged(plan, self.readings.get(plan.name), began, self.refreshed):
                    self._note(ViewState(plan.name, Mode.SKIPPED, UNCHANGED).after(old))
                else:
                    self._note(self._refresh(plan, planned).after(old))
        finally:
            if self._connection is not None:
                self._connection.close()

    def _plans(self, names: Sequence[str], may_skip: bool) -> list[Plan]:
        """What the catalog says now. The change counters are read here, before any refresh.

        When all may turn out unchanged, a connection of the pool will do, which knows the query already.
        """
        if may_skip and not self.advise:
            try:
                with self.reads.connection() as pooled:
                    return in_order(catalog.plan(pooled, names))
            except Unavailable:
                log.debug("The pool has no connection to look at the views with")
        connection = self._connected()
        try:
            plans = in_order(catalog.plan(connection, names))
            if self.advise:
                advice.warn(connection, plans)
        except psycopg.Error as error:
            raise failure(error) from error
        return plans

    def _refresh(self, plan: Plan, planned: float) -> ViewState:
        started = self.clock.monotonic()
        try:
            connection = self._connected()
            state = self.executor.refresh(connection, plan, self.deadline, shared=self.tables.generations)
        except AttemptError as error:
            self.readings.pop(plan.name, None)
            return self._failed(plan.name, error, (self.clock.monotonic() - started) * 1000)
        if state.refreshed:
            self.readings[plan.name] = read_again(plan, self.readings.get(plan.name), planned)
            self.refreshed.append(plan.name)
        return state

    def _failed(self, name: str, error: AttemptError, duration_ms: float = 0.0) -> ViewState:
        """The state of a view that failed. A server that became read-only is not asked again on this connection."""
        if isinstance(error.__cause__, psycopg.errors.ReadOnlySqlTransaction) and self._connection is not None:
            self._connection.close()
        transient = isinstance(error, Transient)
        return ViewState(name, Mode.FAILED, str(error), error.error_type, transient, duration_ms)

    def _note(self, state: ViewState) -> None:
        """Keep the state, log it, and record it if something was tried."""
        self.states[state.name] = state
        fields = {"kind": "views", "view": state.name, "mode": str(state.mode), "duration_ms": state.duration_ms}
        if state.mode is Mode.SKIPPED:
            log.debug("View %s skipped: %s", state.name, state.reason, extra=fields)
            return
        if state.failed:
            log.warning("View %s failed: %s", state.name, state.reason, extra=fields)
        else:
            log.info("View %s refreshed", state.name, extra=fields)
        error = state.reason if state.failed else None
        self.history.add(Record(state.name, state.duration_ms, not state.failed, self.clock.time(), error))
        self._write_history()

    def _write_history(self) -> None:
        connection = self._connection
        if connection is None or connection.closed or not self.tables.history:
            return
        try:
            self.history.write(connection)
        except psycopg.Error as error:
            log.warning("The history could not be written: %s", failure(error))

    def _connected(self) -> BoundedConnection:
        """The connection, or a new one if it broke."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(self.url, self.deadline, self.stopping)
            statement = min(self.settings.statement_timeout, self.deadline.check())
            try:
                set_timeouts(self._connection, lock=self.settings.lock_timeout, statement=statement)
                self.tables = tables.ensure(self._connection)
            except psycopg.Error as error:
                raise failure(error) from error
        return self._connection
