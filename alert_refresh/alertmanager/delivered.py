"""What became of the last rendering: delivered where, and what of it is not deliverable. Frozen; the source's memo."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import structs

from alert_refresh.engine import Fault, Rejected, Snapshot
from alert_refresh.targets.target import as_config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alert_refresh.alertmanager.inputs import Inputs
    from alert_refresh.alertmanager.render import Rendering
    from alert_refresh.alertmanager.running.instances import Instance
    from alert_refresh.kind import Remark
    from alert_refresh.targets.target import Target

Faults = tuple[Fault, ...]

OK, UNDELIVERABLE, PENDING = "ok", "undeliverable", "pending"


@dataclass(frozen=True, slots=True)
class Tried:
    """A part that Alertmanager refused or loaded: the digest of its content then, and the versions that ran."""

    digest: str
    versions: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What is known after a refresh.

    `verified` is the last rendering that every Alertmanager was seen to run (or that was written, without any), and
    `versions` those that ran then; None before there is one. `contents` maps each target of it to its digest.
    `inputs` is what it was made of, without what Alertmanager refused.
    `undeliverable` maps enabled targets to their digests and faults, `undeliverable_rules` rules to their faults.
    `culprits` are by part, such as `target:team-a`, and so are those that `passed` in a search for culprits that did
    not end. `config_hash` is that of the file, `waits_for` why nothing is rendered, `unchecked` what a dry run could
    not check.
    """

    verified: Rendering | None = field(default=None, repr=False)
    versions: tuple[str | None, ...] = ()
    inputs: Inputs | None = field(default=None, repr=False, compare=False)
    contents: Mapping[str, bytes] = field(default_factory=dict)
    undeliverable: Mapping[str, tuple[bytes, Faults]] = field(default_factory=dict)
    undeliverable_rules: Mapping[str, Faults] = field(default_factory=dict)
    culprits: Mapping[str, Tried] = field(default_factory=dict)
    passed: Mapping[str, Tried] = field(default_factory=dict)
    overlapping: tuple[str, ...] = ()
    receivers: int = 0
    routes: int = 0
    config_hash: int | None = None
    instances: tuple[Instance, ...] = ()
    in_sync: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    waits_for: str | None = None
    unchecked: tuple[str, ...] = ()

    def state(self, target: Target) -> str | None:
        """Whether a target as it is now is delivered to; None for one that is disabled."""
        if not target.enabled:
            return None
        refused = self.undeliverable.get(target.name)
        if refused is not None and refused[0] == target.digest:
            return UNDELIVERABLE
        return OK if self.contents.get(target.name) == target.digest else PENDING

    def faults(self, target: Target) -> Faults:
        """Why a target as it is now is undeliverable; empty if it is not."""
        return self.undeliverable[target.name][1] if self.state(target) == UNDELIVERABLE else ()

    def items(self) -> dict[str, Target]:
        """The targets that are delivered, with their content alone: whether one is stale changes nothing."""
        targets = {} if self.inputs is None else {name: self.inputs.targets[name] for name in self.contents}
        fresh: dict[str, Any] = {"stale_since": None, "faults": ()}
        return {name: structs.replace(one, **fresh) if one.faults else one for name, one in targets.items()}

    def rejected(self) -> tuple[Rejected, ...]:
        """What is undeliverable, as the engine counts it."""
        targets = [Rejected({"target": name}, faults) for name, (_, faults) in self.undeliverable.items()]
        rules = [Rejected({"rule": rule_id}, faults) for rule_id, faults in self.undeliverable_rules.items()]
        return (*targets, *rules)

    def mark(self) -> str:
        """Equal while nothing that a reader sees has changed."""
        seen = [(one.name, one.version, one.error is None or str(one.error)) for one in self.instances]
        refused = [(name, content.hex(), faults) for name, (content, faults) in self.undeliverable.items()]
        contents = sorted((name, content.hex()) for name, content in self.contents.items())
        shown = (self.config_hash, seen, sorted(self.in_sync), refused, sorted(self.undeliverable_rules.items()))
        return repr((shown, contents, self.overlapping, self.receivers, self.routes, self.waits_for))


def compared(target: Target) -> dict[str, Any]:
    """The fields of a target by which two deliveries to it differ, with credentials in the clear."""
    return as_config(target) | {"source": (target.namespace, target.secret)}


def delivered(snapshot: Snapshot[Any] | None) -> Delivered:
    """What is known of the kind's snapshot; nothing before there is one."""
    memo = None if snapshot is None else snapshot.memo
    return memo if isinstance(memo, Delivered) else Delivered()


def remarks(snapshots: Mapping[str, Snapshot[Any] | None]) -> Iterator[Remark]:
    """What the sentence of `/health` says of the last delivery."""
    known = delivered(snapshots["alertmanager"])
    if known.waits_for is not None:
        yield f"nothing is written yet: {known.waits_for}", ()
    for what, lost in (("target", known.undeliverable), ("rule", known.undeliverable_rules)):
        if lost:
            yield f"{len(lost)} {what}{'s' if len(lost) > 1 else ''} undeliverable", tuple(lost)
    out = tuple(one.name for one in known.instances if one.name not in known.in_sync)
    if out:
        number = len(known.instances)
        yield ("out of sync" if number == 1 else f"{len(out)} of {number} instances out of sync"), out
