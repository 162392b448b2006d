"""The larger transitions from one `Status` to the next: pure functions, which `RefreshState` applies under its lock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from alert_refresh.engine.guard.judge import NO_HISTORY, History, change
from alert_refresh.engine.outcome import Outcome, Result

if TYPE_CHECKING:
    from alert_refresh.engine.errors import AttemptError
    from alert_refresh.engine.guard.judge import Hold, Limits
    from alert_refresh.engine.guard.ruling import Ruling
    from alert_refresh.engine.snapshot import Snapshot
    from alert_refresh.engine.status import Attempt, Status

T = TypeVar("T")


def take(status: Status[T], ruling: Ruling[T], limits: Limits, wall: float) -> tuple[Status[T], bool]:
    """Serve what was ruled; returns also whether it is a new generation. `wall` is the time in Unix seconds."""
    old, new = status.snapshot, ruling.served
    changed = old is None or new.digest != old.digest
    generation = int(wall * 1000) if old is None else old.generation + changed
    if changed and status.restored:
        # Generations after the last one that was kept may have been served before the restart.
        generation = max(generation, int(wall * 1000))
    final: dict[str, Any] = {"generation": generation, "rebase": None, "lost": None}
    served = replace(new, **final)
    found = served if ruling.found is new else replace(ruling.found, **final)
    confirm_due = None if status.paused else ruling.history.confirm_at(limits)
    status = replace(status, snapshot=served, found=found, guard=ruling.history, confirm_due=confirm_due)
    return status, changed


def end_attempt(status: Status[T], outcome: Outcome, now: float, wall: float) -> Status[T]:
    """End the running attempt, of which this is the outcome, and count it."""
    succeeded = outcome.result is Result.SUCCESS
    return replace(
        status,
        attempt=None,
        last=outcome,
        last_success_at=wall if succeeded else status.last_success_at,
        last_success=now if succeeded else status.last_success,
        consecutive_failures=outcome.consecutive_failures,
        succeeded=status.succeeded + succeeded,
        failed=status.failed + (outcome.result is Result.FAILED),
        cancelled=status.cancelled + (outcome.result is Result.CANCELLED),
        failed_cycles=0 if succeeded else status.failed_cycles,
        breaker_open=status.breaker_open and not succeeded,
        missed_since=None if succeeded else min(_seen(status, status.attempt), default=None),
        last_good=status.snapshot if succeeded else status.last_good,
        restored=status.restored and not succeeded,
    )


def outcome_of(
    kind: str,
    attempt: Attempt,
    before: Status[T],
    after: Status[T],
    error: AttemptError | None,
    now: float,
    *,
    changed: bool,
) -> Outcome:
    """What the listeners get of an attempt that ends `now`; between these two its snapshot was taken.

    A failure after a stop counts as cancelled, since the stop caused it.
    """
    result = Result.SUCCESS if error is None else Result.CANCELLED if before.stopping else Result.FAILED
    streak, served, hold = before.consecutive_failures, after.snapshot, after.guard.hold
    return Outcome(
        kind=kind,
        trigger=attempt.request.trigger,
        request_id=attempt.request.request_id,
        attempt=attempt.number,
        result=result,
        started_at=attempt.started_at,
        duration=max(0.0, now - attempt.started),
        error=None if error is None else str(error),
        error_type=None if error is None else error.error_type,
        streak_before=streak,
        consecutive_failures={Result.SUCCESS: 0, Result.FAILED: streak + 1, Result.CANCELLED: streak}[result],
        items=len(served.items) if served else 0,
        rejected=len(served.rejected) if served else 0,
        generation=served.generation if served else 0,
        changed=changed,
        hold=hold,
        hold_change=change(before.guard, after.guard),
        held=0 if hold is None or hold.rejected else len(hold.names),
        scope=attempt.request.scope,
        accepted_at=attempt.request.accepted_at,
        seen_at=min(_seen(before, attempt), default=attempt.started),
    )


def _seen(status: Status[T], attempt: Attempt | None) -> list[float]:
    """When the changes that this attempt looks at were seen: the one it was requested for, and missed ones."""
    asked = None if attempt is None else attempt.request.seen_at
    return [at for at in (asked, status.missed_since) if at is not None]


def end_cycle(status: Status[T], outcome: Outcome, breaker_failures: int) -> Status[T]:
    """Count a cycle whose last attempt had this outcome; `breaker_failures` failed ones in a row open the breaker."""
    failed = outcome.result is Result.FAILED
    failed_cycles = status.failed_cycles + failed
    is_open = 0 < breaker_failures <= failed_cycles
    return replace(status, cycle_failed=failed, failed_cycles=failed_cycles, breaker_open=is_open)


def restored(
    status: Status[T],
    snapshot: Snapshot[T] | None,
    found: Snapshot[T] | None,
    last: Outcome | None,
    success_age: float | None,
    hold: Hold | None,
    now: float,
    wall: float,
) -> Status[T]:
    """Serve what was kept across a restart, `found` without what is held.

    `success_age` are the seconds since the last success before it.
    """
    return replace(
        status,
        snapshot=snapshot,
        found=found,
        last_good=snapshot,
        restored=snapshot is not None,
        last=last,
        last_success_at=None if success_age is None else wall - success_age,
        last_success=None if success_age is None else now - success_age,
        consecutive_failures=0 if last is None else last.consecutive_failures,
        cycle_failed=last is not None and last.result is Result.FAILED,
        guard=NO_HISTORY if hold is None else History.restored(hold, now),
    )
