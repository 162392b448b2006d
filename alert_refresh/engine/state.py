"""What is known about one kind right now, behind the only lock.

Writers take the lock for a few assignments. Readers take none: every change replaces one frozen `Status`,
and `status` hands out the current one.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from alert_refresh.engine.errors import (
    AlreadyStarted,
    NotStarted,
    Overtaken,
    RateLimitExceeded,
    RefreshInProgress,
    Stopping,
    Superseded,
)
from alert_refresh.engine.outcome import Outcome, Request, Result, Trigger
from alert_refresh.engine.status import Attempt, Status

if TYPE_CHECKING:
    from alert_refresh.engine.clock import Clock, Deadline
    from alert_refresh.engine.errors import AttemptError
    from alert_refresh.engine.schedule import Schedule
    from alert_refresh.engine.snapshot import Snapshot

T = TypeVar("T")


class RefreshState(Generic[T]):
    """The state of one kind and its transitions, each of them atomic."""

    def __init__(self, kind: str, clock: Clock, schedule: Schedule, rate_limit: float) -> None:
        self._kind = kind
        self._clock = clock
        self._schedule = schedule
        self._rate_limit = rate_limit
        self._window_ends: float | None = None
        self._lock = threading.RLock()
        self._status: Status[T] = Status()

    def status(self) -> Status[T]:
        """The current status, without taking the lock."""
        return self._status

    def open(self) -> int:
        """Start a run: a start-up refresh is due now, periodic ones follow the schedule. Returns the number of the run.

        Raises:
            AlreadyStarted: a run is open.
        """
        with self._lock:
            if self._status.running:
                raise AlreadyStarted(f"the {self._kind} worker is already started")
            now = self._clock.monotonic()
            self._status = replace(
                self._status,
                run=self._status.run + 1,
                running=True,
                started=now,
                pending=None if self._status.paused else Request(Trigger.STARTUP),
                next_due=None if self._status.paused else self._schedule.next_due(now, now),
                next_attempt=None,
            )
            return self._status.run

    def pause(self) -> None:
        """Pause the schedule: drop its pending request; a cycle it started ends with the running attempt."""
        with self._lock:
            pending = self._status.pending
            dropped = pending if pending is not None and pending.trigger.scheduled else None
            pending = None if dropped else pending
            self._status = replace(self._status, paused=True, pending=pending, next_due=None)
        if dropped is not None:
            dropped.first.set()
            dropped.done.set()

    def resume(self) -> bool:
        """Restart the schedule, with a start-up refresh. False if it was not paused."""
        with self._lock:
            status, now = self._status, self._clock.monotonic()
            if not status.paused:
                return False
            status = replace(status, paused=False)
            if status.running and not status.stopping:
                status = replace(
                    status,
                    started=now,
                    pending=status.pending or Request(Trigger.STARTUP),
                    next_due=self._schedule.next_due(now, now),
                )
            self._status = status
            return True

    def dropped(self, request: Request) -> bool:
        """Whether the schedule made this request and has been paused since."""
        return self._status.paused and request.trigger.scheduled

    def stop(self, run: int) -> bool:
        """Accept and begin nothing more. False if the run of this number is over or already stopping."""
        with self._lock:
            if not self.active(run):
                return False
            pending = self._status.pending
            self._status = replace(self._status, stopping=True, pending=None, next_attempt=None)
        if pending is not None:
            pending.first.set()
            pending.done.set()
        return True

    def close(self, run: int) -> bool:
        """End the stopped run of this number, so that `open` may be called again. False if it was already over.

        An attempt that is still running becomes void.
        """
        with self._lock:
            if self._status.run != run or not self._status.stopping:
                return False
            self.void(run)
            self._status = replace(self._status, running=False, stopping=False, next_due=None)
            return True

    def void(self, run: int) -> None:
        """Make a running attempt of that run unable to finish; it counts as cancelled."""
        with self._lock:
            if self._status.attempt is not None and self._status.run == run:
                self._status = replace(self._status, attempt=None, cancelled=self._status.cancelled + 1)

    def is_open(self, run: int) -> bool:
        """Whether the run of this number is not over; it may be stopping."""
        status = self._status
        return status.run == run and status.running

    def active(self, run: int) -> bool:
        """Whether the run of this number is neither over nor stopping."""
        status = self._status
        return status.run == run and status.running and not status.stopping

    def accept(self, request: Request) -> None:
        """Reserve a manual refresh.

        Raises:
            NotStarted: not running, or shutting down.
            RefreshInProgress: an attempt is running, or an accepted request has not begun.
            RateLimitExceeded: within the window of the last accepted manual refresh.
        """
        with self._lock:
            status, now = self._status, self._clock.monotonic()
            if not status.running or status.stopping:
                raise NotStarted(f"the {self._kind} worker is not running")
            if status.attempt is not None:
                raise RefreshInProgress(status.attempt.started_at, max(0.0, status.attempt.deadline.at - now))
            if status.pending is not None and status.pending.trigger is Trigger.MANUAL:
                raise RefreshInProgress(status.pending.accepted_at, 0.0)
            if self._window_ends is not None and now < self._window_ends:
                raise RateLimitExceeded(self._window_ends - now)
            self._window_ends = now + self._rate_limit
            request.accepted_at = self._clock.time()
            self._status = replace(status, pending=request, last_manual_at=request.accepted_at)

    def offer(self, trigger: Trigger, run: int | None = None) -> None:
        """Request a refresh that is never refused: several while one is pending or running cause one more cycle.

        Does nothing if the run of that number is over; None means the current run.
        """
        with self._lock:
            if self.active(self._status.run if run is None else run) and self._status.pending is None:
                self._status = replace(self._status, pending=Request(trigger))

    def due(self, run: int) -> Request | None:
        """The request to run now: the pending one, else a periodic one if it is due, else None.

        Raises:
            Stopping: the run of this number is over.
        """
        with self._lock:
            if not self.active(run):
                raise Stopping("the worker is stopping")
            status, now = self._status, self._clock.monotonic()
            if status.next_due is not None and status.next_due <= now:
                status = replace(
                    status,
                    next_due=self._schedule.next_due(status.started, now),
                    pending=status.pending or Request(Trigger.PERIODIC),
                )
                self._status = status
            if status.pending is not None:
                status.pending.run = run
            return status.pending

    def begin(self, request: Request, number: int, deadline: Deadline) -> Attempt:
        """Begin an attempt; its request is no longer pending.

        Raises:
            Stopping: the run of the request is over or stopping.
            Superseded: another request has become pending; it goes first, and covers this one.
        """
        with self._lock:
            status = self._status
            if not self.active(request.run):
                raise Stopping("the worker is stopping")
            if status.pending is not None and status.pending is not request:
                raise Superseded("another refresh was requested")
            if self.dropped(request):
                raise Superseded("the schedule is paused")
            now = self._clock.monotonic()
            attempt = Attempt(request, number, self._clock.time(), now, deadline)
            self._status = replace(
                status, attempt=attempt, pending=None, next_attempt=None, next_due=self._next_due(status, now)
            )
            return attempt

    def publish(self, run: int, snapshot: Snapshot[T], expected: Snapshot[T] | None) -> Snapshot[T] | None:
        """Serve the snapshot of a watch if `expected` is still served; returns the served snapshot, or None if refused.

        This is not an attempt: only the snapshot changes.
        """
        with self._lock:
            if not self.active(run) or self._status.snapshot is not expected:
                return None
            served, _ = self._published(expected, snapshot, self._clock.time())
            self._status = replace(self._status, snapshot=served)
            return served

    def finish(
        self,
        attempt: Attempt,
        snapshot: Snapshot[T] | None,
        error: AttemptError | None,
        expected: Snapshot[T] | None = None,
    ) -> Outcome:
        """End an attempt: swap in `snapshot` if there is one, else keep the old one; count, and return the outcome.

        A failure after `stop` is cancelled. `expected` was served when `snapshot` was made; compared only for a rebase.

        Raises:
            Stopping: the attempt is void and is not counted.
            Overtaken: another snapshot is served now; the attempt has not ended.
        """
        with self._lock:
            status, now, wall = self._status, self._clock.monotonic(), self._clock.time()
            if status.attempt is not attempt:
                raise Stopping("the attempt is void")
            if snapshot is not None and snapshot.rebase is not None and status.snapshot is not expected:
                raise Overtaken("a watch published meanwhile")
            result = Result.SUCCESS if error is None else Result.CANCELLED if status.stopping else Result.FAILED
            served, changed = self._published(status.snapshot, snapshot, wall)
            outcome = self._outcome(attempt, result, error, served, changed)
            succeeded = result is Result.SUCCESS
            self._status = replace(
                status,
                attempt=None,
                next_due=self._next_due(status, now),
                last=outcome,
                last_success_at=wall if succeeded else status.last_success_at,
                last_success=now if succeeded else status.last_success,
                consecutive_failures=outcome.consecutive_failures,
                succeeded=status.succeeded + succeeded,
                failed=status.failed + (result is Result.FAILED),
                cancelled=status.cancelled + (result is Result.CANCELLED),
                snapshot=served,
                last_good=served if succeeded else status.last_good,
            )
            return outcome

    def waiting(self, request: Request, seconds: float, outcome: Outcome) -> None:
        """Record that the request's cycle waits `seconds` for its next attempt; `outcome` is the failed attempt."""
        with self._lock:
            status, next_attempt = self._status, self._clock.monotonic() + seconds
            if self.active(request.run):
                next_due = self._next_due(status, next_attempt)
                self._status = replace(status, next_attempt=next_attempt, next_due=next_due, last=outcome)

    def end_cycle(self, request: Request) -> None:
        """Record that the request's cycle is over: no attempt follows, and ticks that it overran are skipped."""
        with self._lock:
            status, now, outcome = self._status, self._clock.monotonic(), request.outcome
            if self.active(request.run):
                failed = status.cycle_failed
                if outcome is not None:
                    self._schedule = self._schedule.after(outcome, now)
                    failed = outcome.result is Result.FAILED
                next_due = None if status.paused else self._schedule.next_due(status.started, now)
                self._status = replace(status, next_attempt=None, next_due=next_due, cycle_failed=failed)

    def _outcome(
        self, attempt: Attempt, result: Result, error: AttemptError | None, served: Snapshot[T] | None, changed: bool
    ) -> Outcome:
        """What the listeners get of an attempt that ends now."""
        before = self._status.consecutive_failures
        return Outcome(
            kind=self._kind,
            trigger=attempt.request.trigger,
            request_id=attempt.request.request_id,
            attempt=attempt.number,
            result=result,
            started_at=attempt.started_at,
            duration=max(0.0, self._clock.monotonic() - attempt.started),
            error=None if error is None else str(error),
            error_type=None if error is None else error.error_type,
            streak_before=before,
            consecutive_failures={Result.SUCCESS: 0, Result.FAILED: before + 1, Result.CANCELLED: before}[result],
            items=len(served.items) if served else 0,
            rejected=len(served.rejected) if served else 0,
            generation=served.generation if served else 0,
            changed=changed,
        )

    def _next_due(self, status: Status[T], after: float) -> float | None:
        """The first tick that is not skipped if a cycle runs until `after`."""
        if status.next_due is None or status.next_due > after:
            return status.next_due
        return self._schedule.next_due(status.started, after)

    def _published(
        self, old: Snapshot[T] | None, new: Snapshot[T] | None, wall: float
    ) -> tuple[Snapshot[T] | None, bool]:
        """The snapshot to serve, and whether it is a new generation."""
        if new is None:
            return old, False
        if old is None:
            return replace(new, generation=int(wall * 1000), rebase=None), True
        if new.digest == old.digest:
            return replace(new, generation=old.generation, rebase=None), False
        return replace(new, generation=old.generation + 1, rebase=None), True
