"""How many targets there are, counted once for each snapshot however often somebody asks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.engine import Snapshot
    from alert_refresh.targets.target import Target


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one snapshot: valid targets, invalid ones (stale or rejected), the stale among them, and all served
    by type and whether enabled.
    """

    valid: int = 0
    invalid: int = 0
    stale: int = 0
    by_type: Mapping[tuple[str, bool], int] = field(default_factory=dict)


NOTHING = Counts()


def count(snapshot: Snapshot[Target] | None) -> Counts:
    """Counts of a snapshot, all 0 for None."""
    if snapshot is None:
        return NOTHING
    targets = snapshot.items.values()
    stale = sum(target.stale_since is not None for target in targets)
    by_type = Counter((target.type, target.enabled) for target in targets)
    return Counts(len(targets) - stale, stale + len(snapshot.rejected), stale, by_type)


class Counted:
    """`count` that remembers its last answer; a snapshot never changes, so the same one is the same counts."""

    def __init__(self) -> None:
        self._last: tuple[Snapshot[Target] | None, Counts] = (None, NOTHING)

    def __call__(self, snapshot: Snapshot[Target] | None) -> Counts:
        last, counts = self._last
        if last is not snapshot:
            counts = count(snapshot)
            self._last = (snapshot, counts)
        return counts
