"""Threads that die are heard, and queues that fill up do not hold anyone up."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from alert_refresh.engine import Deadline, Mailbox, SystemClock, Transient
from alert_refresh.engine.threads import Call, join, spawn
from tests.stage import eventually


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[threading.ExceptHookArgs]:
    """What `threading.excepthook` was told."""
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
    began = time.perf_counter()
    assert join([*late, quick], Deadline(SystemClock(), 0.1)) == late
    assert time.perf_counter() - began < 5
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
def test_p14_a_call_that_kills_its_thread_is_heard_and_is_a_failure(
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
    assert time.perf_counter() - began < 1
    assert box.dropped == 997
    gate.set()
    box.stop(30)
    assert got == [0, 1, 2, 3]


@pytest.mark.parametrize("death", [ValueError, MemoryError, SystemExit])
def test_p14_a_delivery_that_dies_is_heard_and_the_next_is_made(
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
    assert time.perf_counter() - began < 5
    gate.set()
    eventually(lambda: not [one for one in threading.enumerate() if one.name == "fake-box"], "the thread's end")
    assert got == [0]
    box.stop(0.05)


def test_deliveries_never_run_at_once() -> None:
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


def test_a_mailbox_that_empties_at_the_moment_it_is_given_up_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
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
