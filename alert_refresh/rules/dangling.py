"""Rules that name targets that do not exist: what neither kind can tell by itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from alert_refresh.rules.rule_set import rule_set

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.engine import Snapshot, Worker

Pair = tuple[str, str]
"""A rule's id and the name of a target."""
MOST = 100
"""Pairs that are listed in an answer."""
MOST_LOGGED = 20
"""Pairs that are logged at once, each in a line."""

log = logging.getLogger(__name__)


def dangling(rules: Snapshot[Any] | None, targets: Snapshot[Any] | None) -> tuple[Pair, ...]:
    """Which rule names which target that does not exist; none while either kind is off or nothing of it is loaded."""
    found = rule_set(rules)
    if found is None or targets is None:
        return ()
    missing = sorted(name for name in found.by_target if name not in targets.items)
    return tuple((rule_id, name) for name in missing for rule_id in found.by_target[name])


class Dangling:
    """What dangles between the workers of rules and targets now; warns of each pair once when it begins to."""

    def __init__(self, workers: Mapping[str, Worker[Any]]) -> None:
        self._workers = workers
        self._reported: frozenset[Pair] = frozenset()
        for kind in ("rules", "targets"):
            if kind in workers:
                workers[kind].listen(self._warn)
                workers[kind].listen_publish(self._warn)

    def __call__(self) -> tuple[Pair, ...]:
        """The pairs, by target and then by rule."""
        rules, targets = (self._workers.get(kind) for kind in ("rules", "targets"))
        return dangling(_served(rules), _served(targets))

    def _warn(self, _: object) -> None:
        """Called by the workers of both kinds, maybe at once: then a pair may be told twice, but never not at all."""
        now = self()
        new = [pair for pair in now if pair not in self._reported]
        self._reported = frozenset(now)
        for rule_id, name in new[:MOST_LOGGED]:
            fields = {"kind": "rules", "rule": rule_id, "target": name}
            log.warning("Rule %s names target %s, which does not exist", rule_id, name, extra=fields)
        if len(new) > MOST_LOGGED:
            more = len(new) - MOST_LOGGED
            log.warning("Rules name targets that do not exist %d times more", more, extra={"kind": "rules"})


def listed(pairs: tuple[Pair, ...]) -> list[dict[str, str]]:
    """The first pairs as answers show them."""
    return [{"rule": rule_id, "target": name} for rule_id, name in pairs[:MOST]]


def _served(worker: Worker[Any] | None) -> Snapshot[Any] | None:
    return None if worker is None else worker.get_status().snapshot
