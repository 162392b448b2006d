"""Tells in the log why a name that was served is not served any more."""

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
    """A line for each name that is in `before` and not in `items`, up to a limit. It is no
    WARNING: to delete a Secret is how one removes a target.

    `deleted` is the cause where nothing is left of the Secret; None if that has been logged already.
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
        log.info("Target is not served any more: %s", target.name, extra=fields)
    if len(causes) > MAX_LOGGED:
        log.info("%d more targets are not served any more", len(causes) - MAX_LOGGED, extra={"kind": "targets"})
