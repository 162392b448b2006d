"""The state of a view before its refresh, and what follows from it: order, statement, mode. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from alert_refresh.engine import Snapshot
    from alert_refresh.kind import Remark

SETTLED = 60.0
"""Seconds between two equal readings of the change counters before they are used: the counters lag behind commits."""

ADVISORY_SPACE = 0x616C6572
"""The upper half of our advisory lock keys; the lower half is the view's oid."""

KINDS = {"r": "a table", "p": "a partitioned table", "v": "a plain view", "f": "a foreign table", "S": "a sequence"}


class Mode(StrEnum):
    """How a view was brought up to date. A blocking refresh locks readers out while it runs."""

    CONCURRENT = "concurrent"
    BLOCKING = "blocking"
    SKIPPED = "skipped"
    BUSY = "busy"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Plan:
    """The state of one configured view in the catalog. `name` is the configured name, `oid` None if it does not exist.

    `kind` is pg_class.relkind, `namesakes` how many materialized views the configured name may mean. `may_refresh`
    is whether the role may refresh it. `fingerprint` identifies the state of everything the view reads: equal
    fingerprints mean that no row and no definition was changed, as far as the counters know; `definitions` is the
    part of it that its proof depends on, over the views `relations` and the `functions` below it. `opaque` says why
    a change cannot be known, or is empty; `unsettled` why the counters cannot be trusted now. `upstream` are the
    configured views that this one reads, by configured name, `reads` all tables and views, and `unpopulated` the
    materialized views among these that hold nothing. `rows` is an estimate, `size` in bytes.
    `generation` and `age` (seconds) are of its last refresh by
    any daemon, None if it is not known.
    """

    name: str
    oid: int | None = None
    schema: str = ""
    relation: str = ""
    kind: str = ""
    namesakes: int = 1
    populated: bool = False
    unique_index: bool = False
    may_refresh: bool = True
    fingerprint: str = ""
    definitions: str = ""
    relations: tuple[int, ...] = ()
    functions: tuple[int, ...] = ()
    opaque: str = ""
    unsettled: str = ""
    upstream: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    unpopulated: tuple[str, ...] = ()
    generation: int | None = None
    age: float | None = None
    rows: int | None = None
    size: int | None = None

    def named_in(self, payloads: Collection[str]) -> bool:
        """Whether one of these payloads of notifications means this view, or something that it reads directly.

        A payload is a name, with its schema or without; an empty one means everything.
        """
        own = {self.name, self.relation, f"{self.schema}.{self.relation}", ""}
        below = {name for read in self.reads for name in (read, read.partition(".")[2])}
        return bool((own | below) & set(payloads))

    def fault(self) -> str | None:
        """Why this cannot be refreshed at all, or None."""
        if self.oid is None:
            return "there is no such view; write its name exactly as in the catalog, with the schema if need be"
        if self.kind != "m":
            return f"it is {KINDS.get(self.kind, 'something else')}, not a materialized view"
        if self.schema in ("pg_catalog", "information_schema"):
            return "it is in a system schema"
        if self.namesakes > 1:
            return "views of this name are in several schemas, or VIEWS names this one twice; give each its schema once"
        return None

    def mode(self) -> Mode:
        """CONCURRENTLY wherever PostgreSQL supports it; the catalog decides that, not an error."""
        return Mode.CONCURRENT if self.populated and self.unique_index else Mode.BLOCKING

    def why_blocking(self) -> str:
        """The reason for a blocking refresh; empty if it is not blocking."""
        if not self.populated:
            return "the view has never been populated"
        return "" if self.unique_index else "the view has no unique index on plain columns of all its rows"

    def statement(self, mode: Mode) -> sql.Composed:
        """The REFRESH; the names come from the catalog and are quoted by the driver."""
        how = "concurrently " if mode is Mode.CONCURRENT else ""
        return sql.SQL("refresh materialized view {}{}").format(
            sql.SQL(how), sql.Identifier(self.schema, self.relation)
        )

    def lock_key(self) -> int:
        """The key of the advisory lock that is held during a refresh of this view; a signed 64-bit number."""
        assert self.oid is not None
        return ADVISORY_SPACE << 32 | self.oid


@dataclass(frozen=True, slots=True)
class Reading:
    """A fingerprint with the times when the view was last `refreshed` and `since` when it reads so (monotonic)."""

    fingerprint: str
    since: float
    refreshed: float = 0.0


