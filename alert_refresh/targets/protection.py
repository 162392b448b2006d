"""How the removal of targets is held: they stay, as stale ones that say so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from alert_refresh.engine import Fault, Protection

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from alert_refresh.engine import Rejected, Snapshot
    from alert_refresh.targets.target import Target

HELD = Fault("held", "its Secret is gone, and its removal is held; see `held` in the status")


def origin(target: Target) -> tuple[str, str]:
    """The Secret, as namespace and name."""
    return target.namespace, target.secret


def retain(found: Snapshot[Target], kept: Mapping[str, Target], since: float) -> Snapshot[Target]:
    """`found` with these targets in addition, each stale and with the fault `HELD`."""
    from alert_refresh.targets.assemble import CONTENT, content_digest

    together = dict(found.items) | {name: _held(target, since) for name, target in kept.items()}
    items = {name: together[name] for name in sorted(together)}
    digest = content_digest(items.values(), found.rejected) + found.digest[CONTENT:]
    return replace(found, items=items, digest=digest)


def drop(served: Snapshot[Target], names: Collection[str]) -> Snapshot[Target]:
    """`served` without these targets."""
    from alert_refresh.targets.assemble import CONTENT, content_digest

    gone = frozenset(names)
    items = {name: target for name, target in served.items.items() if name not in gone}
    digest = content_digest(items.values(), served.rejected) + served.digest[CONTENT:]
    return replace(served, items=items, digest=digest)


def _held(target: Target, since: float) -> Target:
    """The same object if its removal is held already."""
    if HELD in target.faults:
        return target
    return target.stale(since if target.stale_since is None else target.stale_since, (*target.faults, HELD))


def revive(found: Snapshot[Target], held: Mapping[str, Target]) -> Snapshot[Target]:
    """`found` with those held targets, as stale ones, whose Secret is there again and is invalid."""
    from alert_refresh.targets.assemble import CONTENT, content_digest

    faults = {_secret(one): one.faults for one in found.rejected}
    back = {name: one for name, one in held.items() if name not in found.items and origin(one) in faults}
    if not back:
        return found
    stale = {name: one.stale(one.stale_since or found.taken_at, faults[origin(one)]) for name, one in back.items()}
    items = dict(sorted((dict(found.items) | stale).items()))
    served = {origin(one) for one in back.values()}
    rejected = tuple(one for one in found.rejected if _secret(one) not in served)
    digest = content_digest(items.values(), rejected) + found.digest[CONTENT:]
    return replace(found, items=items, rejected=rejected, digest=digest)


def _secret(rejected: Rejected) -> tuple[str, str]:
    return rejected.origin.get("namespace", ""), rejected.origin.get("secret", "")


PROTECTION = Protection(origin, retain, drop, revive)
