"""Builds one snapshot from the stores of all namespaces, incrementally where the changes allow it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alert_refresh.targets.assemble import Assembled, assemble, without
from alert_refresh.targets.kubernetes.store import merge
from alert_refresh.targets.revise import Change, revise
from alert_refresh.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alert_refresh.engine import Snapshot
    from alert_refresh.targets.assemble import Candidate
    from alert_refresh.targets.kubernetes.store import Store


@dataclass(frozen=True, slots=True)
class Memo:
    """The stores by namespace; `failed` holds the causes of namespaces that could not be listed. All of it comes from
    one `server`, as `KubeClient.server` names it.

    For example `Memo(known={"team": Store(...)}, failed={"other": "could not be listed: a right is missing"},
    server="5be8...")`.
    """

    known: Mapping[str, Store] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    server: str = ""

    def candidates(self) -> list[Candidate]:
        """Every Secret of the namespaces that could be listed."""
        return [
            candidate
            for namespace, listed in self.known.items()
            if namespace not in self.failed
            for _, candidate in listed.known.values()
        ]


def memo_of(snapshot: Snapshot[Target] | None) -> Memo | None:
    """The memo of a snapshot of this source; None for any other snapshot."""
    return snapshot.memo if snapshot is not None and isinstance(snapshot.memo, Memo) else None


def join(
    previous: Memo | None, listed: Mapping[str, Store], failed: Mapping[str, str], server: str
) -> tuple[Memo, list[Change] | None]:
    """The memo after these lists, and the changes; None in their place if everything must be assembled again.

    A list of a new epoch replaces the store of its namespace, and one of another server replaces all stores.
    """
    previous = previous if previous is not None and previous.server == server else Memo()
    known: dict[str, Store] = {name: previous.known[name] for name in failed if name in previous.known}
    changes: list[Change] = []
    whole = bool(failed or previous.failed) or previous.known.keys() != listed.keys()
    for name, new in listed.items():
        current = previous.known.get(name)
        if current is None or current.epoch != new.epoch:
            known[name] = new
            whole = True
        else:
            known[name], differ = merge(new, current)
            changes += differ
    return Memo(known, failed, server), None if whole else changes


def surviving(previous: Snapshot[Target] | None, memo: Memo) -> Snapshot[Target] | None:
    """`previous` without the targets that must not be kept as stale: those of another server, and where an epoch ended
    those whose Secrets are not in the first list of the new epoch.
    """
    before = memo_of(previous)
    if previous is None or before is None:
        return previous
    lost: set[tuple[str, str]] = set()
    ended = before.server != memo.server
    for name, old in before.known.items():
        new = memo.known.get(name)
        if new is None or new.epoch != old.epoch:
            ended = True
            found = {} if new is None else new.known
            lost |= {(one.namespace, one.secret) for uid, (_, one) in old.known.items() if uid not in found}
    return without(previous, lost, previous.rejected if before.server == memo.server else ()) if ended else previous


def serve(previous: Snapshot[Target] | None, memo: Memo, changes: Sequence[Change] | None, now: float) -> Assembled:
    """What to serve with `memo`, given its `changes` since `previous` (None: assemble everything again)."""
    if previous is not None and changes is not None:
        if not changes:
            return Assembled(previous.items, previous.rejected, previous.digest)
        if (revised := revise(previous, changes)) is not None:
            return revised
    return assemble(memo.candidates(), previous, now, failed=memo.failed)


def counts(memo: Memo) -> dict[str, float]:
    """How many Secrets are valid, for the metrics of a refresh."""
    found = memo.candidates()
    valid = sum(isinstance(candidate.result, Target) for candidate in found)
    return {"secrets_valid": valid, "secrets_invalid": len(found) - valid, "secrets_skipped": 0}
