"""The sink of the watches of one run of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from alert_refresh.engine.errors import Overtaken
from alert_refresh.engine.guard.ruling import publication_of
from alert_refresh.engine.outcome import Swap

if TYPE_CHECKING:
    import threading

    from alert_refresh.engine.clock import Clock
    from alert_refresh.engine.guard.ruling import Guard
    from alert_refresh.engine.outcome import Trigger
    from alert_refresh.engine.refresher import Listeners
    from alert_refresh.engine.snapshot import Snapshot
    from alert_refresh.engine.state import RefreshState

T = TypeVar("T")


class RunSink(Generic[T]):
    """Implements `Sink` for one run: after the run has ended, calls have no effect.

    `wake` wakes the worker, `listeners` are told what is published, in the watch's thread.
    """

    def __init__(
        self,
        kind: str,
        state: RefreshState[T],
        guard: Guard[T],
        run: int,
        wake: threading.Event,
        listeners: Listeners,
        clock: Clock,
    ) -> None:
        self._kind = kind
        self._state = state
        self._guard = guard
        self._run = run
        self._wake = wake
        self._listeners = listeners
        self._clock = clock

    def notify(self, trigger: Trigger) -> None:
        """See `Sink`."""
        self._state.offer(trigger, self._run)
        self._wake.set()

    def current(self) -> Snapshot[T] | None:
        """See `Sink`."""
        return self._state.status().found

    def publish(self, snapshot: Snapshot[T], expected: Snapshot[T] | None, seen_at: float | None = None) -> bool:
        """See `Sink`."""
        while True:
            status = self._state.status()
            if status.found is not expected:
                return False
            ruling = self._guard.ruling(status, snapshot)
            try:
                served = self._state.publish(self._run, ruling, status)
            except Overtaken:
                continue
            if served is None:
                return False
            if ruling.history is not status.guard:
                self._wake.set()  # there may be something to confirm, sooner than the next tick
            if status.snapshot is None or served.generation != status.snapshot.generation:
                self._listeners.swapped(Swap(self._kind, status.snapshot, served))
                if seen_at is not None:
                    seconds = max(0.0, self._clock.monotonic() - seen_at)
                    self._listeners.published(publication_of(self._kind, served, status, ruling, seconds, seen_at))
            return True
