"""The system's clock, and the deadline of an attempt."""

from __future__ import annotations

import threading
import time

import pytest

from alert_refresh.engine import Deadline, Stopping, SystemClock, Transient
from tests.fakes import FakeClock


def test_a_deadline_counts_down_and_then_is_a_transient_timeout() -> None:
    clock = FakeClock()
    deadline = Deadline(clock, 30)
    assert deadline.check() == 30
    clock.advance(29)
    assert deadline.check() == deadline.remaining() == 1
    clock.advance(1)
    with pytest.raises(Transient, match="did not end within 30 s") as raised:
        deadline.check()
    assert raised.value.error_type == "timeout"
    clock.advance(1)
    assert deadline.remaining() == -1


def test_the_system_clock_returns_the_machine_s_time() -> None:
    clock = SystemClock()
    assert abs(clock.time() - time.time()) < 5
    assert 0 <= clock.monotonic() - time.monotonic() + 5 <= 10
    event = threading.Event()
    assert clock.wait(event, 0) is False
    event.set()
    assert clock.wait(event, None) is True


def test_the_fake_clock_wakes_those_whose_time_has_come_and_no_others() -> None:
    clock, woken = FakeClock(), []
    events = {seconds: threading.Event() for seconds in (1, 2, 3)}

    def sleep(seconds: int) -> None:
        woken.append((seconds, clock.wait(events[seconds], seconds)))

    threads = [threading.Thread(target=sleep, args=(seconds,)) for seconds in events]
    for thread in threads:
        thread.start()
    for seconds in events:
        clock.wait_for_sleeper(seconds)
    clock.advance(1)
    threads[0].join()
    events[3].set()
    threads[2].join()
    assert woken == [(1, False), (3, True)]
    clock.advance(1)
    threads[1].join()
    assert woken[-1] == (2, False)
    assert clock.sleeping() == []


def test_two_threads_may_sleep_on_one_event_of_the_fake_clock() -> None:
    clock, event = FakeClock(), threading.Event()
    threads = [threading.Thread(target=clock.wait, args=(event, seconds)) for seconds in (1, 2)]
    for thread in threads:
        thread.start()
    clock.wait_for_sleeper(1)
    clock.wait_for_sleeper(2)
    clock.advance(1)
    threads[0].join()
    clock.advance(1)
    threads[1].join()
    assert clock.sleeping() == []


def test_the_fake_clock_says_when_no_thread_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(clock._changed, "wait_for", lambda found, timeout: found())
    with pytest.raises(AssertionError, match="nobody waits 5 s"):
        clock.wait_for_sleeper(5)


class TestWaitingInAnAttempt:
    def test_it_waits_for_the_seconds(self) -> None:
        clock = FakeClock()
        deadline = Deadline(clock, 30)
        thread = threading.Thread(target=deadline.wait, args=(5,))
        thread.start()
        clock.wait_for_sleeper(5)
        clock.advance(5)
        thread.join(20)
        assert not thread.is_alive()

    def test_it_ends_with_the_deadline(self) -> None:
        clock = FakeClock()
        deadline = Deadline(clock, 3)
        raised: list[str] = []

        def wait() -> None:
            with pytest.raises(Transient) as error:
                deadline.wait(5)
            raised.append(error.value.error_type)

        thread = threading.Thread(target=wait)
        thread.start()
        clock.wait_for_sleeper(3)
        clock.advance(3)
        thread.join(20)
        assert raised == ["timeout"]
        with pytest.raises(Transient):
            deadline.wait(0)

    def test_it_ends_immediately_when_the_worker_stops(self) -> None:
        deadline = Deadline(SystemClock(), 3600)
        deadline.stopping = threading.Event()
        threading.Timer(0, deadline.stopping.set).start()
        with pytest.raises(Stopping):
            deadline.wait(3000)
