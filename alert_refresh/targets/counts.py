"""Counts of targets, computed once for each snapshot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from alert_refresh.observe.formats import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from alert_refresh.engine import Rejected, Snapshot
    from alert_refresh.targets.target import Target

MAX_FAULTY = 100
"""The highest number of faulty targets that are named."""
LONGEST_LABEL = 256
"""Characters of a name in a label: in a manifest it may have any length."""


class Faulty(NamedTuple):
    """A stale target, a rejected Secret, or a target that is undeliverable, as label values. `target` is empty for the
    second; `secret` is the file if the Secret is not known.
    """

    target: str
    namespace: str
    secret: str
    state: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one snapshot: valid targets, invalid ones (stale or rejected), the stale among them, and all served
    by type and whether enabled. `faulty` names the first invalid ones, `omitted` counts those that it does not name.
    """

    valid: int = 0
    invalid: int = 0
    stale: int = 0
    by_type: Mapping[tuple[str, bool], int] = field(default_factory=dict)
    faulty: tuple[Faulty, ...] = ()
    omitted: int = 0


NOTHING = Counts()


def count(snapshot: Snapshot[Target] | None) -> Counts:
    """Counts of a snapshot, all 0 for None."""
    if snapshot is None:
        return NOTHING
    targets = snapshot.items.values()
    stale = sum(target.stale_since is not None for target in targets)
    by_type = Counter((target.type, target.enabled) for target in targets)
    faulty = tuple(dict.fromkeys(_faulty(targets, snapshot.rejected)))
    return Counts(
        valid=len(targets) - stale,
        invalid=stale + len(snapshot.rejected),
        stale=stale,
        by_type=by_type,
        faulty=faulty[:MAX_FAULTY],
        omitted=max(0, len(faulty) - MAX_FAULTY),
    )


def _faulty(targets: Iterable[Target], rejected: Iterable[Rejected]) -> Iterator[Faulty]:
    """Everything that is invalid, the stale targets first, in the order in which it is listed."""
    for target in targets:
        if target.stale_since is not None:
            yield Faulty(_label(target.name), _label(target.namespace), _label(target.secret), "stale")
    for one in rejected:
        yield Faulty("", _label(one.origin.get("namespace", "")), _label(_source(one)), "rejected")


def undeliverable(targets: Snapshot[Target] | None, others: Iterable[Snapshot[Any] | None]) -> list[Faulty]:
    """The targets that kinds which build upon them, of which these are the snapshots, rejected by name."""
    items = {} if targets is None else targets.items
    names = {one.origin.get("target", ""): None for other in others if other is not None for one in other.rejected}
    found = [items[name] for name in names if name in items]
    return [Faulty(_label(one.name), _label(one.namespace), _label(one.secret), "undeliverable") for one in found]


def _source(rejected: Rejected) -> str:
    return "/".join(value for key, value in rejected.origin.items() if key != "namespace")


def _label(text: str) -> str:
    """Text as a label value: printable and of bounded length."""
    return escape(text)[:LONGEST_LABEL]


class CachedCounts:
    """`count` with a cache of one entry; snapshots are immutable, so the same snapshot has the same counts."""

    def __init__(self) -> None:
        self._last: tuple[Snapshot[Target] | None, Counts] = (None, NOTHING)

    def __call__(self, snapshot: Snapshot[Target] | None) -> Counts:
        last, counts = self._last
        if last is not snapshot:
            counts = count(snapshot)
            self._last = (snapshot, counts)
        return counts
