"""Test doubles: a clock that tests advance, and a scripted source."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Deadline, Request, Sink, Snapshot, Trigger, Watch, WatchHealth
from alert_refresh.engine.guard.ruling import Ruling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START = 1_700_000_000.0


def ruled(found: Snapshot[Any] | None) -> Ruling[Any] | None:
    """A snapshot that no guard looked at, as the state takes it."""
    return None if found is None else Ruling(found, found)


class FakeClock:
    """A clock that stands still until `advance`, which wakes the threads whose wait has ended."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self.wall_offset = START
        self._changed = threading.Condition()
        self._waiting: dict[object, tuple[threading.Event, float]] = {}

    def monotonic(self) -> float:
        return self._elapsed

    def time(self) -> float:
        return self.wall_offset + self._elapsed

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        until = float("inf") if seconds is None else self._elapsed + seconds
        condition: threading.Condition = event._cond  # type: ignore[attr-defined]  # private to `threading`
        sleeper = object()
        with self._changed:
            self._waiting[sleeper] = (event, until)
            self._changed.notify_all()
        try:
            with condition:
                while not event._flag and self._elapsed < until:  # type: ignore[attr-defined]  # private to `threading`
                    condition.wait(30)
            return event.is_set()
        finally:
            with self._changed:
                del self._waiting[sleeper]
                self._changed.notify_all()

    def advance(self, seconds: float) -> None:
        """Advance by `seconds` and wake the threads whose wait has ended."""
        with self._changed:
            self._elapsed += seconds
            events = [event for event, _ in self._waiting.values()]
        for event in events:
            condition: threading.Condition = event._cond  # type: ignore[attr-defined]  # private to `threading`
            with condition:
                condition.notify_all()

    def sleeping(self) -> list[float]:
        """How long each sleeping thread will wait, in seconds from now; one that is about to wake is not asleep."""
        with self._changed:
            return [
                until - self._elapsed
                for event, until in self._waiting.values()
                if until > self._elapsed and not event.is_set()
            ]

    def wait_for_sleeper(self, seconds: float | None = None) -> float:
        """Block until a thread waits (for about `seconds` from now, if given); returns how long it will wait."""

        def found() -> list[float]:
            return [one for one in self.sleeping() if seconds is None or one == seconds or abs(one - seconds) < 1e-6]

        with self._changed:
            if not self._changed.wait_for(lambda: bool(found()), timeout=30):
                raise AssertionError(f"nobody waits {seconds} s; waits now: {self.sleeping()}")
            return found()[0]


class FakeWatch(Watch):
    """A watch that does nothing until stopped."""

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def run(self) -> None:
        self.stopped.wait(30)

    def stop(self) -> None:
        self.stopped.set()


class LivingWatch(FakeWatch):
    """A watch with a connection, whose health is `mine`."""

    def __init__(self, mine: WatchHealth) -> None:
        super().__init__()
        self.mine = mine

    def health(self) -> WatchHealth:
        return self.mine


class FakeSink:
    """A sink for a watch; `notify` is given by the test."""

    def __init__(self, notify: Callable[[Trigger], None] = lambda trigger: None) -> None:
        self._notify = notify
        self.snapshot: Snapshot[Any] | None = None

    def notify(self, trigger: Trigger) -> None:
        self._notify(trigger)

    def current(self) -> Snapshot[Any] | None:
        return self.snapshot

    def publish(self, snapshot: Snapshot[Any], expected: Snapshot[Any] | None, seen_at: float | None = None) -> bool:
        if self.snapshot is not expected:
            return False
        self.snapshot = snapshot
        return True


class FakeSource:
    """Returns what `answer` returns; counts calls, and the maximum that ran concurrently."""

    name = "fake"

    def __init__(self, answer: Callable[[int], Snapshot[str]] | None = None) -> None:
        self.answer = answer or (lambda n: snapshot(f"version-{n}"))
        self.calls = 0
        self.running = 0
        self.most_at_once = 0
        self.requests: list[Request] = []
        self.previous: list[Snapshot[Any] | None] = []
        self.closed = 0
        self._guard = threading.Lock()
        self.sink: Sink | None = None
        self.make_watches: Callable[[Sink], Sequence[Watch]] = lambda sink: ()

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[str]:
        with self._guard:
            self.calls += 1
            self.running += 1
            number = self.calls
            self.most_at_once = max(self.most_at_once, self.running)
            self.requests.append(request)
            self.previous.append(previous)
        try:
            return self.answer(number)
        finally:
            with self._guard:
                self.running -= 1

    def watches(self, sink: Sink) -> Sequence[Watch]:
        self.sink = sink
        return self.make_watches(sink)

    def close(self) -> None:
        self.closed += 1


def snapshot(content: str = "one", **items: str) -> Snapshot[str]:
    """A snapshot whose digest is its content."""
    return Snapshot(items=items or {"item": content}, digest=content)
