"""The guard applied to snapshots: what is served while removals are held, and how a hold is approved or rejected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from alert_refresh.engine.errors import NotHeld, Overtaken
from alert_refresh.engine.guard.judge import NO_HISTORY, Limits, Times, change, judge
from alert_refresh.engine.outcome import Publication, Swap

if TYPE_CHECKING:
    from collections.abc import Callable

    from alert_refresh.engine.clock import Clock
    from alert_refresh.engine.guard.judge import History, Hold
    from alert_refresh.engine.refresher import Listeners
    from alert_refresh.engine.snapshot import Snapshot
    from alert_refresh.engine.source import Protection
    from alert_refresh.engine.state import RefreshState
    from alert_refresh.engine.status import Status

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ruling(Generic[T]):
    """What to serve of a snapshot that was `found`, and what the guard remembers. Both are the same without a hold."""

    found: Snapshot[T]
    served: Snapshot[T]
    history: History = NO_HISTORY


class Guard(Generic[T]):
    """Guards the items of one kind. Without a `protection` everything that is found is served."""

    def __init__(self, protection: Protection | None, limits: Limits, clock: Clock) -> None:
        self._protection = protection
        self.limits = limits
        self._clock = clock

    def ruling(self, status: Status[T], found: Snapshot[T], began: float | None = None) -> Ruling[T]:
        """What to serve of `found`, which an attempt read that began then (monotonic), or a watch (None)."""
        served, history = status.snapshot, status.guard
        if self._protection is None or served is None or _is_quiet(status, found):
            return Ruling(found, found, history)
        if history.hold is not None:
            found = self._protection.revive(found, {name: served.items[name] for name in history.hold.names})
        gone = self._gone(self._protection, served, found, held=history.hold is not None)
        times = Times(self._clock.monotonic(), self._clock.time(), began)
        return self._ruled(found, served, judge(history, len(served.items), gone, found.items, times, self.limits))

    def without(self, served: Snapshot[T], hold: Hold | None) -> Snapshot[T]:
        """What was found, of a restored snapshot in which removals are held."""
        if self._protection is None or hold is None:
            return served
        return self._protection.drop(served, hold.names)

    def approve(self, status: Status[T]) -> Ruling[T]:
        """Serve what was found, without the items whose removal was held."""
        assert status.snapshot is not None and status.found is not None
        return self._ruled(status.found, status.snapshot, status.guard.approved())

    def reject(self, status: Status[T]) -> Ruling[T]:
        """Serve the held items while exactly these are absent."""
        assert status.snapshot is not None and status.found is not None
        return Ruling(status.found, status.snapshot, status.guard.reject())

    def _ruled(self, found: Snapshot[T], served: Snapshot[T], history: History) -> Ruling[T]:
        assert self._protection is not None
        if history.hold is None:
            return Ruling(found, found, history)
        kept = {name: served.items[name] for name in history.hold.names}
        return Ruling(found, self._protection.retain(found, kept, history.hold.since), history)

    @staticmethod
    def _gone(protection: Protection, served: Snapshot[T], found: Snapshot[T], *, held: bool) -> frozenset[str]:
        """The served names that were not found, unless their origin was: then the item has another name now."""
        gone = found.lost
        if gone is None or held:
            # While something is held more is served than what a watch compared with.
            gone = frozenset(served.items.keys() - found.items.keys())
        if not gone:
            return frozenset()
        origins = {protection.origin(item) for item in found.items.values()}
        return frozenset(name for name in gone if protection.origin(served.items[name]) not in origins)


class Decisions(Generic[T]):
    """The decisions of a user about held removals. `listeners` are told each, in the caller's thread."""

    def __init__(self, kind: str, state: RefreshState[T], guard: Guard[T], listeners: Listeners) -> None:
        self._kind = kind
        self._state = state
        self._guard = guard
        self._listeners = listeners

    def approve(self, proposal: str) -> Hold:
        """Remove the held items with that proposal now; returns what was held.

        Raises:
            NotHeld: there is no such proposal (any more).
            NotStarted: not running, or shutting down.
        """
        return self._decide(proposal, self._guard.approve)

    def reject(self, proposal: str) -> Hold:
        """Keep the held items with that proposal while exactly these are absent; returns what is held.

        Raises:
            NotHeld: there is no such proposal (any more).
            NotStarted: not running, or shutting down.
        """
        return self._decide(proposal, self._guard.reject)

    def _decide(self, proposal: str, decision: Callable[[Status[T]], Ruling[T]]) -> Hold:
        while True:
            status = self._state.status()
            hold = status.guard.hold
            if hold is None or hold.proposal != proposal:
                raise NotHeld(hold)
            ruling = decision(status)
            try:
                served = self._state.decide(ruling, status)
            except Overtaken:
                continue
            if status.snapshot is None or served.generation != status.snapshot.generation:
                self._listeners.swapped(Swap(self._kind, status.snapshot, served))
            self._listeners.published(publication_of(self._kind, served, status, ruling, None))
            return hold


def publication_of(
    kind: str,
    served: Snapshot[Any],
    before: Status[Any],
    ruling: Ruling[Any],
    seconds: float | None,
    seen_at: float | None = None,
) -> Publication:
    """What listeners get of a generation that no attempt published."""
    history = ruling.history
    return Publication(
        kind=kind,
        generation=served.generation,
        seconds=seconds,
        items=len(served.items),
        rejected=len(served.rejected),
        hold=history.hold,
        hold_change=change(before.guard, history),
        seen_at=seen_at,
    )


def _is_quiet(status: Status[T], found: Snapshot[T]) -> bool:
    """Whether there is nothing to decide: the source says what it said before, and nothing is held."""
    before, guard = status.found, status.guard
    return before is not None and found.digest == before.digest and guard.hold is None and not guard.rejected
