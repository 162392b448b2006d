"""A thread for each attempt, so that an attempt that cannot be interrupted can be abandoned."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

from alert_refresh.engine.clock import Deadline
from alert_refresh.engine.errors import TIMEOUT, Stopping, Transient
from alert_refresh.engine.threads import Call, spawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from alert_refresh.engine.clock import Clock

T = TypeVar("T")

ABANDON_AFTER = 5.0
"""Seconds past its timeout after which an attempt that cannot be interrupted is abandoned."""
STUCK_LIMIT = 2
"""Abandoned attempts that still hang: this many make the worker unhealthy, and no further attempt is started."""


class CurrentAttempt:
    """The attempt that one run of the worker waits for, if any."""

    def __init__(self) -> None:
        self.abandoned = threading.Event()
        self.call: Call[Any] | None = None

    def abandon(self) -> None:
        """End the wait for it immediately, and the wait for any later attempt of the run."""
        self.abandoned.set()
        if (call := self.call) is not None:
            call.ended.set()


class AttemptThreads:
    """Executes the attempts of one worker and keeps the threads of abandoned ones that have not ended."""

    def __init__(self, kind: str, clock: Clock) -> None:
        self._name = f"{kind}-attempt"
        self._clock = clock
        self._abandoned: list[threading.Thread] = []

    def execute(
        self,
        call: Callable[[], T],
        deadline: Deadline,
        current: CurrentAttempt,
        wait: Callable[[threading.Event, float], object],
    ) -> T:
        """Make `call` in a thread of its own and return what it returned; raise what it raised.

        `wait(event, seconds)` waits in the calling thread. The result of an abandoned attempt is never taken, so it
        cannot be published.

        Raises:
            Transient: it was abandoned, or `STUCK_LIMIT` earlier attempts still hang (error type `timeout`).
            Stopping: `current.abandon` was called.
        """
        if len(self.hanging()) >= STUCK_LIMIT:
            raise Transient(f"{STUCK_LIMIT} earlier attempts still hang", TIMEOUT)
        current.call = attempt = Call(call)
        thread = spawn(self._name, attempt.run)
        until = Deadline(self._clock, max(0.0, deadline.remaining()) + ABANDON_AFTER)
        try:
            while not (attempt.ended.is_set() or current.abandoned.is_set()) and until.remaining() > 0:
                wait(attempt.ended, until.remaining())
        finally:
            current.call = None
            answered = attempt.answered
            if not answered:
                self._abandoned = [*self.hanging(), thread]
        if answered:
            thread.join()
            return attempt.result()
        if current.abandoned.is_set():
            raise Stopping("the worker is stopping")
        raise Transient(f"the attempt did not end within {deadline.seconds:g} s and was abandoned", TIMEOUT)

    def hanging(self) -> list[threading.Thread]:
        """The threads of abandoned attempts that have not ended, oldest first."""
        return [thread for thread in self._abandoned if thread.is_alive()]
