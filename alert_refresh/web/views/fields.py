"""What the views' answers show, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Result
from alert_refresh.views.view_settings import Moment
from alert_refresh.web.answers import wall
from alert_refresh.web.status import restored_age

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.engine import WatchHealth, Worker
    from alert_refresh.views.automated import Automated
    from alert_refresh.views.source import PostgresSource
    from alert_refresh.views.view import ViewState
    from alert_refresh.views.view_settings import ViewSettings

OPERATIONAL = "LTREE materialized view refresh service is operational"


def result_fields(states: Mapping[str, ViewState], seconds: float) -> dict[str, Any]:
    """What became of each view. A view that another instance was refreshing is not done: its result is false."""
    failed = {name: state.reason for name, state in states.items() if state.failed}
    skipped = {name: state.reason for name, state in states.items() if not state.failed and not state.refreshed}
    busy = [name for name, state in states.items() if state.busy]
    good = not failed and not skipped
    fields: dict[str, Any] = {
        "status": "success" if good else "partial_success",
        "message": "All materialized views refreshed successfully"
        if good
        else f"{sum(state.refreshed for state in states.values())} of {len(states)} materialized views refreshed",
        "results": {name: state.refreshed for name, state in states.items()},
        "duration_ms": round(seconds * 1000, 2),
    }
    if failed:
        fields["failed_views"] = list(failed)
    if skipped:
        fields["skipped_views"] = list(skipped)
    if busy:
        fields["busy_views"] = busy
    if not good:
        fields["reasons"] = failed | skipped
    return fields


def status_fields(worker: Worker[Any], source: PostgresSource, automated: Automated) -> dict[str, Any]:
    """The status of the service, its caches, its schedule and each view; times are Unix seconds."""
    status = worker.get_status()
    last = status.last
    failed = last is not None and last.result is Result.FAILED
    interval = worker.settings.interval
    return {
        "status": "available",
        "last_refresh": status.last_success_at,
        "cache_metrics": source.resolver.metrics(),
        "automated_refresh_status": {
            "enabled": automated.enabled,
            "last_run": automated.last_run,
            "next_run": wall(worker.clock, status.next_due),
            "interval_seconds": int(interval) if interval.is_integer() else interval,
            "success_count": automated.succeeded,
            "failure_count": automated.failed,
        },
        "message": OPERATIONAL,
        "in_progress": status.in_progress,
        "restored": status.restored,
        "restored_age_seconds": restored_age(worker, status),
        "consecutive_failures": status.consecutive_failures,
        "error": last.error if failed and last else None,
        "error_type": last.error_type if failed and last else None,
        "views": {
            name: view_fields(
                status.snapshot.items.get(name) if status.snapshot else None,
                worker.clock.monotonic(),
                source.settings.of(name),
                wall(worker.clock, next_run(worker, source, name)),
            )
            for name in source.settings.views
        },
        "notifications": notification_fields(worker.watch_health()),
        "pool": {"in_use": source.reads.in_use, "max": source.reads.size},
        "history_pending": source.history.pending,
    }


def notification_fields(health: WatchHealth | None) -> dict[str, Any] | None:
    """The state of the connection that listens; None while the daemon does not run."""
    if health is None:
        return None
    return {"connected": health.connected, "last_proof_of_life": health.last_proof_of_life, "error": health.error}


def next_run(worker: Worker[Any], source: PostgresSource, name: str) -> float | None:
    """When a view is due next (monotonic); None while the schedule rests."""
    status, settings = worker.get_status(), source.settings
    if status.next_due is None or not settings.own:
        return status.next_due
    return settings.of(name).next_due(status.started, Moment.now(worker.clock), settings.refresh.warmup)


def view_fields(state: ViewState | None, now: float, own: ViewSettings, due: float | None) -> dict[str, Any] | None:
    """What became of a view the last time it was its turn; None before that.

    Its age is the seconds since it was last refreshed, by anyone, or proven unchanged; `now` is monotonic.
    """
    if state is None:
        return None
    return {
        "mode": str(state.mode),
        "outcome": state.outcome,
        "last_refreshed": state.refreshed_at,
        "last_success": state.fresh_at,
        "age_seconds": None if state.fresh_at is None or state.since is None else round(now - state.since, 3),
        "next_run": due,
        "interval_seconds": own.interval,
        "skip": skip_words(state, own.skip_max_age),
        "rows": state.rows,
        "size_bytes": state.size,
        "analyze": state.analyzed,
        "reason": state.reason or None,
        "error_type": state.error_type or None,
        "duration_ms": round(state.duration_ms, 3),
        "refreshed_at": state.refreshed_at,
        "generation": state.generation or None,
    }


def skip_words(state: ViewState, max_age: float) -> str:
    """Whether a scheduled refresh may leave the view alone."""
    if max_age == 0:
        return "never, because it is switched off"
    return f"never, because {state.never}" if state.never else "when nothing that it reads has changed"
