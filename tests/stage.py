"""One worker on a stage: a clock moved by hand, a source whose calls the test holds and lets go, and all outcomes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Deadline, Kind, RefreshSettings, Request, ShutdownTimeout, Snapshot, Worker
from tests.fakes import FakeClock, FakeSource, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alert_refresh.engine import Clock, Outcome, Sink, Source, Status, Watch

KIND = Kind("fake", "FAKE_", ("network", "timeout", "unknown"))
HANG_GUARD = 30.0
"""Real seconds after which a wait in a test has failed; nothing waits that long."""


def eventually(condition: Callable[[], object], what: str = "it") -> None:
    """Wait for something that another thread is about to do."""
    until = time.monotonic() + HANG_GUARD
    while not condition():
        assert time.monotonic() < until, f"{what} never happened"
        time.sleep(0.0005)


class HeldCall:
    """One call of `GatedSource.refresh` that waits to be let go."""

    def __init__(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> None:
        self.previous = previous
        self.request = request
        self.deadline = deadline
        self._answer: Snapshot[str] | BaseException | None = None
        self._go = threading.Event()

    @property
    def answered(self) -> bool:
        """Whether it was let go; it may take a moment to return."""
        return self._go.is_set()

    def answer(self, answer: Snapshot[str] | BaseException | None = None) -> None:
        """Let the call return a snapshot (a new one if none is given) or raise."""
        self._answer = answer
        self._go.set()

    def wait(self, default: Snapshot[str]) -> Snapshot[str]:
        assert self._go.wait(HANG_GUARD * 2), "nobody let this call go"
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
        """The call of that number (from 1), once it has come and is held."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.calls >= number and bool(self.held), HANG_GUARD), "no call came"
            return self.held[-1]

    def release_all(self, for_good: bool = False) -> None:
        """Answer whatever is still held, so that no thread is left; if `for_good`, whatever comes later too."""
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
    """A worker with a fake clock. Leaving it as a context stops the worker and lets every held call go."""

    def __init__(
        self, source: Source[Any] | None = None, *, kind: Kind = KIND, clock: Clock | None = None, **settings: Any
    ) -> None:
        self.clock = FakeClock() if clock is None else clock
        self.source: Any = FakeSource() if source is None else source
        self.worker: Worker[Any] = Worker(kind, self.source, RefreshSettings(**settings), clock=self.clock)
        self.outcomes: list[Outcome] = []
        self.worker.listen(self.outcomes.append)

    def __enter__(self) -> Stage:
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
        """The clock, to be moved by hand."""
        assert isinstance(self.clock, FakeClock)
        return self.clock

    @property
    def status(self) -> Status[Any]:
        return self.worker.get_status()

    def start(self) -> Stage:
        """Start the worker; the start-up refresh runs now."""
        self.worker.start()
        return self

    def idle(self) -> Stage:
        """Wait until the worker sleeps until its next tick, everything that was asked for being done."""

        def asleep() -> bool:
            status = self.status
            if status.attempt is not None or status.pending is not None or status.next_attempt is not None:
                return False
            left = float("inf") if status.next_due is None else status.next_due - self.clock.monotonic()
            return any(one == left or abs(one - left) < 1e-6 for one in self.fake.sleeping()) and self.status is status

        eventually(asleep, "idling")
        return self

    def backing_off(self, seconds: float) -> Stage:
        """Wait until the worker sleeps between two attempts, for about so many seconds from now."""
        eventually(
            lambda: (
                self.status.next_attempt is not None and any(abs(one - seconds) < 1e-6 for one in self.fake.sleeping())
            ),
            f"a backoff of {seconds} s",
        )
        return self

    def pass_backoffs(self, *waits: float) -> Stage:
        """Sit out these backoffs, one after the other."""
        for seconds in waits:
            self.backing_off(seconds)
            self.fake.advance(seconds)
        return self
