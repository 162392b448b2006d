"""Log lines about attempts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from alert_refresh import durations
from alert_refresh.engine import Result, Trigger

if TYPE_CHECKING:
    from alert_refresh.engine import Outcome, Publication

ALERT_AFTER = 3
"""Consecutive failures after which an alert is logged, once."""

MAX_NAMES = 20
"""Held names in a log line."""
ENDED = {
    "confirmed": "Held removal was confirmed by a later refresh",
    "approved": "Held removal was approved",
    "rejected": "Held removal was rejected; the items stay while exactly these are absent",
    "returned": "Held removal has ended: everything is there again",
}

log = logging.getLogger("alert_refresh.refresh")


def log_outcome(outcome: Outcome) -> None:
    """Log an attempt that ended, and one line more when consecutive failures reach `ALERT_AFTER` or end."""
    fields = _fields(outcome)
    if outcome.result is Result.SUCCESS:
        if outcome.streak_before >= ALERT_AFTER:
            log.warning("Refresh recovered after %d failures", outcome.streak_before, extra=fields | {"alert": True})
        log.info("%s refreshed successfully", outcome.kind.capitalize(), extra=fields)
    elif outcome.result is Result.CANCELLED:
        log.info("Refresh cancelled", extra=fields)
    else:
        if outcome.retry_in is not None:
            log.warning("Refresh failed, retrying in %s", durations.show(outcome.retry_in), extra=fields)
        else:
            log.error("Refresh failed, no retry before the next refresh", extra=fields)
        if outcome.consecutive_failures == ALERT_AFTER:
            log.error("Refresh failed %d times in a row", ALERT_AFTER, extra=fields | {"alert": True})
    _log_hold(outcome)


def log_publication(published: Publication) -> None:
    """Log a generation that was published without an attempt."""
    _log_hold(published)
    if published.seconds is None:
        return
    log.info(
        "%s changed",
        published.kind.capitalize(),
        extra={
            "kind": published.kind,
            "trigger": Trigger.WATCH.value,
            "duration_ms": round(published.seconds * 1000),
            f"{published.kind.removesuffix('s')}_count": published.items,
            "rejected_count": published.rejected,
            "generation": published.generation,
        },
    )


def _log_hold(event: Outcome | Publication) -> None:
    """Log what changed about held removals."""
    fields: dict[str, Any] = {"kind": event.kind}
    if event.hold is not None:
        names = event.hold.names
        fields |= {"proposal": event.hold.proposal, "held_count": len(names), "held": list(names[:MAX_NAMES])}
        if event.hold_change in ("held", "changed"):
            message = "Removal of %d of %d %s is held until it is confirmed or approved"
            log.warning(message, len(names), event.items, event.kind, extra=fields | {"alert": True})
    if event.hold_change in ENDED:
        log.warning(ENDED[event.hold_change], extra=fields)


def _fields(outcome: Outcome) -> dict[str, Any]:
    return {
        "kind": outcome.kind,
        "trigger": outcome.trigger.value,
        "request_id": outcome.request_id,
        "attempt": outcome.attempt,
        "duration_ms": round(outcome.duration * 1000),
        f"{outcome.kind.removesuffix('s')}_count": outcome.items,
        "rejected_count": outcome.rejected,
        "generation": outcome.generation,
        "consecutive_failures": outcome.consecutive_failures or None,
        "error": outcome.error,
        "error_type": outcome.error_type,
    }
