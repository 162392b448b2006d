"""Rules that name targets that do not exist, which neither kind can detect alone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from alert_refresh.rules.rule_set import rule_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alert_refresh.engine import Snapshot, Worker
    from alert_refresh.kind import Remark

Pair = tuple[str, str]
"""A rule's id and the name of a target."""
MOST = 100
"""Pairs, and names, that are listed in a response."""
MOST_LOGGED = 20
"""Pairs that are logged at one time, one per line."""

log = logging.getLogger(__name__)


def dangling(rules: Snapshot[Any] | None, targets: Snapshot[Any] | None) -> tuple[Pair, ...]:
    """Pairs of a rule and a target that does not exist; empty while either kind is off or not loaded."""
    found = rule_set(rules)
    if found is None or targets is None:
        return ()
    missing = sorted(name for name in found.by_target if name not in targets.items)
    return tuple((rule_id, name) for name in missing for rule_id in found.by_target[name])


class Dangling:
    """Finds dangling targets between the workers of rules and targets, and logs a warning once for each new pair."""

    def __init__(self, workers: Mapping[str, Worker[Any]]) -> None:
        self._workers = workers
        self._reported: frozenset[Pair] = frozenset()
        for kind in ("rules", "targets"):
            if kind in workers:
                workers[kind].listen(self._warn)
                workers[kind].listen_publish(self._warn)

    def __call__(self) -> tuple[Pair, ...]:
        """The pairs, sorted by target and then by rule."""
        rules, targets = (self._workers.get(kind) for kind in ("rules", "targets"))
        return dangling(_served(rules), _served(targets))

    def _warn(self, _: object) -> None:
        """Log new pairs. The workers of both kinds may call this concurrently: a pair may then be logged twice."""
        now = self()
        new = [pair for pair in now if pair not in self._reported]
        self._reported = frozenset(now)
        for rule_id, name in new[:MOST_LOGGED]:
            fields = {"kind": "rules", "rule": rule_id, "target": name}
            log.warning("Rule %s names target %s, which does not exist", rule_id, name, extra=fields)
        if len(new) > MOST_LOGGED:
            more = len(new) - MOST_LOGGED
            log.warning("Rules name targets that do not exist %d times more", more, extra={"kind": "rules"})


def check(snapshots: Mapping[str, Snapshot[Any] | None]) -> dict[str, Any]:
    """What `alert-refresh check` shows of it: `dangling_targets` (the first ones), their count, and `warnings`."""
    pairs = dangling(snapshots.get("rules"), snapshots.get("targets"))
    lines = [f"rule {rule_id} names target {name}, which does not exist" for rule_id, name in pairs[:MOST]]
    if len(pairs) > MOST:
        lines.append(f"and {len(pairs) - MOST} more")
    return {"dangling_targets": listed(pairs), "dangling_targets_count": len(pairs), "warnings": lines}


def remarks(snapshots: Mapping[str, Snapshot[Any] | None]) -> Iterator[Remark]:
    """What the sentence of `/health` says of it."""
    if names := missing(dangling(snapshots.get("rules"), snapshots.get("targets"))):
        yield f"{len(names)} missing target{'s' if len(names) > 1 else ''}", names


def missing(pairs: tuple[Pair, ...]) -> tuple[str, ...]:
    """The targets in them, each once."""
    return tuple(dict.fromkeys(name for _, name in pairs))


def listed(pairs: tuple[Pair, ...]) -> list[dict[str, str]]:
    """The first `MOST` pairs as JSON fields."""
    return [{"rule": rule_id, "target": name} for rule_id, name in pairs[:MOST]]


def listed_names(names: tuple[str, ...]) -> list[str]:
    """The first `MOST` targets."""
    return list(names[:MOST])


def _served(worker: Worker[Any] | None) -> Snapshot[Any] | None:
    return None if worker is None else worker.get_status().snapshot
