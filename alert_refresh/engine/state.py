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
from alert_refresh.engine.guard.judge import Limits
from alert_refresh.engine.outcome import Request, Trigger
from alert_refresh.engine.status import Attempt, Status
from alert_refresh.engine.transitions import end_attempt, end_cycle, outcome_of, restored, take

if TYPE_CHECKING:
    from alert_refresh.engine.clock import Clock, Deadline
    from alert_refresh.engine.errors import AttemptError
    from alert_refresh.engine.guard.judge import Hold
    from alert_refresh.engine.guard.ruling import Ruling
    from alert_refresh.engine.outcome import Outcome
    from alert_refresh.engine.schedule import Schedule
    from alert_refresh.engine.snapshot import Snapshot

T = TypeVar("T")


class RefreshState(Generic[T]):
    """The state of one kind and its transitions, each of them atomic."""

    def __init__(
        self,
        kind: str,
        clock: Clock,
        schedule: Schedule,
        rate_limit: float,
        *,
        limits: Limits | None = None,
        breaker_failures: int = 0,
    ) -> None:
        self.kind = kind
        self._clock = clock
        self._schedule = schedule.on(clock)
        self._rate_limit = rate_limit
        self._limits = limits or Limits()
        self._breaker_failures = breaker_failures
        self._window_ends: float | None = None
        self._lock = threading.RLock()
        self._status: Status[T] = Status()

    def status(self) -> Status[T]:
        """The current status, without taking the lock."""
        return self._status

    @property
    def recheck(self) -> float:
        """Seconds after which a due time is looked at again, since a wall clock that was set may have moved it."""
        return self._schedule.recheck

    def open(self) -> int:
        """Start a run: a start-up refresh is due now, periodic ones follow the schedule. Returns the number of the run.

        Raises:
            AlreadyStarted: a run is open.
        """
        with self._lock:
            if self._status.running:
                raise AlreadyStarted(f"the {self.kind} worker is already started")
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
            self._status = replace(self._status, paused=True, pending=pending, next_due=None, confirm_due=None)
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
                raise NotStarted(f"the {self.kind} worker is not running")
            if status.attempt is not None:
                raise RefreshInProgress(status.attempt.started_at, max(0.0, status.attempt.deadline.at - now))
            if status.pending is not None and status.pending.trigger is Trigger.MANUAL:
                raise RefreshInProgress(status.pending.accepted_at, 0.0)
            if self._window_ends is not None and now < self._window_ends:
                raise RateLimitExceeded(self._window_ends - now)
            self._window_ends = now + self._rate_limit
            if status.pending is not None or status.next_attempt is not None:
                request.scope = None  # it takes the place of a refresh of everything
            if status.pending is not None:
                request.seen_at = status.pending.seen_at
            request.accepted_at = self._clock.time()
            self._status = replace(status, pending=request, last_manual_at=request.accepted_at)

    def offer(self, trigger: Trigger, run: int | None = None) -> None:
        """Request a refresh that is never refused: several while one is pending or running cause one more cycle.

        Does nothing if the run of that number is over; None means the current run.
        """
        with self._lock:
            if self.active(self._status.run if run is None else run) and self._status.pending is None:
                request = Request(trigger, seen_at=self._clock.monotonic())
                self._status = replace(self._status, pending=request)

    def due(self, run: int) -> Request | None:
        """The request to run now: the pending one, else a periodic one if it is due, else None.

        Raises:
            Stopping: the run of this number is over.
        """
        with self._lock:
            if not self.active(run):
                raise Stopping("the worker is stopping")
            status, now = self._status, self._clock.monotonic()
            due = None if status.next_due is None else self._schedule.moved(status.next_due, now)
            if due != status.next_due:
                status = replace(status, next_due=due)
            if status.next_due is not None and status.next_due <= now:
                status = replace(
                    status,
                    next_due=self._schedule.next_due(status.started, now),
                    pending=status.pending or Request(Trigger.PERIODIC),
                )
            if status.confirm_due is not None and status.confirm_due <= now:
                status = replace(status, confirm_due=None, pending=status.pending or Request(Trigger.PERIODIC))
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
                status,
                attempt=attempt,
                pending=None,
                next_attempt=None,
                next_due=self._next_due(status, now),
                confirm_due=None,
            )
            return attempt

    def publish(self, run: int, ruling: Ruling[T], basis: Status[T]) -> Snapshot[T] | None:
        """Serve what a watch found; returns the served snapshot, or None if the run is over.

        This is not an attempt: only the snapshot changes, and what the guard remembers.

        Raises:
            Overtaken: the ruling was made for a `basis` that is no longer current.
        """
        with self._lock:
            if not self.active(run):
                return None
            return self._take(ruling, basis)

    def decide(self, ruling: Ruling[T], basis: Status[T]) -> Snapshot[T]:
        """Serve what a user decided about held removals; returns the served snapshot.

        Raises:
            NotStarted: not running, or shutting down.
            Overtaken: the ruling was made for a `basis` that is no longer current.
        """
        with self._lock:
            if not self._status.running or self._status.stopping:
                raise NotStarted(f"the {self.kind} worker is not running")
            served = self._take(ruling, basis)
            self._status = replace(self._status, last_good=served)
            return served

    def _take(self, ruling: Ruling[T], basis: Status[T]) -> Snapshot[T]:
        """Serve what was ruled without an attempt."""
        if not self._is_current(basis):
            raise Overtaken("something else was published meanwhile")
        self._status, _ = take(self._status, ruling, self._limits, self._clock.time())
        assert self._status.snapshot is not None
        return self._status.snapshot

    def _is_current(self, basis: Status[T]) -> bool:
        """Whether nothing was published and decided since `basis`."""
        return self._status.found is basis.found and self._status.guard is basis.guard

    def restore(
        self,
        snapshot: Snapshot[T] | None,
        last: Outcome | None,
        last_success_at: float | None,
        hold: Hold | None,
        found: Snapshot[T] | None,
    ) -> None:
        """Serve what was kept across a restart, before `open`. See `Worker.restore`."""
        with self._lock:
            now, wall = self._clock.monotonic(), self._clock.time()
            age = None if last_success_at is None else max(0.0, wall - last_success_at)
            self._status = restored(self._status, snapshot, found, last, age, hold, now, wall)

    def finish(
        self, attempt: Attempt, ruling: Ruling[T] | None, error: AttemptError | None, basis: Status[T] | None = None
    ) -> Outcome:
        """End an attempt: swap in the ruling if there is one, else keep the old; count, and return the outcome.

        `basis` is the status for which the ruling was made; None if nothing can have changed since.

        Raises:
            Stopping: the attempt is void and is not counted.
            Overtaken: the `basis` is no longer current; the attempt has not ended.
        """
        with self._lock:
            before, now, wall = self._status, self._clock.monotonic(), self._clock.time()
            if before.attempt is not attempt:
                raise Stopping("the attempt is void")
            if ruling is not None and basis is not None and not self._is_current(basis):
                raise Overtaken("something else was published meanwhile")
            status, changed = before, False
            if ruling is not None:
                status, changed = take(before, ruling, self._limits, wall)
            outcome = outcome_of(self.kind, attempt, before, status, error, now, changed=changed)
            status = end_attempt(status, outcome, now, wall)
            confirm_at = status.guard.confirm_at(self._limits)
            if status.paused or (error is not None and confirm_at is not None and confirm_at <= now):
                confirm_at = None  # the next refresh confirms, whenever that is
            self._status = replace(status, next_due=self._next_due(status, now), confirm_due=confirm_at)
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
                if outcome is not None:
                    self._schedule = self._schedule.after(outcome, now)
                    status = end_cycle(status, outcome, self._breaker_failures)
                next_due = None if status.paused else self._schedule.next_due(status.started, now)
                self._status = replace(status, next_attempt=None, next_due=next_due)

    def _next_due(self, status: Status[T], after: float) -> float | None:
        """The first tick that is not skipped if a cycle runs until `after`."""
        if status.next_due is None or status.next_due > after:
            return status.next_due
        return self._schedule.next_due(status.started, after)
