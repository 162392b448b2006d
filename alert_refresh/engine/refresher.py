"""One cycle: begin -> source.refresh, retried -> finish -> listeners. Starts no thread, takes no lock."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from alert_refresh.engine.clock import Deadline
from alert_refresh.engine.errors import AttemptError, Interrupted, Overtaken, Partial, Stopping, Superseded, Transient
from alert_refresh.engine.outcome import Result, Swap, Trigger
from alert_refresh.engine.stack import stack_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenacity import RetryCallState

    from alert_refresh.engine.clock import Clock
    from alert_refresh.engine.guard.ruling import Guard
    from alert_refresh.engine.outcome import Outcome, Publication, Request
    from alert_refresh.engine.retry import RetryPolicy
    from alert_refresh.engine.snapshot import Snapshot
    from alert_refresh.engine.source import Source
    from alert_refresh.engine.state import RefreshState
    from alert_refresh.engine.status import Attempt, Status

T = TypeVar("T")

log = logging.getLogger(__name__)


def in_place(call: Callable[[], Snapshot[T]], _: Deadline) -> Snapshot[T]:
    """Execute an attempt in the calling thread."""
    return call()


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told what became of one kind, in the thread in which it happened. One that raises is logged.

    `outcomes` get every outcome after it took effect, `publications` everything that was published without an attempt.
    `swaps` get every new generation, before those; two threads may publish one after the other and tell it in the other
    order. `ends` get every request whose cycle is over, after its last outcome.
    """

    outcomes: list[Callable[[Outcome], None]] = field(default_factory=list)
    publications: list[Callable[[Publication], None]] = field(default_factory=list)
    swaps: list[Callable[[Swap], None]] = field(default_factory=list)
    ends: list[Callable[[Request], None]] = field(default_factory=list)

    def outcome(self, outcome: Outcome) -> None:
        """Tell an outcome."""
        _tell(self.outcomes, outcome)

    def published(self, published: Publication) -> None:
        """Tell a publication."""
        _tell(self.publications, published)

    def swapped(self, swap: Swap) -> None:
        """Tell a new generation."""
        _tell(self.swaps, swap)

    def ended(self, request: Request) -> None:
        """Tell that a cycle is over."""
        _tell(self.ends, request)


def _tell(listeners: Sequence[Callable[[T], None]], told: T) -> None:
    for listener in listeners:
        try:
            listener(told)
        except Exception as raised:
            log.error("A listener failed with %s", type(raised).__name__, extra={"stack": stack_of(raised)})


class Refresher(Generic[T]):
    """Runs cycles for one kind. `listeners` are told each `Outcome` and `Swap`."""

    def __init__(
        self,
        *,
        source: Source[T],
        state: RefreshState[T],
        guard: Guard[T],
        policy: RetryPolicy,
        timeout: float,
        clock: Clock,
        listeners: Listeners,
    ) -> None:
        self._source = source
        self._state = state
        self._guard = guard
        self._policy = policy
        self._timeout = timeout
        self._clock = clock
        self.listeners = listeners

    def cycle(
        self,
        request: Request,
        *,
        sleep: Callable[[float], None],
        execute: Callable[[Callable[[], Snapshot[T]], Deadline], Snapshot[T]] = in_place,
    ) -> None:
        """Attempt a refresh until one attempt succeeds, fails permanently, or no retries are left. Raises nothing.

        `sleep(seconds)` waits between attempts and raises `Interrupted` to end the cycle early.
        `execute(call, deadline)` runs an attempt; it may abandon it by raising `Transient` or `Stopping`.
        """

        def before_sleep(retry: RetryCallState) -> None:
            assert request.outcome is not None and retry.next_action is not None
            seconds = retry.next_action.sleep
            request.outcome = replace(request.outcome, retry_in=seconds)
            self._state.waiting(request, seconds, request.outcome)
            self.listeners.outcome(request.outcome)

        before = self._state.status()
        policy = self._policy
        if before.breaker_open and request.trigger is not Trigger.MANUAL:
            policy = replace(policy, max_retries=0)
        try:
            for attempt in policy.retrying(sleep=sleep, before_sleep=before_sleep):
                with attempt:
                    self._attempt(request, attempt.retry_state.attempt_number, execute)
        except Superseded:
            # Or its schedule was paused: then there is no other.
            request.superseded = self._state.status().pending is not None
        except (AttemptError, Interrupted):
            pass
        finally:
            self._state.end_cycle(request)
            self._log_breaker(before, self._state.status())
            self._tell_end(request)

    def _tell_end(self, request: Request) -> None:
        try:
            if request.outcome is not None and request.outcome.retry_in is None:
                self.listeners.outcome(request.outcome)
            self.listeners.ended(request)
        finally:
            request.first.set()
            request.done.set()

    def _attempt(
        self,
        request: Request,
        number: int,
        execute: Callable[[Callable[[], Snapshot[T]], Deadline], Snapshot[T]],
    ) -> None:
        """Run one attempt; its outcome is recorded before its error is raised."""
        deadline = Deadline(self._clock, self._timeout)
        attempt = self._state.begin(request, number, deadline)
        basis = self._state.status()
        snapshot: Snapshot[T] | None = None
        error: AttemptError | None = None
        try:
            snapshot = execute(lambda: self._source.refresh(basis.found, request, deadline), deadline)
        except Partial as partial:
            snapshot, error = partial.snapshot, partial.cause
        except AttemptError as raised:
            error = raised
        except Stopping as stopping:
            error = Transient(str(stopping))
        except Exception as raised:
            error = unexpected(raised)
        request.outcome = self._finish(attempt, basis, snapshot, error)
        request.first.set()
        if request.outcome.result is Result.CANCELLED:
            raise Stopping("the worker is stopping")
        if error is not None:
            raise error

    def _finish(
        self,
        attempt: Attempt,
        basis: Status[T],
        snapshot: Snapshot[T] | None,
        error: AttemptError | None,
    ) -> Outcome:
        """End the attempt, after rebasing its snapshot on what a watch published since the attempt began."""
        while True:
            status = self._state.status()
            try:
                if snapshot is not None and snapshot.rebase is not None and status.found is not basis.found:
                    assert status.found is not None
                    snapshot = snapshot.rebase(status.found)
                basis = status
                # A refresh of a part has not looked for what else is held, so it confirms nothing.
                began = attempt.started if attempt.request.scope is None and error is None else None
                ruling = None if snapshot is None else self._guard.ruling(status, snapshot, began)
            except Exception as raised:
                snapshot, ruling, error = None, None, unexpected(raised)
            try:
                outcome = self._state.finish(attempt, ruling, error, basis)
            except Overtaken:
                continue
            if ruling is not None and outcome.changed:
                served = replace(ruling.served, generation=outcome.generation)
                self.listeners.swapped(Swap(outcome.kind, basis.snapshot, served, outcome.request_id))
            return outcome

    def _log_breaker(self, before: Status[T], after: Status[T]) -> None:
        fields = {"kind": self._state.kind}
        if after.breaker_open and not before.breaker_open:
            message = "Circuit breaker opened after %d failed cycles; a cycle makes one attempt until one succeeds"
            log.warning(message, after.failed_cycles, extra=fields)
        elif before.breaker_open and not after.breaker_open:
            log.info("Circuit breaker closed", extra=fields)


def unexpected(error: Exception) -> Transient:
    """The error of an attempt that raised an unexpected exception, which is logged."""
    log.error("Refresh raised an unexpected %s", type(error).__name__, extra={"stack": stack_of(error)})
    return Transient(f"unexpected {type(error).__name__}")
