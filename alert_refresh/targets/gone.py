"""Logs why a target is gone at its source. If the removals are too many, it is served for a while still."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.targets.target import Target

MAX_LOGGED = 20
DELETED = "its Secret was deleted, or the label selector does not select it any more"

log = logging.getLogger(__name__)


def log_gone(before: Mapping[str, Target], items: Mapping[str, Target], *, deleted: str | None) -> None:
    """Log a line for each name that is in `before` and not in `items`, up to a limit. Its level is INFO: deleting a
    Secret is the normal way to remove a target.

    `deleted` is the cause if the Secret does not exist any more; None if that has already been logged.
    """
    lost = [target for name, target in before.items() if name not in items]
    if not lost:
        return
    names = {(one.namespace, one.secret): one.name for one in items.values()}
    causes = []
    for target in lost:
        now = names.get((target.namespace, target.secret))
        cause = deleted if now is None else f"its Secret is target '{now}' now"
        if cause is not None:
            causes.append((target, cause))
    for target, cause in causes[:MAX_LOGGED]:
        fields = {"kind": "targets", "namespace": target.namespace, "secret": target.secret, "error": cause}
        log.info("Target is gone at its source: %s", target.name, extra=fields)
    if len(causes) > MAX_LOGGED:
        log.info("%d more targets are gone at their source", len(causes) - MAX_LOGGED, extra={"kind": "targets"})
