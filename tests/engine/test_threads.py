"""Threads that die are reported, and full queues do not block."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import Any

import pytest

from alert_refresh.engine import Deadline, Mailbox, SystemClock, Transient
from alert_refresh.engine.threads import Call, Pool, Thread, completed, join, spawn
from tests.stage import eventually


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[threading.ExceptHookArgs]:
    """The calls of `threading.excepthook`."""
    heard: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", heard.append)
    return heard


def wait_for(event: threading.Event) -> None:
    assert event.wait(30)


def test_spawned_threads_are_named_daemons() -> None:
    event = threading.Event()
    thread = spawn("fake-job", lambda: wait_for(event))
    assert (thread.name, thread.daemon) == ("fake-job", True)
    event.set()
    thread.join()


def test_join_waits_for_all_under_one_deadline_and_names_the_late() -> None:
    event = threading.Event()
    late = [spawn("fake-late", lambda: wait_for(event)) for _ in range(3)]
    quick = spawn("fake-quick", lambda: None)
    quick.join()
    began = time.perf_counter()
    assert join([*late, quick], Deadline(SystemClock(), 0.1)) == late
    assert time.perf_counter() - began < 15
    event.set()
    assert join(late, Deadline(SystemClock(), 30)) == []


def test_a_thread_does_not_wait_for_itself() -> None:
    assert join([threading.current_thread()], Deadline(SystemClock(), 30)) == []


def test_a_call_hands_over_its_value_or_its_error() -> None:
    call: Call[int] = Call(lambda: 5)
    assert not call.answered
    call.run()
    assert call.ended.is_set()
    assert call.result() == 5
    failing: Call[int] = Call(lambda: 1 // 0)
    failing.run()
    with pytest.raises(ZeroDivisionError):
        failing.result()


@pytest.mark.parametrize("death", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_p14_a_call_that_kills_its_thread_is_reported_and_is_a_failure(
    death: type[BaseException], deaths: list[threading.ExceptHookArgs]
) -> None:
    def die() -> int:
        raise death

    call: Call[int] = Call(die)
    call.run()
    assert [one.exc_type for one in deaths] == [death]
    with pytest.raises(Transient, match=f"ended by {death.__name__}"):
        call.result()


def test_a_mailbox_delivers_in_order_what_was_put_before_and_after_start() -> None:
    got: list[int] = []
    box = Mailbox("fake-box", got.append, 10)
    box.put(1)
    box.start()
    box.put(2)
    box.stop(30)
    assert got == [1, 2]
    assert box.dropped == 0


def test_stopping_a_mailbox_that_never_started_does_nothing() -> None:
    Mailbox("fake-box", print, 1).stop(1)


def test_c12_a_full_mailbox_drops_and_counts_and_never_blocks() -> None:
    gate, got, busy = threading.Event(), [], threading.Event()

    def deliver(item: int) -> None:
        busy.set()
        gate.wait(30)
        got.append(item)

    box = Mailbox("fake-box", deliver, 3)
    box.start()
    box.put(0)
    busy.wait(30)
    began = time.perf_counter()
    for item in range(1, 1001):
        box.put(item)
    assert time.perf_counter() - began < 15
    assert box.dropped == 997
    gate.set()
    box.stop(30)
    assert got == [0, 1, 2, 3]


@pytest.mark.parametrize("death", [ValueError, MemoryError, SystemExit])
def test_p14_a_delivery_that_dies_is_reported_and_the_next_is_made(
    death: type[BaseException], deaths: list[threading.ExceptHookArgs]
) -> None:
    got: list[int] = []

    def deliver(item: int) -> None:
        if item == 1:
            raise death
        got.append(item)

    box = Mailbox("fake-box", deliver, 10)
    box.start()
    for item in range(3):
        box.put(item)
    box.stop(30)
    assert got == [0, 2]
    assert [one.exc_type for one in deaths] == [death]


@pytest.mark.parametrize("more", [0, 1, 5])
def test_a_mailbox_whose_delivery_hangs_is_left_at_stop_and_its_thread_ends_with_the_delivery(more: int) -> None:
    gate, got, busy = threading.Event(), [], threading.Event()

    def deliver(item: int) -> None:
        busy.set()
        gate.wait(30)
        got.append(item)

    box = Mailbox("fake-box", deliver, 5)
    box.start()
    box.put(0)
    busy.wait(30)
    for item in range(more):
        box.put(item)
    began = time.perf_counter()
    box.stop(0.05)
    assert time.perf_counter() - began < 15
    gate.set()
    eventually(lambda: not [one for one in threading.enumerate() if one.name == "fake-box"], "the thread's end")
    assert got == [0]
    box.stop(0.05)


def test_deliveries_never_run_concurrently() -> None:
    running: list[int] = []
    most = 0

    def deliver(item: Any) -> None:
        nonlocal most
        running.append(item)
        most = max(most, len(running))
        running.remove(item)

    box = Mailbox("fake-box", deliver, 10_000)
    box.start()

    def put() -> None:
        for number in range(200):
            box.put(number)

    threads = [threading.Thread(target=put) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    box.stop(30)
    assert most == 1


def test_a_mailbox_that_empties_at_the_moment_it_is_abandoned_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, busy = threading.Event(), threading.Event()
    got: list[int] = []

    def deliver(item: int) -> None:
        busy.set()
        gate.wait(30)
        got.append(item)

    def too_late(threads: list[threading.Thread], _: Deadline) -> list[threading.Thread]:
        gate.set()
        eventually(lambda: len(got) == 2, "the last delivery")
        return threads

    box = Mailbox("fake-box", deliver, 1)
    box.start()
    box.put(0)
    busy.wait(30)
    box.put(1)
    monkeypatch.setattr("alert_refresh.engine.threads.join", too_late)
    box.stop(0.01)
    eventually(lambda: not [one for one in threading.enumerate() if one.name == "fake-box"], "the thread's end")


def out_of_memory(*_: object, **__: object) -> None:
    raise MemoryError


def no_more_threads(*_: object, **__: object) -> None:
    raise RuntimeError("can't start new thread")


STARTER = next(one for one in ("_start_new_thread", "_start_joinable_thread") if hasattr(threading, one))
NO_THREAD = {
    "the system refuses": (f"threading.{STARTER}", no_more_threads, RuntimeError),
    "no memory to start it": (f"threading.{STARTER}", out_of_memory, MemoryError),
    "no memory in the new thread": ("threading.Thread._set_ident", out_of_memory, MemoryError),
}


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> list[sys.UnraisableHookArgs]:
    """The calls of `sys.unraisablehook`, where a thread that fails to start is reported."""
    heard: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    return heard


@pytest.mark.parametrize("case", NO_THREAD)
def test_p17_a_thread_that_cannot_start_is_an_error_and_is_not_waited_for(
    case: str, monkeypatch: pytest.MonkeyPatch, unheard: list[sys.UnraisableHookArgs]
) -> None:
    where, failure, kind = NO_THREAD[case]
    called = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(where, failure)
        with pytest.raises(kind):
            spawn("fake-job", called.set)
    assert not called.is_set()
    spawn("fake-job", called.set).join()
    assert called.is_set()


def test_a_call_reports_whether_it_completed_and_what_it_raised_is_reported(
    deaths: list[threading.ExceptHookArgs],
) -> None:
    assert completed(lambda: None)
    for error in (ValueError, MemoryError, KeyboardInterrupt):

        def fail(error: type[BaseException] = error) -> None:
            raise error

        assert not completed(fail)
        assert deaths[-1].exc_type is error
    with pytest.raises(SystemExit):
        completed(lambda: sys.exit(3))
    assert len(deaths) == 3


class Held:
    """Calls that wait to be released, and how many are running."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.running = threading.Semaphore(0)
        self.threads: list[str] = []

    def __call__(self) -> None:
        self.threads.append(threading.current_thread().name)
        self.running.release()
        assert self.gate.wait(30)

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.running.acquire(timeout=30)


