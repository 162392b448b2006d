"""The worker: a thread that runs refresh cycles, one for each attempt, and one for each watch of the source.

The worker's thread waits until the next tick or until it is woken, so an idle worker uses no CPU. Before each wait
it records when it will return (`back_by`); `health` finds a thread that is late.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from alert_refresh.engine.attempt_threads import STUCK_LIMIT, AttemptThreads, CurrentAttempt
from alert_refresh.engine.clock import Deadline, SystemClock
from alert_refresh.engine.errors import ShutdownTimeout, Stopping, Superseded
from alert_refresh.engine.guard.ruling import Decisions, Guard
from alert_refresh.engine.outcome import Request, Trigger
from alert_refresh.engine.refresher import Listeners, Refresher
from alert_refresh.engine.run_sink import RunSink
from alert_refresh.engine.schedule import Interval
from alert_refresh.engine.source import WatchHealth, combined_health
from alert_refresh.engine.state import RefreshState
from alert_refresh.engine.threads import join, report_death, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alert_refresh.engine.clock import Clock
    from alert_refresh.engine.guard.judge import Hold
    from alert_refresh.engine.outcome import Outcome, Publication, Swap
    from alert_refresh.engine.snapshot import Snapshot
    from alert_refresh.engine.source import Kind, RefreshSettings, Source, Watch
    from alert_refresh.engine.status import Status

T = TypeVar("T")

RESTART_AFTER = 0.5
"""Seconds before a thread that died is restarted."""
WATCH_STOPS_IN = 1.0
"""Seconds that stop waits for the watches' threads; one that hangs in a connection is abandoned and can no longer
publish."""
GRACE = 10.0
"""Seconds a thread may be late before it counts as stuck."""

log = logging.getLogger(__name__)


class Worker(Generic[T]):
    """Keeps one kind fresh: `start`, `stop`, `refresh_now`, `get_status`.

    `listeners` are called with every `Outcome`, in the worker's thread. All four methods are thread-safe.
    """

    def __init__(
        self,
        kind: Kind,
        source: Source[T],
        settings: RefreshSettings,
        *,
        clock: Clock | None = None,
        listeners: Sequence[Callable[[Outcome], None]] = (),
    ) -> None:
        self.kind = kind
        self.source = source
        self.settings = settings
        self.clock = clock or SystemClock()
        schedule = settings.schedule or Interval(settings.interval, settings.warmup)
        limits = settings.limits()
        self.state: RefreshState[T] = RefreshState(
            kind.name,
            self.clock,
            schedule,
            settings.rate_limit,
            limits=limits,
            breaker_failures=settings.breaker_failures,
        )
        self._listeners = Listeners(list(listeners))
        self._guard: Guard[T] = Guard(kind.protection, limits, self.clock)
        self.decisions: Decisions[T] = Decisions(kind.name, self.state, self._guard, self._listeners)
        if settings.paused:
            self.state.pause()
        self._refresher = Refresher(
            source=source,
            state=self.state,
            guard=self._guard,
            policy=settings.retry_policy(),
            timeout=settings.timeout,
            clock=self.clock,
            listeners=self._listeners,
        )
        self._run = self._new_run(0)
        self._attempts = AttemptThreads(kind.name, self.clock)
        self.listen(self._notify_watches)

    def listen(self, listener: Callable[[Outcome], None]) -> None:
        """Call `listener` with every outcome from now on."""
        self._listeners.outcomes.append(listener)

    def listen_publish(self, listener: Callable[[Publication], None]) -> None:
        """Call `listener` with everything that watches publish, in their threads, from now on."""
        self._listeners.publications.append(listener)

    def listen_swaps(self, listener: Callable[[Swap], None]) -> None:
        """Call `listener` with every new generation from now on, in the thread that published it."""
        self._listeners.swaps.append(listener)

    def listen_ends(self, listener: Callable[[Request], None]) -> None:
        """Call `listener` with every request whose cycle is over, from now on, in the worker's thread."""
        self._listeners.ends.append(listener)

    def restore(
        self,
        snapshot: Snapshot[T] | None,
        *,
        last: Outcome | None = None,
        last_success_at: float | None = None,
        hold: Hold | None = None,
    ) -> None:
        """Serve what was kept across a restart; called before `start`.

        `last` is the last outcome before it, `last_success_at` the time of the last success in Unix seconds,
        `hold` the removals that were held.
        """
        found = None if snapshot is None else self._guard.without(snapshot, hold)
        self.state.restore(snapshot, last, last_success_at, hold, found)

    def start(self) -> None:
        """Start the threads. The start-up refresh runs in them, so this returns immediately.

        Raises:
            AlreadyStarted: it is running.
        """
        run = self._run = self._new_run(self.state.open())
        try:
            run.watches = tuple(self.source.watches(run.sink))
            run.threads.append(self._spawn(run, "worker", lambda: self._loop(run)))
            for watch in run.watches:
                run.watching.append(self._spawn(run, watch.name, watch.run))
        except BaseException:
            self._end(run)
            self.state.close(run.number)
            raise
        finally:
            run.started.set()

    def halt(self) -> None:
        """Begin to stop and return immediately: no new attempt starts, and every wait ends."""
        self._end(self._run)

    def stop(self, timeout: float = 30.0) -> None:
        """End every wait, let a running attempt finish within `timeout` seconds, and join the threads.

        Does nothing if the worker is not running.

        Raises:
            ShutdownTimeout: a running attempt did not end in time; it is abandoned and can no longer publish.
        """
        run = self._run
        self._end(run)
        if not self.state.is_open(run.number):
            return
        run.started.wait(timeout)
        deadline = Deadline(self.clock, timeout)
        late = join(run.threads, deadline)
        join(run.watching, Deadline(self.clock, min(WATCH_STOPS_IN, max(0.0, deadline.remaining()))))
        if late:
            run.attempt.abandon()
            join(late, Deadline(self.clock, 1.0))
        if self.state.close(run.number):
            self.source.close()
            if late:
                raise ShutdownTimeout(f"the running {self.kind.name} refresh did not end within {timeout:g} s")

    def pause(self, timeout: float = 0.0) -> None:
        """Pause the schedule, and wait at most `timeout` seconds for a running attempt.

        Manual refreshes still work. A worker that is not started yet will start paused.
        """
        self.state.pause()
        self._run.wake.set()
        attempt = self.state.status().attempt
        if attempt is not None and timeout > 0:
            request = attempt.request
            self.clock.wait(request.done if request.trigger.scheduled else request.first, timeout)

    def resume(self) -> bool:
        """Restart the schedule, with an immediate refresh. False if it was not paused."""
        resumed = self.state.resume()
        self._run.wake.set()
        return resumed

    def refresh_now(self, request_id: str | None = None, scope: str | None = None) -> Request:
        """Accept a manual refresh and wake the worker; the request's events are set when it is done.

        Raises:
            NotStarted: not running, or shutting down.
            RefreshInProgress: an attempt is running, or an accepted one has not begun.
            RateLimitExceeded: within the window of the last accepted manual refresh.
        """
        request = Request(Trigger.MANUAL, scope=scope)
        if request_id is not None:
            request.request_id = request_id
        self.state.accept(request)
        self._run.wake.set()
        return request

    def get_status(self) -> Status[T]:
        """The current status; takes no lock."""
        return self.state.status()

    def notify(self, trigger: Trigger) -> None:
        """Request a refresh after a change. Never refused; several during one attempt cause one more cycle."""
        self._run.sink.notify(trigger)

    def current(self) -> Snapshot[T] | None:
        """What the source returned last, or a watch published; see `Sink`."""
        return self.state.status().found

    def publish(self, snapshot: Snapshot[T], expected: Snapshot[T] | None, seen_at: float | None = None) -> bool:
        """Serve the snapshot of a watch; see `Sink`."""
        return self._run.sink.publish(snapshot, expected, seen_at)

    def watch_health(self) -> WatchHealth | None:
        """The combined health of the watches; None without a connected watch, or if the worker is not running."""
        run = self._run
        return combined_health(run.watches) if self.state.active(run.number) else None

    def health(self) -> str | None:
        """The name of a thread that makes no progress; None while all do."""
        run = self._run
        if not self.state.active(run.number):
            return None
        for thread in (*run.threads, *run.watching):
            if not thread.is_alive():
                return thread.name
        for watch in run.watches:
            if self.clock.monotonic() > watch.back_by + GRACE:
                return f"{self.kind.name}-{watch.name}"
        if self.clock.monotonic() > run.back_by + GRACE:
            return f"{self.kind.name}-worker"
        hanging = self.hanging()
        return hanging[-1].name if len(hanging) >= STUCK_LIMIT else None

    def tick(self, run: _Run) -> float | None:
        """Run the cycle that is due, if any; returns the seconds until the next tick, None without one.

        Raises:
            Stopping: the worker is stopping.
        """
        request = self.state.due(run.number)
        if request is not None:
            fields = {"kind": self.kind.name, "trigger": request.trigger, "request_id": request.request_id}
            log.debug("Refresh begins", extra=fields)
            self._refresher.cycle(
                request,
                sleep=lambda seconds: self._sleep(run, request, seconds),
                execute=lambda call, deadline: self._execute(run, call, deadline),
            )
        # The cycle may have consumed the wake event of a stop or of another request.
        if not self.state.active(run.number):
            raise Stopping("the worker is stopping")
        status = self.state.status()
        if status.pending is not None:
            return 0.0
        due = [at for at in (status.next_due, status.confirm_due) if at is not None]
        return max(0.0, min(min(due) - self.clock.monotonic(), self.state.recheck)) if due else None

    def _new_run(self, number: int) -> _Run:
        wake = threading.Event()
        sink = RunSink(self.kind.name, self.state, self._guard, number, wake, self._listeners, self.clock)
        return _Run(number, wake, sink)

    def _end(self, run: _Run) -> None:
        """End every wait of a run, unless it is already over."""
        if self.state.stop(run.number):
            run.stopping.set()
            run.wake.set()
            for watch in run.watches:
                watch.stop()

    def _notify_watches(self, outcome: Outcome) -> None:
        for watch in self._run.watches:
            watch.refreshed(outcome)

    def _loop(self, run: _Run) -> None:
        run.back_by = self.clock.monotonic()
        try:
            while True:
                run.wake.clear()
                self._wait(run, run.wake, self.tick(run))
        except Stopping:
            return
        except BaseException:
            self.state.void(run.number)
            raise

    def _sleep(self, run: _Run, request: Request, seconds: float) -> None:
        """Wait between attempts; a stop, a new request or a pause of the schedule ends the wait."""
        until = Deadline(self.clock, seconds)
        while until.remaining() > 0:
            run.wake.clear()
            if not self.state.active(run.number):
                raise Stopping("the worker is stopping")
            if self.state.status().pending is not None:
                raise Superseded("another refresh was requested")
            if self.state.dropped(request):
                raise Superseded("the schedule is paused")
            self._wait(run, run.wake, until.remaining())

    def _wait(self, run: _Run, event: threading.Event, seconds: float | None) -> bool:
        """Wait, after recording in `back_by` when this thread will return."""
        run.back_by = float("inf") if seconds is None else self.clock.monotonic() + seconds
        woken = self.clock.wait(event, seconds)
        run.back_by = self.clock.monotonic()
        return woken

    def _execute(self, run: _Run, call: Callable[[], Snapshot[T]], deadline: Deadline) -> Snapshot[T]:
        """Execute an attempt in a thread of its own; see `AttemptThreads.execute`."""
        deadline.stopping = run.stopping
        return self._attempts.execute(call, deadline, run.attempt, lambda event, left: self._wait(run, event, left))

    def hanging(self) -> list[threading.Thread]:
        """The threads of abandoned attempts that have not ended, oldest first."""
        return self._attempts.hanging()

    def _spawn(self, run: _Run, job: str, target: Callable[[], None]) -> threading.Thread:
        """Start a thread that runs `target` again, after `RESTART_AFTER`, when it raises or returns before stop."""

        def forever() -> None:
            # Otherwise the caller of `start` might wait for the interpreter lock until the first refresh releases it.
            run.started.wait()
            while self.state.active(run.number):
                try:
                    target()
                except BaseException:
                    report_death()
                self.clock.wait(run.stopping, RESTART_AFTER)

        return spawn(f"{self.kind.name}-{job}", forever)


@dataclass(eq=False, slots=True)
class _Run:
    """The state of one start: its number, its threads and the events that end their waits.

    `watches`, `threads` (the worker's) and `watching` (the watches') are complete once `started` is set.
    `back_by` is the monotonic time by which the worker's thread should return from its wait.
    """

    number: int
    wake: threading.Event
    sink: RunSink[Any]
    watches: tuple[Watch, ...] = ()
    started: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    watching: list[threading.Thread] = field(default_factory=list)
    attempt: CurrentAttempt = field(default_factory=CurrentAttempt)
    back_by: float = float("inf")
