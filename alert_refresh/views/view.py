"""What is known of a view before it is refreshed, and what follows from it: order, statement, mode. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTLED = 60.0
"""Seconds between two equal readings of the change counters before they are believed: the counters lag a commit."""

ADVISORY_SPACE = 0x616C6572
"""The upper half of our advisory lock keys; the lower half is the view's oid."""

KINDS = {"r": "a table", "p": "a partitioned table", "v": "a plain view", "f": "a foreign table", "S": "a sequence"}


class Mode(StrEnum):
    """How a view was brought up to date. A blocking refresh keeps readers out while it runs."""

    CONCURRENT = "concurrent"
    BLOCKING = "blocking"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the catalog says of one configured view. `name` is the configured name, `oid` None if there is no such view.

    `kind` is pg_class.relkind. `fingerprint` names the state of everything the view reads: equal fingerprints mean
    that no row was changed, as far as the counters know. `opaque` says why that cannot be known, or is empty.
    `upstream` are the configured views that this one reads, by configured name.
    """

    name: str
    oid: int | None = None
    schema: str = ""
    relation: str = ""
    kind: str = ""
    populated: bool = False
    unique_index: bool = False
    fingerprint: str = ""
    opaque: str = ""
    upstream: tuple[str, ...] = ()

    def fault(self) -> str | None:
        """Why this cannot be refreshed at all, or None."""
        if self.oid is None:
            return "there is no such view"
        if self.kind != "m":
            return f"it is {KINDS.get(self.kind, 'something else')}, not a materialized view"
        if self.schema in ("pg_catalog", "information_schema"):
            return "it is in a system schema"
        return None

    def mode(self) -> Mode:
        """CONCURRENTLY wherever PostgreSQL can; what the fallback is for, the catalog says, not an error."""
        return Mode.CONCURRENT if self.populated and self.unique_index else Mode.BLOCKING

    def why_blocking(self) -> str:
        """The reason for a refresh that keeps readers out; empty if it does not."""
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
        """The advisory lock that whoever refreshes this view holds; a signed 64-bit number."""
        assert self.oid is not None
        return ADVISORY_SPACE << 32 | self.oid


@dataclass(frozen=True, slots=True)
class Reading:
    """What the change counters showed when a view was last refreshed, and since when (monotonic) they have."""

    fingerprint: str
    since: float


@dataclass(frozen=True, slots=True)
class ViewState:
    """What became of one view, the last time it was its turn. Items of the views' snapshot.

    `reason` tells why it was skipped, blocking or failed. `refreshed_at` (Unix seconds) and `generation` are
    those of its last refresh by this program, None and 0 before one. `transient` failures are retried.
    """

    name: str
    mode: Mode
    reason: str = ""
    error_type: str = ""
    transient: bool = False
    duration_ms: float = 0.0
    refreshed_at: float | None = None
    generation: int = 0

    @property
    def refreshed(self) -> bool:
        """Whether it was really refreshed."""
        return self.mode in (Mode.CONCURRENT, Mode.BLOCKING)

    @property
    def failed(self) -> bool:
        return self.mode is Mode.FAILED

    def after(self, old: ViewState | None) -> ViewState:
        """This state; one that was not refreshed still shows the last refresh of `old`."""
        if old is None or self.refreshed:
            return self
        return replace(self, refreshed_at=old.refreshed_at, generation=old.generation)


@dataclass(frozen=True, slots=True)
class Progress:
    """What one cycle has done so far: its views' states, by name, and whether the database was reached at last."""

    states: dict[str, ViewState] = field(default_factory=dict)
    reached: bool = True

    def todo(self, wanted: Sequence[str]) -> list[str]:
        """What an attempt should take up: everything at first, then what failed in a way that may pass."""
        return [name for name in wanted if name not in self.states or self.states[name].transient]


def in_order(plans: Sequence[Plan]) -> list[Plan]:
    """The plans with every view after those it reads; otherwise the order stays."""
    left = {plan.name: plan for plan in plans}
    ordered: list[Plan] = []
    while left:
        ready = next((plan for plan in left.values() if not left.keys() & set(plan.upstream) - {plan.name}), None)
        plan = ready or next(iter(left.values()))
        ordered.append(left.pop(plan.name))
    return ordered


def unchanged(plan: Plan, reading: Reading | None, now: float, refreshed: Sequence[str]) -> bool:
    """Whether a scheduled refresh may leave this view alone.

    Only if the counters read the same now as before its last refresh, and have for `SETTLED` seconds, and no
    view that it reads was refreshed in this cycle (its counters would lag too).
    """
    return (
        plan.populated
        and not plan.opaque
        and reading is not None
        and reading.fingerprint == plan.fingerprint
        and now - reading.since >= SETTLED
        and not set(plan.upstream) & set(refreshed)
    )


def read_again(plan: Plan, reading: Reading | None, now: float) -> Reading:
    """The reading to keep with a refresh that begins now: as old as the counters have shown the same."""
    if reading is not None and reading.fingerprint == plan.fingerprint:
        return reading
    return Reading(plan.fingerprint, now)