def test_a_pool_has_a_thread_for_each_call_up_to_its_size_and_the_rest_waits() -> None:
    held, pool = Held(), Pool("fake-pool", 3)
    for count in range(1, 6):
        assert pool.full == (count > 3)
        pool.submit(held)
    held.wait_for(3)
    assert pool.busy == 5
    assert sorted(held.threads) == ["fake-pool-1", "fake-pool-2", "fake-pool-3"]
    held.gate.set()
    held.wait_for(2)
    for _ in range(5):
        pool.done()
    assert (pool.busy, pool.full) == (0, False)
    pool.stop()


def test_a_pool_uses_the_threads_it_has_before_it_starts_more() -> None:
    pool, names = Pool("fake-pool", 5), set()
    for _ in range(20):
        ended = threading.Event()

        def call(ended: threading.Event = ended) -> None:
            names.add(threading.current_thread().name)
            ended.set()

        pool.submit(call)
        wait_for(ended)
        pool.done()
    assert names == {"fake-pool-1"}
    pool.stop()


@pytest.mark.parametrize("death", [ValueError, MemoryError, SystemExit])
def test_p14_a_call_in_a_pool_that_dies_is_reported_and_the_thread_continues(
    death: type[BaseException], deaths: list[threading.ExceptHookArgs]
) -> None:
    def die() -> None:
        raise death

    pool, after = Pool("fake-pool", 1), threading.Event()
    pool.submit(die)
    pool.submit(after.set)
    wait_for(after)
    assert [one.exc_type for one in deaths] == [death]
    pool.stop()


@pytest.mark.parametrize("failure", [no_more_threads, out_of_memory])
def test_p17_without_memory_for_another_thread_a_call_waits_for_one_that_is_there(
    failure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, pool, ended = Held(), Pool("fake-pool", 3), threading.Event()
    pool.submit(held)
    held.wait_for(1)
    with monkeypatch.context() as patch:
        patch.setattr("alert_refresh.engine.threads.spawn", failure)
        pool.submit(ended.set)
    assert not ended.is_set()
    held.gate.set()
    wait_for(ended)
    pool.submit(held)
    held.wait_for(1)
    pool.stop()


@pytest.mark.parametrize("begins", [True, False])
def test_a_thread_that_ends_before_it_began_says_so(monkeypatch: pytest.MonkeyPatch, begins: bool) -> None:
    """In this thread, since coverage does not measure the first steps of another one."""

    def bootstrap(thread: Thread) -> None:
        if begins:
            thread._started.set()  # type: ignore[attr-defined]  # private to `threading`
        else:
            raise MemoryError

    monkeypatch.setattr(threading.Thread, "_bootstrap_inner", bootstrap)
    thread = Thread(target=print)
    with contextlib.suppress(MemoryError):
        thread._bootstrap_inner()
    assert thread._started.is_set()  # type: ignore[attr-defined]  # private to `threading`
    assert thread.stillborn is not begins
