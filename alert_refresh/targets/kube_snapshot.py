"""From lists and events of several namespaces to one snapshot, with as little work as the changes allow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alert_refresh.targets.assemble import Assembled, assemble
from alert_refresh.targets.listed import merge
from alert_refresh.targets.revise import Change, revise
from alert_refresh.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alert_refresh.engine import Snapshot
    from alert_refresh.targets.assemble import Candidate
    from alert_refresh.targets.listed import Listed


@dataclass(frozen=True, slots=True)
class Memo:
    """What is known, by namespace as it is listed; `failed` has the causes of those that could not be read."""

    known: Mapping[str, Listed] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def candidates(self) -> list[Candidate]:
        """Every Secret of the namespaces that could be read."""
        return [
            candidate
            for namespace, listed in self.known.items()
            if namespace not in self.failed
            for _, candidate in listed.known.values()
        ]


def memo_of(snapshot: Snapshot[Target] | None) -> Memo | None:
    """The memo of a snapshot that was made here."""
    return snapshot.memo if snapshot is not None and isinstance(snapshot.memo, Memo) else None


def join(
    previous: Memo | None, listed: Mapping[str, Listed], failed: Mapping[str, str]
) -> tuple[Memo, list[Change] | None]:
    """What is known after these lists were read, and how it differs; None if everything must be looked at."""
    previous = previous or Memo()
    known: dict[str, Listed] = {name: previous.known[name] for name in failed if name in previous.known}
    changes: list[Change] = []
    whole = bool(failed or previous.failed) or previous.known.keys() != listed.keys()
    for name, new in listed.items():
        current = previous.known.get(name)
        if current is None:
            known[name] = new
        else:
            known[name], differ = merge(new, current)
            changes += differ
    return Memo(known, failed), None if whole else changes


def serve(previous: Snapshot[Target] | None, memo: Memo, changes: Sequence[Change] | None, now: float) -> Assembled:
    """What is served once `memo` is known, after `changes` to what `previous` knew (None: look at everything)."""
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
