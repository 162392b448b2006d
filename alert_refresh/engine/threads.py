"""Where threads are born: one that dies is never silent, one that hangs can be left behind."""

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
    """A thread that says so when it ends before it began: with no memory left, `start` would wait for it for ever."""

    stillborn = False

    def _bootstrap_inner(self) -> None:
        try:
            super()._bootstrap_inner()  # type: ignore[misc]
        finally:
            if not self._started.is_set():  # type: ignore[attr-defined]
                self.stillborn = True
                threading._limbo.pop(self, None)  # type: ignore[attr-defined]
                self._started.set()  # type: ignore[attr-defined]


def spawn(name: str, target: Callable[[], None]) -> threading.Thread:
    """Start a daemon thread of that name.

    Raises:
        RuntimeError, MemoryError: the system could not start one.
    """
    thread = Thread(target=target, name=name, daemon=True)
    thread.start()
    if thread.stillborn:
        raise MemoryError("the thread ended before it began")
    return thread


def join(threads: Sequence[threading.Thread], deadline: Deadline) -> list[threading.Thread]:
    """Wait for other threads to end, all together until the deadline; returns those that did not."""
    others = [thread for thread in threads if thread is not threading.current_thread()]
    for thread in others:
        thread.join(max(0.0, deadline.remaining()))
    return [thread for thread in others if thread.is_alive()]


def report_death() -> None:
    """Give the exception being handled to `threading.excepthook`, as if the thread had died of it."""
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
    """A call made in one thread whose result another takes; `ended` is set when it is over or given up."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._answer: Callable[[], T] | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        """Make the call; raises nothing, so that a thread never ends unheard."""
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
        """Whether there is a result to take."""
        return self._answer is not None

    def result(self) -> T:
        """What the call returned; raises what it raised."""
        assert self._answer is not None
        return self._answer()


def _raiser(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


class Mailbox(Generic[T]):
    """A bounded queue with one thread that delivers: `put` never blocks, and what does not fit is counted.

    For whatever may be slow (a log pipe, a notification, a disk) and must not hold up a refresh or an answer.
    """

    def __init__(self, name: str, deliver: Callable[[T], None], size: int) -> None:
        self._name = name
        self._deliver = deliver
        self._queue: queue.Queue[T | None] = queue.Queue(size)
        self._thread: threading.Thread | None = None
        self._abandoned = False
        self.dropped = 0

    def start(self) -> None:
        """Start delivering; what was put before is delivered too."""
        self._thread = spawn(self._name, self._run)

    def put(self, item: T) -> None:
        """Hand over an item; it is dropped and counted if the queue is full."""
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self.dropped += 1

    def stop(self, timeout: float) -> None:
        """Deliver what is queued, for at most `timeout` seconds, and end the thread.

        A delivery that hangs is left behind; what is queued after it is dropped. Cannot be started again.
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
    """At most `size` threads that make calls, each born when a call finds all others busy.

    `submit`, `done` and `busy` are for one thread, the one that owns the pool. A call that raises is reported.
    """

    def __init__(self, name: str, size: int) -> None:
        self.size = size
        self.busy = 0
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # One is there from the beginning, so that a call always finds a thread in the end.
        self._threads = [spawn(f"{name}-1", self._run)]

    @property
    def full(self) -> bool:
        """Whether a further call would wait for a thread."""
        return self.busy >= self.size

    def submit(self, call: Callable[[], None]) -> None:
        """Have a thread make this call, when one is free."""
        self.busy += 1
        self._calls.put(call)
        if len(self._threads) < min(self.busy, self.size):
            # Without memory for another thread the call waits for one of those that are there.
            with contextlib.suppress(RuntimeError, MemoryError):
                self._threads.append(spawn(f"{self._name}-{len(self._threads) + 1}", self._run))

    def done(self) -> None:
        """Note that a call has ended."""
        self.busy -= 1

    def stop(self) -> None:
        """End the threads once the calls before are made."""
        for _ in self._threads:
            self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except BaseException:
                report_death()