@dataclass(frozen=True, slots=True)
class ViewState:
    """The result of the last attempt to refresh one view; an item of the views' snapshot.

    `reason` says why it was skipped, busy, blocking or failed. `refreshed_at` (Unix seconds) and `generation` are those
    of its last known refresh by any client, None and 0 before one. `fresh_at` (Unix seconds) is when it was last
    refreshed or proven unchanged, `since` the same on the monotonic clock, or when it was first seen. `busy` says which
    session holds its lock, and since when (monotonic). `never` says why it is never skipped. `rows` (the planner's
    estimate) and `size` (bytes, with indexes) are None while unknown. `transient` failures are retried. `analyzed` is
    the result of ANALYZE, None if it was not requested.
    """

    name: str
    mode: Mode
    reason: str = ""
    error_type: str = ""
    transient: bool = False
    duration_ms: float = 0.0
    refreshed_at: float | None = None
    generation: int = 0
    fresh_at: float | None = None
    since: float | None = None
    busy: tuple[str, float] | None = None
    never: str = ""
    analyzed: str | None = None
    rows: int | None = None
    size: int | None = None

    @property
    def refreshed(self) -> bool:
        """Whether it was refreshed."""
        return self.mode in (Mode.CONCURRENT, Mode.BLOCKING)

    @property
    def failed(self) -> bool:
        """Whether it counts as a failure, which a view that was busy for too long does too."""
        return self.mode is Mode.FAILED or bool(self.error_type)

    @property
    def outcome(self) -> str:
        """The outcome in metrics and in the history."""
        return "refreshed" if self.mode is Mode.CONCURRENT else str(self.mode)

    def after(self, old: ViewState | None, now: float, wall: float) -> ViewState:
        """This state with the values that it takes from `old`; `now` is monotonic, `wall` Unix seconds.

        A view that was refreshed, here or elsewhere, has been fresh since then; a skipped one is fresh now; the age of
        any other is unchanged.
        """
        if self.refreshed_at is not None:
            state = replace(self, fresh_at=self.refreshed_at, since=now - max(0.0, wall - self.refreshed_at))
        elif self.mode is Mode.SKIPPED:
            state = replace(self, fresh_at=wall, since=now)
        else:
            state = replace(self, since=now)
        return state if old is None else state._older(old)

    def _older(self, old: ViewState) -> ViewState:
        """Take the values from `old` that are newer there."""
        state = self
        if state.refreshed_at is None:
            state = replace(state, refreshed_at=old.refreshed_at, generation=old.generation)
        if old.since is not None and (state.fresh_at is None or (old.fresh_at or 0.0) > state.fresh_at):
            state = replace(state, fresh_at=old.fresh_at, since=old.since)
        return state


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of one cycle: its views' states, by name, and whether the last attempt reached the database.

    `wanted` are the views that are due in it, `payloads` those of the notifications that it handles.
    """

    states: dict[str, ViewState] = field(default_factory=dict)
    reached: bool = True
    wanted: tuple[str, ...] = ()
    payloads: frozenset[str] = frozenset()

    def todo(self) -> list[str]:
        """The views that an attempt should refresh: all of them at first, then those with transient failures.

        Views that read one of these are added once that one is refreshed; see `Attempt`.
        """
        both = dict.fromkeys((*self.wanted, *self.states))
        return [name for name in both if name not in self.states or self.states[name].transient]


def in_order(plans: Sequence[Plan]) -> list[Plan]:
    """The plans in topological order: every view after those it reads; otherwise the order is kept."""
    left = {plan.name: plan for plan in plans}
    ordered: list[Plan] = []
    while left:
        ready = next((plan for plan in left.values() if not left.keys() & set(plan.upstream) - {plan.name}), None)
        plan = ready or next(iter(left.values()))
        ordered.append(left.pop(plan.name))
    return ordered


def unchanged(plan: Plan, reading: Reading | None, now: float, refreshed: Collection[str]) -> bool:
    """Whether a scheduled refresh may skip this view.

    Only if the counters read the same now as before its last refresh, and have for `SETTLED` seconds, and no
    view that it reads was refreshed in this cycle (its counters would lag too).
    """
    return (
        plan.populated
        and not plan.opaque
        and not plan.unsettled
        and reading is not None
        and reading.fingerprint == plan.fingerprint
        and now - reading.since >= SETTLED
        and not set(plan.upstream) & set(refreshed)
    )


def read_again(plan: Plan, reading: Reading | None, now: float) -> Reading:
    """The reading to store with a refresh that starts now; `since` is when the counters first had these values."""
    if reading is not None and reading.fingerprint == plan.fingerprint:
        return replace(reading, refreshed=now)
    return Reading(plan.fingerprint, now, now)


def remarks(snapshots: Mapping[str, Snapshot[Any] | None]) -> Iterator[Remark]:
    """What the sentence of `/health` says of single views."""
    snapshot = snapshots["views"]
    failed = () if snapshot is None else tuple(name for name, state in snapshot.items.items() if state.failed)
    if failed:
        yield f"{len(failed)} not refreshed", failed
