"""What became of the last refreshes: one record for each cycle, with the difference that it made."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Result
from alert_refresh.engine.snapshot import difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from alert_refresh.engine import Outcome, Request, Swap, Worker

MOST = 1000
"""Refreshes that are remembered."""
MAX_NAMES = 1000
"""Names that the difference of one refresh lists of each sort; its counts count all."""
MOST_NAMES = 100_000
"""Names in all differences together; the oldest differences are forgotten first."""

HELD, RETRYING, SUPERSEDED = "held", "retrying", "superseded"


@dataclass(frozen=True, slots=True)
class Made:
    """The difference that a refresh made: names of items, and of the fields that changed. `counts` counts all names."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[tuple[str, tuple[str, ...]], ...] = ()
    counts: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(("added", "removed", "changed"), 0))

    @property
    def size(self) -> int:
        """The number of names that it lists."""
        return len(self.added) + len(self.removed) + len(self.changed)


@dataclass(frozen=True, slots=True)
class Record:
    """A refresh: its last outcome, the start of its first attempt (Unix seconds), the seconds that its attempts took.

    `number` counts the refreshes. `made` is the difference since its first attempt; None if it is not known (any more).
    It is `over` when no attempt follows; `superseded` if that is because a newer refresh took its place.
    """

    number: int
    outcome: Outcome
    started_at: float
    seconds: float
    made: Made | None = None
    over: bool = True
    superseded: bool = False

    @property
    def result(self) -> str:
        """How it ended, or how its last attempt did."""
        return SUPERSEDED if self.superseded else result_of(self.outcome)


class Refreshes:
    """Listens to the workers and remembers the last refreshes. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[tuple[str, str], Record] = {}
        self._last = 0
        self._swaps: dict[str, Swap] = {}
        self._compared: Mapping[str, Callable[[Any], Mapping[str, Any]]] = {}
        self._started = False

    def start(
        self,
        workers: Mapping[str, Worker[Any]],
        compared: Mapping[str, Callable[[Any], Mapping[str, Any]]],
        kept: Iterable[Outcome],
    ) -> None:
        """Take over what was kept across a restart, oldest first, and listen to these workers.

        `compared` maps the name of a kind to what names the fields of its items, see `Kind.plan`.
        """
        if self._started:
            return
        self._started, self._compared = True, compared
        for outcome in kept:
            self._add(outcome, None, over=outcome.retry_in is None)
        self._records = {identity: replace(record, over=True) for identity, record in self._records.items()}
        for worker in workers.values():
            worker.listen_swaps(self._swapped)
            worker.listen(self._heard)
            worker.listen_ends(self._ended)

    def newest(self) -> list[Record]:
        """All that are remembered, by falling number."""
        with self._lock:
            found = list(self._records.values())
        return sorted(found, key=lambda record: record.number, reverse=True)

    def _swapped(self, swap: Swap) -> None:
        if swap.request_id is None:
            return
        with self._lock:
            first = self._swaps.get(swap.kind)
            if first is not None and first.request_id == swap.request_id:
                swap = replace(swap, before=first.before)
            self._swaps[swap.kind] = swap

    def _heard(self, outcome: Outcome) -> None:
        with self._lock:
            swap = self._swaps.get(outcome.kind)
            if outcome.retry_in is None:
                self._swaps.pop(outcome.kind, None)
        made = swap is not None and swap.request_id == outcome.request_id
        over = outcome.retry_in is None
        self._add(outcome, self._difference(swap) if swap is not None and made else Made(), over=over)

    def _ended(self, request: Request) -> None:
        outcome = request.outcome
        if outcome is None or outcome.retry_in is None:
            return
        with self._lock:
            self._swaps.pop(outcome.kind, None)
            record = self._records.get((outcome.kind, outcome.request_id))
            if record is not None:
                ended = replace(record, over=True, superseded=request.superseded)
                self._records[outcome.kind, outcome.request_id] = ended

    def _add(self, outcome: Outcome, made: Made | None, *, over: bool) -> None:
        identity = (outcome.kind, outcome.request_id)
        with self._lock:
            before = self._records.pop(identity, None)
            if before is not None and not before.over and before.outcome.attempt < outcome.attempt:
                seconds = before.seconds + outcome.duration
                self._records[identity] = replace(before, outcome=outcome, seconds=seconds, made=made, over=over)
            else:
                # A client may send the id of an earlier refresh again.
                self._last += 1
                self._records[identity] = Record(self._last, outcome, outcome.started_at, outcome.duration, made, over)
            self._forget()

    def _forget(self) -> None:
        """Drop what is too much; called with the lock held."""
        while len(self._records) > MOST:
            del self._records[next(iter(self._records))]
        names = sum(record.made.size for record in self._records.values() if record.made is not None)
        for identity, record in self._records.items():
            if names <= MOST_NAMES:
                return
            if record.made is not None and record.made.size:
                names -= record.made.size
                self._records[identity] = replace(record, made=None)

    def _difference(self, swap: Swap) -> Made:
        found = difference(swap.before, swap.after)
        counts = {"added": len(found.added), "removed": len(found.removed), "changed": len(found.changed)}
        if swap.before is None:
            return Made(found.added[:MAX_NAMES], counts=counts)
        old, new, compared = swap.before.items, swap.after.items, self._compared.get(swap.kind, _attributes)
        changed = tuple((name, _fields(compared, old[name], new[name])) for name in found.changed[:MAX_NAMES])
        return Made(found.added[:MAX_NAMES], found.removed[:MAX_NAMES], changed, counts)


def result_of(outcome: Outcome) -> str:
    """How the cycle ended that has this as its last outcome: a success that holds removals is `held`."""
    return HELD if outcome.result is Result.SUCCESS and outcome.held else outcome.result.value


def _fields(compared: Callable[[Any], Mapping[str, Any]], before: Any, after: Any) -> tuple[str, ...]:
    """The names of the fields that differ."""
    old = compared(before)
    return tuple(name for name, value in compared(after).items() if name not in old or old[name] != value)


def _attributes(item: Any) -> dict[str, Any]:
    """The fields of an item of a kind that does not say how its items are compared."""
    return {one.name: getattr(item, one.name) for one in fields(item)} if is_dataclass(item) else {"value": item}
