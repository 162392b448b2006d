"""Creates all threads: an exception that ends one is always reported, and one that hangs can be abandoned."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from alert_refresh.engine.clock import Deadline, SystemClock
from alert_refresh.engine.errors import Transient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class Thread(threading.Thread):
    """A thread that records a failure during its start: when out of memory, `start` would otherwise wait forever."""

    stillborn = False

    def _bootstrap_inner(self) -> None:
        try:
            super()._bootstrap_inner()  # type: ignore[misc]  # these are private to `threading`
        finally:
            if not self._started.is_set():  # type: ignore[attr-defined]
                self.stillborn = True
                threading._limbo.pop(self, None)  # type: ignore[attr-defined]
                self._started.set()  # type: ignore[attr-defined]


def spawn(name: str, target: Callable[[], None]) -> threading.Thread:
    """Start a daemon thread with that name.

    Raises:
        RuntimeError, MemoryError: the thread could not be started.
    """
    thread = Thread(target=target, name=name, daemon=True)
    thread.start()
    if thread.stillborn:
        raise MemoryError("the thread failed to start")
    return thread


def join(threads: Sequence[threading.Thread], deadline: Deadline) -> list[threading.Thread]:
    """Wait until the deadline for these threads, except the current one, to end; returns those that did not."""
    others = [thread for thread in threads if thread is not threading.current_thread()]
    for thread in others:
        thread.join(max(0.0, deadline.remaining()))
    return [thread for thread in others if thread.is_alive()]


def report_death() -> None:
    """Pass the current exception to `threading.excepthook`, as if it had ended the thread."""
    threading.excepthook(threading.ExceptHookArgs([*sys.exc_info(), threading.current_thread()]))


def completed(call: Callable[[], None]) -> bool:
    """Make a call; False if it raised, which is reported to `threading.excepthook`. Raises SystemExit only."""
    try:
        call()
    except SystemExit:
        raise
    except BaseException:
        report_death()
        return False
    return True


class Call(Generic[T]):
    """A call made in one thread whose result another thread takes; `ended` is set when it has ended or is abandoned."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._answer: Callable[[], T] | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        """Make the call. Raises nothing: the exception is the result, or reported if it would end the thread."""
        try:
            value = self._call()
            self._answer = lambda: value
        except Exception as error:
            self._answer = _raiser(error)
        except BaseException as error:
            report_death()
            self._answer = _raiser(Transient(f"the attempt was ended by {type(error).__name__}"))
        finally:
            self.ended.set()

    @property
    def answered(self) -> bool:
        """Whether the call has ended, so that `result` may be called."""
        return self._answer is not None

    def result(self) -> T:
        """Return what the call returned, or raise what it raised."""
        assert self._answer is not None
        return self._answer()


def _raiser(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


class Mailbox(Generic[T]):
    """A bounded queue and one thread that delivers its items: `put` never blocks; items that do not fit are counted.

    For anything slow (a log pipe, a notification, a disk) that must not delay a refresh or a response.
    """

    def __init__(self, name: str, deliver: Callable[[T], None], size: int) -> None:
        self._name = name
        self._deliver = deliver
        self._queue: queue.Queue[T | None] = queue.Queue(size)
        self._thread: threading.Thread | None = None
        self._abandoned = False
        self.dropped = 0

    def start(self) -> None:
        """Start delivering, including the items put before."""
        self._thread = spawn(self._name, self._run)

    def put(self, item: T) -> None:
        """Queue an item; it is dropped and counted if the queue is full."""
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self.dropped += 1

    def stop(self, timeout: float) -> None:
        """Deliver the queued items, for at most `timeout` seconds, and end the thread.

        A delivery that hangs is abandoned, and the items after it are dropped. Cannot be started again.
        """
        if self._thread is None:
            return
        deadline = Deadline(SystemClock(), timeout)
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=timeout)
        if join([self._thread], deadline):
            self._abandoned = True
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(None)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None and not self._abandoned:
            try:
                self._deliver(item)
            except BaseException:
                report_death()


class Pool:
    """At most `size` threads that make calls, each created when a call finds all others busy.

    `submit`, `done` and `busy` may be used only by the thread that owns the pool. A call that raises is reported.
    """

    def __init__(self, name: str, size: int) -> None:
        self.size = size
        self.busy = 0
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # The first is created here, so that every call is made eventually, even when no other thread can be started.
        self._threads = [spawn(f"{name}-1", self._run)]

    @property
    def full(self) -> bool:
        """Whether a further call would wait for a thread."""
        return self.busy >= self.size

    def submit(self, call: Callable[[], None]) -> None:
        """Queue a call for the next free thread."""
        self.busy += 1
        self._calls.put(call)
        if len(self._threads) < min(self.busy, self.size):
            # If no thread can be started, the call waits for an existing one.
            with contextlib.suppress(RuntimeError, MemoryError):
                self._threads.append(spawn(f"{self._name}-{len(self._threads) + 1}", self._run))

    def done(self) -> None:
        """Note that a call has ended."""
        self.busy -= 1

    def stop(self) -> None:
        """End the threads after the queued calls."""
        for _ in self._threads:
            self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except BaseException:
                report_death()
