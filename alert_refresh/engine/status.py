"""The status of one kind: one frozen, consistent object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from alert_refresh.engine.guard.judge import NO_HISTORY

if TYPE_CHECKING:
    from alert_refresh.engine.clock import Deadline
    from alert_refresh.engine.guard.judge import History, Hold
    from alert_refresh.engine.outcome import Outcome, Request
    from alert_refresh.engine.snapshot import Snapshot

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attempt:
    """The running attempt. `started_at` is in Unix seconds, `started` and the deadline are monotonic."""

    request: Request
    number: int
    started_at: float
    started: float
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Status(Generic[T]):
    """Everything a reader can see, at one moment. Times: `*_at` in Unix seconds, others monotonic.

    `run` counts the starts, so that a thread of an earlier run can detect that it is obsolete. `last` is the last
    attempt that ended, `last_success_at` and `last_success` when the last successful one ended. `snapshot` is what is
    served, `next_due` the next periodic tick, `next_attempt` the end of a backoff. `last_good` is the snapshot of the
    last successful refresh; `snapshot` may be a later, partial one. `paused` is about the schedule, `started` is when
    it started. `cycle_failed` is the result of the last cycle that was not cancelled, `failed_cycles` counts those that
    failed since the last success; with `breaker_open` a cycle makes one attempt, unless a user asked for it.

    `found` is what the source returned last; `snapshot` differs from it while removals are held. `guard` is what the
    guard remembers, `confirm_due` the time of the attempt that may confirm held removals. `restored` is set while
    `snapshot` was read from disk and no refresh has succeeded since. `missed_since` is when the oldest change was seen
    that only failed attempts have looked at, None without one.
    """

    run: int = 0
    running: bool = False
    stopping: bool = False
    paused: bool = False
    started: float = 0.0
    attempt: Attempt | None = None
    pending: Request | None = None
    next_due: float | None = None
    next_attempt: float | None = None
    last: Outcome | None = None
    last_success_at: float | None = None
    last_success: float | None = None
    last_manual_at: float | None = None
    consecutive_failures: int = 0
    cycle_failed: bool = False
    failed_cycles: int = 0
    breaker_open: bool = False
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    snapshot: Snapshot[T] | None = None
    last_good: Snapshot[T] | None = None
    found: Snapshot[T] | None = None
    guard: History = NO_HISTORY
    confirm_due: float | None = None
    restored: bool = False
    missed_since: float | None = None

    @property
    def in_progress(self) -> bool:
        """Whether an attempt is running; a wait between attempts does not count."""
        return self.attempt is not None

    @property
    def hold(self) -> Hold | None:
        """The removals that are held, if any."""
        return self.guard.hold
