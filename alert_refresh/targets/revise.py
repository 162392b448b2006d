"""An incremental `assemble` for a few changed Secrets, where the change cannot affect other Secrets.

With 10,000 targets it takes about 1 ms instead of 10 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alert_refresh.targets.assemble import MODULUS, Assembled, Candidate
from alert_refresh.targets.gone import DELETED, log_gone
from alert_refresh.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.engine import Snapshot


class Change(NamedTuple):
    """The candidates of one Secret before and after a change; None if there was, or is, no such Secret.

    For example `Change(old=None, new=Candidate(...))` for a new Secret.
    """

    old: Candidate | None
    new: Candidate | None


def revise(previous: Snapshot[Target], changes: Sequence[Change]) -> Assembled | None:
    """The result of `assemble` for the same Secrets; None if `assemble` must be called.

    That is the case when a Secret is or was invalid or lost its name to another one, when a name is disputed, and when
    a name is freed that another Secret may claim. Call it only if no namespace has failed, now or before.
    """
    before = previous.items
    edits: dict[str, Target | None] = {}
    total = int(previous.digest[:64], 16)
    for old, _ in changes:
        if old is not None:
            target = old.result
            if not isinstance(target, Target) or before.get(target.name) is not target:
                return None
            edits[target.name] = None
            total -= int.from_bytes(target.digest, "big")
    for _, new in changes:
        if new is not None:
            target = new.result
            if not isinstance(target, Target) or edits.get(target.name, before.get(target.name)) is not None:
                return None
            edits[target.name] = target
            total += int.from_bytes(target.digest, "big")
    if None in edits.values() and (
        previous.rejected or any(target.stale_since is not None for target in before.values())
    ):
        return None
    lost = {name: before[name] for name, target in edits.items() if target is None}
    log_gone(lost, {name: target for name, target in edits.items() if target is not None}, deleted=DELETED)
    return Assembled(_edited(previous, edits), previous.rejected, f"{total % MODULUS:064x}{previous.digest[64:]}")


def _edited(previous: Snapshot[Target], edits: dict[str, Target | None]) -> dict[str, Target]:
    """The targets with these edits, sorted by name."""
    items: dict[str, Target] = previous.items.copy()  # type: ignore[attr-defined]  # the proxy's: `dict()` is slower
    appeared = False
    for name, target in edits.items():
        if target is None:
            del items[name]
        else:
            appeared = appeared or name not in items
            items[name] = target
    return {name: items[name] for name in sorted(items)} if appeared else items
