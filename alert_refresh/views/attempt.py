"""One attempt: refreshes the views one after the other, on one connection that is replaced when it breaks."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import psycopg

from alert_refresh.engine import AttemptError, Transient
from alert_refresh.views import advice, catalog
from alert_refresh.views.database.executor import BUSY
from alert_refresh.views.database.failure import failure
from alert_refresh.views.history import Record
from alert_refresh.views.tiers import generations
from alert_refresh.views.tiers.reads import Unavailable
from alert_refresh.views.view import Mode, ViewState, in_order, read_again, unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence

    from alert_refresh.engine import Clock
    from alert_refresh.views import Settings
    from alert_refresh.views.database.executor import Executor
    from alert_refresh.views.database.session import Session
    from alert_refresh.views.history import History
    from alert_refresh.views.tiers.reads import Reads
    from alert_refresh.views.view import Plan, Reading

UNCHANGED = "nothing that it reads has changed"
ELSEWHERE = "another instance has refreshed it"

OVERDUE = 2
"""Intervals after which a view that is busy, and was neither refreshed nor proven unchanged, has failed."""

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Attempt:
    """Processes views and collects their `states`; `readings` are those of the views that are now up to date.

    `refreshed` are the views that this cycle has refreshed so far, `reached` is whether a connection was opened.
    `may_skip` skips unchanged views, except those that a notification named (`payloads`); `take_turns` skips those that
    another daemon has just refreshed. `advise` runs the checks of role and server. `report` is called with every state.
    """

    settings: Settings
    session: Session
    direct: Reads
    clock: Clock
    executor: Executor
    history: History
    readings: dict[str, Reading]
    proofs: MutableMapping[str, str]
    may_skip: bool
    take_turns: bool
    payloads: frozenset[str]
    report: Callable[[ViewState], None]
    refreshed: list[str] = field(default_factory=list)
    states: dict[str, ViewState] = field(default_factory=dict)
    advise: bool = False
    reached: bool = True

    def run(
        self, names: Sequence[str], todo: Collection[str], wanted: Collection[str], before: Mapping[str, ViewState]
    ) -> None:
        """Plan the views `names`; process those in `todo`, those that notifications named, and those of `wanted` that
        read one that is refreshed now.

        `before` are their previous states.

        Raises:
            Stopping: stop was asked for.
        """
        try:
            began = self.clock.monotonic()
            try:
                plans = self._plans(names)
            except AttemptError as error:
                self.reached = self.session.current is not None
                for name in todo or names:
                    old = before.get(name)
                    self._note(replace(self._failed(name, error), never=old.never if old else ""), old)
                return
            planned = self.clock.monotonic()
            for plan in plans:
                below = plan.name in wanted and self._rebuilt(plan)
                if plan.name in todo or below or plan.named_in(self.payloads):
                    old = before.get(plan.name)
                    state = self._skipped(plan, old, began) or self._refresh(plan, planned)
                    self._note(self._settled(plan, state, old), self._known(plan, old))
        finally:
            self.session.close()

    def _plans(self, names: Sequence[str]) -> list[Plan]:
        """The plans from the catalog. The change counters are read here, before any refresh.

        If all views may be unchanged, a connection of the pool is used, where the query is already prepared.
        """
        if self.may_skip and not self.advise:
            try:
                with self.direct.connection() as pooled:
                    if not self.direct.pooled:
                        return in_order(catalog.survey(pooled, names, self.proofs))
            except Unavailable:
                log.debug("The pool has no connection for reading the catalog")
        connection = self.session.connection()
        try:
            plans = in_order(catalog.survey(connection, names, self.proofs))
            if self.advise:
                advice.warn(connection, plans)
        except psycopg.Error as error:
            raise failure(error) from error
        return plans

    def _rebuilt(self, plan: Plan) -> bool:
        """Whether something that the view reads was refreshed in this attempt."""
        return any(name in self.states and self.states[name].refreshed for name in plan.upstream)

    def _known(self, plan: Plan, old: ViewState | None) -> ViewState | None:
        """The previous state of the view, with the last refresh by any client."""
        if plan.age is None or plan.generation is None or (old is not None and old.generation == plan.generation):
            return old
        seen = self._elsewhere(plan.name, plan.generation, plan.age)
        return seen.after(old, self.clock.monotonic(), self.clock.time())

    def _skipped(self, plan: Plan, old: ViewState | None, began: float) -> ViewState | None:
        """The state of a view that this attempt may skip, else None."""
        if not self.may_skip or plan.fault() is not None or plan.named_in(self.payloads):
            return None
        own, reading = self.settings.of(plan.name), self.readings.get(plan.name)
        recent = reading is not None and began - reading.refreshed < own.skip_max_age
        if recent and unchanged(plan, reading, began, self.refreshed):
            return ViewState(plan.name, Mode.SKIPPED, UNCHANGED)
        seen = old is not None and plan.generation != old.generation
        if self.take_turns and seen and not self._rebuilt(plan) and plan.age is not None:
            fresh = own.is_fresh(plan.age, self.clock.time())
            return self._elsewhere(plan.name, plan.generation or 0, plan.age) if fresh else None
        return None

    def _elsewhere(self, name: str, generation: int, age: float) -> ViewState:
        """The state of a view that another daemon refreshed `age` seconds ago."""
        return ViewState(name, Mode.SKIPPED, ELSEWHERE, refreshed_at=self.clock.time() - age, generation=generation)

    def _refresh(self, plan: Plan, planned: float) -> ViewState:
        started = self.clock.monotonic()
        try:
            connection = self.session.connection()
            state = self.executor.refresh(
                connection, plan, self.session.deadline, shared=self.session.tables.generations
            )
        except AttemptError as error:
            self.readings.pop(plan.name, None)
            return self._failed(plan.name, error, (self.clock.monotonic() - started) * 1000)
        if state.refreshed:
            self.readings[plan.name] = read_again(plan, self.readings.get(plan.name), planned)
            self.refreshed.append(plan.name)
        return state

    def _failed(self, name: str, error: AttemptError, duration_ms: float = 0.0) -> ViewState:
        """The state of a view that failed. If the server became read-only, the connection is closed."""
        if isinstance(error.__cause__, psycopg.errors.ReadOnlySqlTransaction):
            self.session.close()
        transient = isinstance(error, Transient)
        return ViewState(name, Mode.FAILED, str(error), error.error_type, transient, duration_ms)

    def _settled(self, plan: Plan, state: ViewState, old: ViewState | None) -> ViewState:
        """The final state: one that has been busy for too long has failed."""
        state = replace(state, never=plan.opaque, rows=plan.rows, size=plan.size)
        if state.busy is None:
            return state
        if self.take_turns and (seen := self._seen(plan.name, old)) is not None:
            return replace(seen, never=plan.opaque, rows=plan.rows, size=plan.size)
        now, (holder, since) = self.clock.monotonic(), state.busy
        if old is not None and old.busy is not None and old.busy[0] == holder:
            since = old.busy[1]
        reason = f"{BUSY}: {holder}, for at least {now - since:.0f} s"
        state = replace(state, busy=(holder, since), reason=reason)
        known = self._known(plan, old)
        fresh = now if known is None or known.since is None else known.since
        if now - fresh < OVERDUE * self.settings.of(plan.name).interval:
            return state
        return replace(state, error_type="storage", transient=True)

    def _seen(self, name: str, old: ViewState | None) -> ViewState | None:
        """The state of a busy view that another daemon has refreshed since it was last looked at."""
        try:
            found = generations.rows(self.session.connection(), [name]).get(name)
        except psycopg.Error:
            return None
        if found is None or old is None or found[0] == old.generation:
            return None
        return self._elsewhere(name, *found)

    def _note(self, state: ViewState, old: ViewState | None) -> None:
        """Store the state, log it, and add it to the history if a refresh was attempted."""
        state = state.after(old, self.clock.monotonic(), self.clock.time())
        self.states[state.name] = state
        self.report(state)
        fields = {"kind": "views", "view": state.name, "mode": str(state.mode), "duration_ms": state.duration_ms}
        if not state.failed and not state.refreshed:
            log.debug("View %s %s: %s", state.name, state.mode, state.reason, extra=fields)
            return
        if state.failed:
            log.warning("View %s failed: %s", state.name, state.reason, extra=fields)
        else:
            log.info("View %s refreshed", state.name, extra=fields)
        self.history.add(Record.of(state, self.clock.time()))
        self._write_history()

    def _write_history(self) -> None:
        if not self.session.open or not self.session.tables.history:
            return
        try:
            self.history.write(self.session.connection(), outcomes=self.session.tables.outcomes)
        except psycopg.Error as error:
            log.warning("The history could not be written: %s", failure(error))
