"""Log lines about the rules, in addition to those of every kind."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alert_refresh.engine import Result

if TYPE_CHECKING:
    from alert_refresh.engine import Outcome

log = logging.getLogger(__name__)


def log_cycle(outcome: Outcome) -> None:
    """Log an attempt that ended, in the words that existing log searches expect."""
    milliseconds = round(outcome.duration * 1000)
    fields = {
        "kind": outcome.kind,
        "trigger": outcome.trigger.value,
        "request_id": outcome.request_id,
        "attempt": outcome.attempt,
        "duration_ms": milliseconds,
    }
    if outcome.result is Result.SUCCESS:
        message = "Scheduled refresh completed: %d rules refreshed in %dms"
        log.info(message, outcome.items, milliseconds, extra=fields | {"rule_count": outcome.items})
    elif outcome.result is Result.FAILED:
        failed = fields | {"error": outcome.error, "error_type": outcome.error_type}
        log.warning("Scheduled refresh failed: %s", outcome.error, extra=failed)
