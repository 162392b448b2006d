"""One attempt of a kind in a worker of its own, as the daemon would make it, without watches and without retries."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from alert_refresh.engine import ShutdownTimeout, SystemClock, Worker
from alert_refresh.engine.attempt_threads import ABANDON_AFTER
from alert_refresh.engine.errors import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.engine import Hold, Request, Snapshot, Source, Status, Watch
    from alert_refresh.engine.source import Sink
    from alert_refresh.kind import Kind

MARGIN = 10.0
"""Seconds beyond the time after which the engine abandons an attempt."""


class Unwatched:
    """A source without its watches."""

    def __init__(self, source: Source[Any]) -> None:
        self.name = source.name
        self.refresh = source.refresh
        self.close = source.close

    def watches(self, sink: Sink) -> Sequence[Watch]:
        """No watches: only the one requested refresh runs."""
        return ()


class Attempted(NamedTuple):
    """The one attempt: its worker, which has ended, its request, and the status after it."""

    worker: Worker[Any]
    request: Request
    status: Status[Any]
    timeout: float

    def fields(self) -> dict[str, Any]:
        """The result as JSON fields: `items`, `error`, `error_type`, `duration_ms`."""
        outcome, limit = self.request.outcome, self.timeout + ABANDON_AFTER + MARGIN
        if outcome is None:
            error = f"no attempt ended within {limit:g} s"
            return {"error": error, "error_type": TIMEOUT, "duration_ms": round(limit * 1000)}
        return {
            "items": outcome.items,
            "error": outcome.error,
            "error_type": outcome.error_type,
            "duration_ms": round(outcome.duration * 1000),
        }


def attempt(
    kind: Kind,
    settings: Any,
    source: Source[Any],
    *,
    restored: Snapshot[Any] | None = None,
    hold: Hold | None = None,
) -> Attempted:
    """Make the attempt; `restored` is served before it, with these removals held."""
    clock = SystemClock()
    once = replace(settings.refresh, max_retries=0, paused=True)
    worker = Worker(kind, Unwatched(source), once, clock=clock)
    if restored is not None:
        worker.restore(restored, hold=hold)
    worker.start()
    request = worker.refresh_now()
    request.done.wait(once.timeout + ABANDON_AFTER + MARGIN)
    status = worker.get_status()
    with contextlib.suppress(ShutdownTimeout):
        worker.stop(MARGIN)
    return Attempted(worker, request, status, once.timeout)
