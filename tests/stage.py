"""One worker under test: a clock to advance, a source whose calls are held and released, and all outcomes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Deadline, Kind, RefreshSettings, Request, ShutdownTimeout, Snapshot, Worker
from tests.fakes import FakeClock, FakeSource, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from alert_refresh.engine import Clock, Outcome, Sink, Source, Status, Watch

KIND = Kind("fake", "FAKE_", ("network", "timeout", "unknown"))
HANG_GUARD = 60.0
"""Real seconds after which a wait in a test fails; no passing test waits that long."""


def eventually(condition: Callable[[], object], what: str = "it") -> None:
    """Wait for something that another thread is about to do."""
    until = time.monotonic() + HANG_GUARD
    while not condition():
        assert time.monotonic() < until, f"{what} never happened"
        time.sleep(0.0005)


class HeldCall:
    """One call of `GatedSource.refresh` that waits to be released."""

    def __init__(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> None:
        self.previous = previous
        self.request = request
        self.deadline = deadline
        self._answer: Snapshot[str] | BaseException | None = None
        self._go = threading.Event()

    @property
    def answered(self) -> bool:
        """Whether it was released; it may take a moment to return."""
        return self._go.is_set()

    def answer(self, answer: Snapshot[str] | BaseException | None = None) -> None:
        """Make the call return a snapshot (a new one if none is given) or raise."""
        self._answer = answer
        self._go.set()

    def wait(self, default: Snapshot[str]) -> Snapshot[str]:
        assert self._go.wait(HANG_GUARD * 2), "this call was not released"
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer or default


class GatedSource:
    """A source whose every call blocks until the test answers it."""

    name = "gated"

    def __init__(self) -> None:
        self.calls = 0
        self.closed = 0
        self.open = False
        self.held: list[HeldCall] = []
        self._changed = threading.Condition()

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[str]:
        call = HeldCall(previous, request, deadline)
        with self._changed:
            self.calls += 1
            number = self.calls
            self.held.append(call)
            if self.open:
                call.answer()
            self._changed.notify_all()
        try:
            return call.wait(snapshot(f"version-{number}"))
        finally:
            with self._changed:
                self.held.remove(call)
                self._changed.notify_all()

    def wait_for_call(self, number: int) -> HeldCall:
        """The call with that number (from 1), once it is held."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.calls >= number and bool(self.held), HANG_GUARD), "no call came"
            return self.held[-1]

    def release_all(self, for_good: bool = False) -> None:
        """Answer all held calls, so that no thread is left; if `for_good`, later ones too."""
        with self._changed:
            self.open = for_good
            held = list(self.held)
        for call in held:
            call.answer()

    def watches(self, sink: Sink) -> Sequence[Watch]:
        return ()

    def close(self) -> None:
        self.closed += 1


class Stage:
    """A worker with a fake clock. Leaving its context stops the worker and releases every held call."""

    def __init__(
        self, source: Source[Any] | None = None, *, kind: Kind = KIND, clock: Clock | None = None, **settings: Any
    ) -> None:
        self.clock = FakeClock() if clock is None else clock
        self.source: Any = FakeSource() if source is None else source
        self.worker: Worker[Any] = Worker(kind, self.source, RefreshSettings(**settings), clock=self.clock)
        self.outcomes: list[Outcome] = []
        self.worker.listen(self.outcomes.append)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.halt()
        if isinstance(self.source, GatedSource):
            self.source.release_all(for_good=True)
        try:
            self.worker.stop(HANG_GUARD)
        except ShutdownTimeout:
            raise AssertionError("the worker's threads did not end") from None

    @property
    def fake(self) -> FakeClock:
        """The clock, which the test advances."""
        assert isinstance(self.clock, FakeClock)
        return self.clock

    @property
    def status(self) -> Status[Any]:
        return self.worker.get_status()

    def start(self) -> Self:
        """Start the worker; the start-up refresh runs now."""
        self.worker.start()
        return self

    def idle(self) -> Self:
        """Wait until the worker sleeps until its next tick, with no request left."""

        def asleep() -> bool:
            status = self.status
            if status.attempt is not None or status.pending is not None or status.next_attempt is not None:
                return False
            due = [at for at in (status.next_due, status.confirm_due) if at is not None]
            left = min(due, default=float("inf")) - self.clock.monotonic()
            return any(one == left or abs(one - left) < 1e-6 for one in self.fake.sleeping()) and self.status is status

        eventually(asleep, "idling")
        return self

    def backing_off(self, seconds: float) -> Self:
        """Wait until the worker sleeps between two attempts, for about this many seconds from now."""
        eventually(
            lambda: (
                self.status.next_attempt is not None and any(abs(one - seconds) < 1e-6 for one in self.fake.sleeping())
            ),
            f"a backoff of {seconds} s",
        )
        return self

    def pass_backoffs(self, *waits: float) -> Self:
        """Advance the clock through these backoffs, one after the other."""
        for seconds in waits:
            self.backing_off(seconds)
            self.fake.advance(seconds)
        return self
