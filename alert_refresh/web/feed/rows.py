"""Refreshes as answers show them: those that are remembered, and those that are queued or running now."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from alert_refresh.engine import Result
from alert_refresh.observe.refreshes import HELD, RETRYING, SUPERSEDED
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
    last = {(record.outcome.kind, record.outcome.request_id): record for record in reversed(records)}
    for kind, status in now.items():
        if status.pending is not None:
            at = status.pending.accepted_at or daemon.clock.time()
            yield Row(math.inf, _begun(kind, status.pending, QUEUED, None), at)
        attempt, ended = status.attempt, status.last
        if attempt is not None and _is_new(last.get((kind, attempt.request.request_id)), attempt.started_at):
            yield Row(math.inf, _begun(kind, attempt.request, RUNNING, attempt.started_at), attempt.started_at)
        here = status.succeeded + status.failed + status.cancelled > 0
        if here and ended is not None and _is_new(last.get((kind, ended.request_id)), ended.started_at):
            # Its record is about to be made.
            fields = _fields(kind, ended.request_id) | {"trigger": ended.trigger.value, "result": RUNNING}
            yield Row(math.inf, fields | {"started_at": rfc3339(ended.started_at)}, ended.started_at)
    for record in records:
        yield _row(daemon, record, now.get(record.outcome.kind))


def _is_new(record: Record | None, started_at: float) -> bool:
    """Whether an attempt is that of a refresh without a record: of another one with this id, if that one is over."""
    return record is None or (record.over and record.outcome.started_at < started_at)


def _row(daemon: Daemon, record: Record, status: Status[Any] | None) -> Row:
    outcome, result, next_attempt = record.outcome, record.result, None
    if not record.over:
        result = RETRYING
        if status is not None and status.attempt is not None:
            result = RUNNING if status.attempt.request.request_id == outcome.request_id else RETRYING
        elif status is not None and status.next_attempt is not None:
            next_attempt = rfc3339(wall(daemon.clock, status.next_attempt))
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
