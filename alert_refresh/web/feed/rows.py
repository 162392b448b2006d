"""Refreshes as answers show them: those that are remembered, and those that are queued or running now."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from alert_refresh.engine import Result
from alert_refresh.observe.refreshes import HELD, RETRYING, SUPERSEDED, result_of
from alert_refresh.web.answers import rfc3339, wall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import Request, Status
    from alert_refresh.observe.refreshes import Made, Record

QUEUED, RUNNING = "queued", "running"
UNFINISHED = (QUEUED, RUNNING, RETRYING)
RESULTS = (*UNFINISHED, Result.SUCCESS.value, Result.FAILED.value, HELD, SUPERSEDED, Result.CANCELLED.value)


class Row(NamedTuple):
    """A refresh as it is now. `number` is that of its record, infinite as long as it has none."""

    number: float
    fields: dict[str, Any]
    at: float
    made: Made | None = None


def find(daemon: Daemon, request_id: str, kind: str | None = None) -> Row | None:
    """The refresh with that id, of that kind or of any: the last one, if a client used the id several times."""
    for row in rows(daemon):
        if row.fields["request_id"] == request_id and kind in (None, row.fields["kind"]):
            return row
    return None


def described(row: Row) -> dict[str, Any]:
    """A refresh as JSON fields, with the difference that it made."""
    return row.fields | {"difference": None if row.made is None else _difference(row.made)}


def is_over(row: Row | None) -> bool:
    """Whether nothing more becomes of it; also if it is not known."""
    return row is None or row.fields["result"] not in UNFINISHED


def rows(daemon: Daemon) -> Iterator[Row]:
    """Every refresh that is queued, running or remembered, newest first."""
    # What is running is read before what is recorded, so that a refresh that ends meanwhile is not missed.
    now = {name: worker.get_status() for name, worker in daemon.workers.items()}
    records = daemon.refreshes.newest()
    recorded = {(record.outcome.kind, record.outcome.request_id): record for record in reversed(records)}
    for kind, status in now.items():
        request, attempt = status.pending, status.attempt
        if request is not None:
            yield Row(math.inf, _begun(kind, request, QUEUED, None), request.accepted_at or daemon.clock.time())
        if attempt is not None and (kind, attempt.request.request_id) not in recorded:
            yield Row(math.inf, _begun(kind, attempt.request, RUNNING, attempt.started_at), attempt.started_at)
        last = status.last
        ended = status.succeeded + status.failed + status.cancelled > 0
        if ended and last is not None and (kind, last.request_id) not in recorded:
            # It has ended, and its record is about to be made.
            fields = _fields(last.kind, last.request_id) | {"trigger": last.trigger.value, "result": RUNNING}
            yield Row(math.inf, fields | {"started_at": rfc3339(last.started_at)}, last.started_at)
    later: set[str] = {kind for kind, status in now.items() if status.pending is not None or status.attempt is not None}
    for record in records:
        outcome = record.outcome
        yield _row(daemon, record, now.get(outcome.kind), superseded=outcome.kind in later)
        later.add(outcome.kind)


def _row(daemon: Daemon, record: Record, status: Status[Any] | None, *, superseded: bool) -> Row:
    outcome, result, next_attempt = record.outcome, result_of(record.outcome), None
    attempt, last = (None, None) if status is None else (status.attempt, status.last)
    if attempt is not None and attempt.request.request_id == outcome.request_id and attempt.number > outcome.attempt:
        result = RUNNING
    elif last is not None and last.request_id == outcome.request_id and last.attempt > outcome.attempt:
        result = RUNNING  # its record is about to be made anew
    elif outcome.retry_in is not None:
        waits = status is not None and last is not None and last.request_id == outcome.request_id
        if waits and status is not None and status.next_attempt is not None:
            result, next_attempt = RETRYING, rfc3339(wall(daemon.clock, status.next_attempt))
        elif superseded:
            result = SUPERSEDED
    fields = _fields(outcome.kind, outcome.request_id) | {
        "trigger": outcome.trigger.value,
        "result": result,
        "scope": outcome.scope,
        "accepted_at": rfc3339(outcome.accepted_at or None),
        "started_at": rfc3339(record.started_at),
        "duration_ms": round(record.seconds * 1000),
        "attempts": outcome.attempt,
        "error": outcome.error,
        "error_type": outcome.error_type,
        "items": outcome.items,
        "rejected": outcome.rejected,
        "generation": outcome.generation,
        "changed": outcome.changed,
        "next_attempt": next_attempt,
    }
    return Row(record.number, fields, record.started_at, record.made)


def _begun(kind: str, request: Request, result: str, started_at: float | None) -> dict[str, Any]:
    """A refresh of which no attempt has ended."""
    return _fields(kind, request.request_id) | {
        "trigger": request.trigger.value,
        "result": result,
        "scope": request.scope,
        "accepted_at": rfc3339(request.accepted_at or None),
        "started_at": rfc3339(started_at),
    }


def _fields(kind: str, request_id: str) -> dict[str, Any]:
    """The fields of a refresh of which nothing else is known."""
    return {
        "request_id": request_id,
        "kind": kind,
        "trigger": None,
        "result": None,
        "scope": None,
        "accepted_at": None,
        "started_at": None,
        "duration_ms": 0,
        "attempts": 0,
        "error": None,
        "error_type": None,
        "items": None,
        "rejected": None,
        "generation": None,
        "changed": False,
        "next_attempt": None,
    }


def _difference(made: Made) -> dict[str, Any]:
    """What a refresh changed: names of items and of their fields, never values."""
    return {
        "added": made.added,
        "removed": made.removed,
        "changed": [{"name": name, "fields": fields} for name, fields in made.changed],
        **{f"{sort}_count": count for sort, count in made.counts.items()},
    }
