"""Many concurrent threads, and generated orders of events."""

from __future__ import annotations

import faulthandler
import gc
import random
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.credential import Credential
from alert_refresh.engine import (
    AlreadyStarted,
    Interval,
    Kind,
    Limits,
    Mailbox,
    NotStarted,
    Outcome,
    Permanent,
    RateLimitExceeded,
    RefreshError,
    RefreshInProgress,
    Request,
    Result,
    ShutdownTimeout,
    Snapshot,
    Transient,
    Trigger,
    Worker,
)
from alert_refresh.engine.guard.ruling import Guard
from alert_refresh.engine.refresher import Listeners, Refresher
from alert_refresh.engine.retry import RetryPolicy
from alert_refresh.engine.state import RefreshState
from alert_refresh.observe.notify import NotifySettings
from alert_refresh.observe.notify.notifier import Notifier
from tests.fakes import FakeClock, FakeSource, snapshot
from tests.observe.notify.hooks import Hook, hang
from tests.stage import GatedSource, Stage, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alert_refresh.engine import Status


@contextmanager
def switching_often() -> Iterator[None]:
    """Make the interpreter switch threads after nearly every instruction."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def dump_if_stuck() -> Iterator[None]:
    """Dump the stacks of all threads if this takes so long that it must be a deadlock."""
    faulthandler.dump_traceback_later(120)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def in_threads(count: int, run: Callable[[], None]) -> None:
    """Run the same in many threads, and raise what any of them raised."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            run()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def refresh_now(worker: Worker[Any]) -> Request | type[RefreshError]:
    """Request a refresh; returns the request, or the class of the refusal."""
    try:
        return worker.refresh_now()
    except RefreshError as refusal:
        return type(refusal)


@pytest.mark.no_cover
def test_c01_of_a_thousand_parallel_refreshes_exactly_one_is_accepted_in_each_of_twenty_rounds() -> None:
    rounds, parallel = 20, 1000
    with Stage(GatedSource(), rate_limit=0).start() as stage, dump_if_stuck():
        stage.source.wait_for_call(1).answer()
        stage.idle()
        answers: list[list[Request | type[RefreshError]]] = [[] for _ in range(rounds)]
        ready, asked = threading.Barrier(parallel + 1), threading.Barrier(parallel + 1)

        def ask() -> None:
            for answer in answers:
                ready.wait()
                answer.append(refresh_now(stage.worker))
                asked.wait()

        asking = [threading.Thread(target=ask) for _ in range(parallel)]
        for thread in asking:
            thread.start()
        for number in range(rounds):
            ready.wait()
            asked.wait()
            stage.source.wait_for_call(number + 2).answer()
            stage.idle()
        for thread in asking:
            thread.join()
        for answer in answers:
            assert len(answer) == parallel
            assert sum(isinstance(one, Request) for one in answer) == 1
            assert {one for one in answer if not isinstance(one, Request)} == {RefreshInProgress}
        assert stage.source.calls == 1 + rounds
        assert stage.status.succeeded == 1 + rounds


def test_c01_with_a_rate_limit_the_rest_is_refused_for_one_reason_or_the_other() -> None:
    with Stage().start().idle() as stage, switching_often(), dump_if_stuck():
        for _ in range(20):
            barrier = threading.Barrier(50)
            answers: list[Any] = []

            def ask(barrier: threading.Barrier = barrier, answers: list[Any] = answers) -> None:
                barrier.wait()
                answers.append(refresh_now(stage.worker))

            in_threads(50, ask)
            assert sum(isinstance(one, Request) for one in answers) == 1
            assert set(map(type, answers)) <= {Request, type}
            assert {one for one in answers if isinstance(one, type)} <= {RefreshInProgress, RateLimitExceeded}
            stage.idle()
            stage.fake.advance(60)
            stage.idle()
        manual = [outcome for outcome in stage.outcomes if outcome.trigger is Trigger.MANUAL]
        assert len(manual) == 20


def test_c02_a_refresh_at_the_very_moment_of_a_tick_never_runs_beside_it() -> None:
    chance = random.Random(2)
    with Stage(rate_limit=0, interval=10, warmup=0).start().idle() as stage, switching_often(), dump_if_stuck():
        accepted = ticks = 0
        go, done = threading.Barrier(2), threading.Barrier(2)
        answer: list[Request | type[RefreshError]] = []

        def ask() -> None:
            for _ in range(1000):
                go.wait()
                for _ in range(chance.randrange(60)):
                    pass
                answer.append(refresh_now(stage.worker))
                done.wait()

        asking = threading.Thread(target=ask)
        asking.start()
        for _ in range(1000):
            assert stage.status.next_due is not None
            before = chance.choice([0.0, chance.uniform(0, 9)])
            stage.fake.advance(before)
            left = stage.status.next_due - stage.fake.monotonic()
            go.wait()
            stage.fake.advance(left)
            ticks += 1
            done.wait()
            stage.idle()
            accepted += isinstance(answer[-1], Request)
            assert isinstance(answer[-1], Request) or answer[-1] is RefreshInProgress
        asking.join()
        assert stage.source.most_at_once == 1
        assert accepted > 100
        assert max(accepted, ticks) <= stage.source.calls - 1 <= accepted + ticks
        manual = {outcome.request_id for outcome in stage.outcomes if outcome.trigger is Trigger.MANUAL}
        assert len(manual) == accepted  # every accepted one ran, as one cycle of its own
        assert all(one.done.is_set() for one in answer if isinstance(one, Request))


def test_c03_refusals_use_no_quota_and_the_limit_is_exact() -> None:
    with Stage(GatedSource()).start() as stage:
        stage.source.wait_for_call(1)
        for _ in range(10):
            assert refresh_now(stage.worker) is RefreshInProgress
        stage.source.held[0].answer()
        stage.idle()
        assert isinstance(refresh_now(stage.worker), Request)
        stage.source.wait_for_call(2).answer()
        stage.idle()
        for _ in range(10):
            assert refresh_now(stage.worker) is RateLimitExceeded
        stage.fake.advance(30)
        stage.source.wait_for_call(3).answer()  # the tick at 30 s
        stage.idle().fake.advance(59.999 - stage.fake.monotonic())
        assert refresh_now(stage.worker) is RateLimitExceeded
        stage.fake.advance(60 - stage.fake.monotonic())
        assert isinstance(refresh_now(stage.worker), Request)


def is_consistent(status: Status[str], attempts: int, newest: int) -> tuple[int, int]:
    """Assert that all parts of a status fit together, and follow an earlier one; returns its two counts."""
    ended = status.succeeded + status.failed + status.cancelled
    assert ended >= attempts
    if status.snapshot is not None and status.last is not None:
        assert status.snapshot.generation >= newest
        newest = status.snapshot.generation
        assert status.last.generation == newest
        assert status.last.items == len(status.snapshot.items)
        assert {*status.snapshot.items.values()} == {status.snapshot.digest}
        assert (status.consecutive_failures > 0) == (status.last.result is Result.FAILED)
    return ended, newest


def read_while_swapping(swaps: int, reads: int) -> None:
    """Swap snapshots in one thread, read status in two, and check that every status is consistent.

    Two readers: more of them do not read more, since each switch of the GIL waits for all of them.
    """
    clock = FakeClock()
    state: RefreshState[str] = RefreshState("fake", clock, Interval(1e9), 0)
    run = state.open()

    def answer(number: int) -> Snapshot[str]:
        if number % 7 == 0:
            raise Permanent("every seventh", "network")
        return Snapshot(items={f"{number}-{i}": str(number) for i in range(number % 5 + 1)}, digest=str(number))

    unguarded: Guard[str] = Guard(None, Limits(), clock)
    about: dict[str, Any] = {"state": state, "guard": unguarded, "policy": RetryPolicy(0, 1, 1), "clock": clock}
    refresher: Refresher[str] = Refresher(source=FakeSource(answer), timeout=1, listeners=Listeners(), **about)
    enough = threading.Event()
    total = [0] * 2

    def write() -> None:
        for _ in range(swaps):
            state.offer(Trigger.WATCH)
            request = state.due(run)
            assert request is not None
            refresher.cycle(request, sleep=lambda _: None)
        enough.set()

    def read(reader: int) -> None:
        newest = attempts = 0
        while not (enough.is_set() and total[reader] >= reads // 2):
            attempts, newest = is_consistent(state.status(), attempts, newest)
            total[reader] += 1

    jobs = iter([write, *(lambda reader=reader: read(reader) for reader in range(2))])
    with switching_often(), dump_if_stuck():
        in_threads(3, lambda: next(jobs)())
    assert sum(total) >= reads
    assert state.status().succeeded + state.status().failed == swaps


@pytest.mark.no_cover
def test_c04_every_read_during_ten_thousand_swaps_fits_together() -> None:
    read_while_swapping(10_000, 100_000)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_c04_every_read_during_a_million_swaps_fits_together() -> None:
    read_while_swapping(1_000_000, 10_000_000)


def test_c05_a_failure_after_parsing_and_before_the_swap_changes_nothing_that_was_good() -> None:
    def answer(number: int) -> Snapshot[str]:
        fresh = snapshot(f"version-{number}")
        if number == 2:
            raise Permanent(f"validation of {len(fresh.items)} items failed", "validate")
        return fresh

    with Stage(FakeSource(answer)).start().idle() as stage:
        good = stage.status
        stage.fake.advance(30)
        bad = stage.idle().status
        assert bad.snapshot is good.snapshot is not None
        assert bad.last_success_at == good.last_success_at
        assert bad.last is not None and bad.last.result is Result.FAILED
        assert (bad.last.error_type, bad.last.generation) == ("validate", good.snapshot.generation)


def test_c06_start_beside_stop_ten_thousand_times_ends_whole() -> None:
    source = FakeSource()
    stage = Stage(source, clock=_real_clock())
    worker = stage.worker
    tally = {"started": 0, "already": 0}

    def both() -> None:
        for _ in range(1250):
            try:
                worker.start()
                tally["started"] += 1
            except AlreadyStarted:
                tally["already"] += 1
            worker.stop(30)

    with switching_often(), dump_if_stuck():
        in_threads(4, both)
    assert sum(tally.values()) == 5000
    assert tally["started"] > 50, "they hardly overlapped"
    assert tally["already"] > 100
    assert not worker.get_status().running
    assert source.most_at_once <= 1
    status = worker.get_status()
    assert status.succeeded + status.failed + status.cancelled == source.calls == len(stage.outcomes)
    eventually(lambda: not [one for one in threading.enumerate() if one.name.startswith("fake-")], "the threads' end")
    worker.start()
    eventually(lambda: worker.get_status().succeeded > status.succeeded)
    worker.stop(30)


def _real_clock() -> Any:
    from alert_refresh.engine import SystemClock

    return SystemClock()


def test_c06_stop_before_start_and_start_after_stop() -> None:
    with Stage() as stage:
        stage.worker.stop()
        for count in (1, 2, 3):
            stage.start().idle()
            with pytest.raises(AlreadyStarted):
                stage.worker.start()
            stage.worker.stop()
            stage.worker.stop()
            assert stage.source.calls == stage.source.closed == count


def test_c07_a_stop_during_a_publish_leaves_the_whole_new_or_the_whole_old() -> None:
    chance = random.Random(7)
    late = 0
    with Stage(GatedSource(), rate_limit=0) as stage, switching_often(), dump_if_stuck():
        for number in range(1, 301):
            old = stage.status
            stage.start()
            call = stage.source.wait_for_call(number)
            letting_go = threading.Thread(target=call.answer, args=(snapshot(str(number), a="x", b="y"),))
            letting_go.start()
            for _ in range(chance.randrange(200)):
                pass
            try:
                stage.worker.stop(30 if number % 3 == 0 else 0)
            except ShutdownTimeout:
                late += 1
            new = stage.status
            letting_go.join()
            eventually(lambda: not stage.source.held)
            assert stage.status is new, "something was published after stop"
            assert new.snapshot is old.snapshot or new.snapshot is not None
            if new.snapshot is not old.snapshot:
                assert new.snapshot is not None
                assert new.snapshot.digest == str(number)
                assert new.succeeded == old.succeeded + 1
            else:
                assert new.cancelled == old.cancelled + 1
            assert not new.in_progress
            assert new.succeeded + new.cancelled == number
        assert stage.status.succeeded >= 100
        assert stage.status.cancelled > 0 < late


def test_c08_what_readers_get_cannot_be_changed() -> None:
    with Stage().start().idle() as stage:
        status: Any = stage.status
        for change in (
            lambda: setattr(status, "failed", 1),
            lambda: setattr(status.snapshot, "items", {}),
            lambda: status.snapshot.items.__setitem__("new", "x"),
            lambda: status.snapshot.items.clear(),
            lambda: status.snapshot.stats.__setitem__("new", 1.0),
            lambda: setattr(status.last, "error", "x"),
        ):
            with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
                change()
        assert stage.status is status


def test_c09_a_kind_that_is_blocked_forever_delays_no_other() -> None:
    clock = FakeClock()
    blocked = Stage(GatedSource(), clock=clock, kind=Kind("blocked", "BLOCKED_", ("timeout",)))
    began: list[float] = []

    def answer(number: int) -> Snapshot[str]:
        began.append(clock.monotonic())
        return snapshot(str(number))

    with blocked.start(), Stage(FakeSource(answer), clock=clock).start().idle() as well:
        while clock.monotonic() < 3600:
            clock.advance(5)
            well.idle()
        assert began == [0, *range(30, 3601, 300)]
        eventually(lambda: blocked.source.calls == 2)
        assert blocked.source.calls == 2  # two hang forever, a third is not started
        eventually(lambda: blocked.worker.health() == "blocked-attempt")
        assert blocked.status.succeeded == 0
        assert well.worker.health() is None
        assert isinstance(refresh_now(well.worker), Request)
        well.idle()
        assert well.source.calls == len(began) == 14


def test_c11_a_refresh_continues_after_its_client_has_left() -> None:
    with Stage(GatedSource()).start() as stage:
        stage.source.wait_for_call(1).answer()
        stage.idle().worker.refresh_now()
        gc.collect()
        stage.source.wait_for_call(2)
        assert stage.status.in_progress
        stage.source.release_all()
        assert not stage.idle().status.in_progress
        assert stage.status.succeeded == 2


def test_c12_a_slow_listener_delays_neither_the_swap_nor_a_reader() -> None:
    gate, reported = threading.Event(), threading.Event()

    def slow(outcome: Outcome) -> None:
        reported.set()
        assert gate.wait(30)

    with Stage() as stage:
        stage.worker.listen(slow)
        stage.start()
        assert reported.wait(30)
        status = stage.status
        assert (status.in_progress, status.succeeded) == (False, 1)
        assert status.snapshot is not None
        stage.worker.notify(Trigger.WATCH)
        request = stage.worker.refresh_now()
        assert not request.done.is_set()
        gate.set()
        assert request.done.wait(30)


def test_c12_a_listener_with_a_mailbox_never_delays_a_refresh_and_drops_are_counted() -> None:
    gate, busy, got = threading.Event(), threading.Event(), []

    def deliver(outcome: Outcome) -> None:
        busy.set()
        assert gate.wait(30)
        got.append(outcome)

    box = Mailbox("fake-mailbox", deliver, 2)
    box.start()
    with Stage(rate_limit=0) as stage:
        stage.worker.listen(box.put)
        stage.start().idle()
        busy.wait(30)
        for _ in range(9):
            assert isinstance(refresh_now(stage.worker), Request)
            stage.idle()
        assert stage.source.calls == len(stage.outcomes) == 10
    assert box.dropped == 10 - 3
    gate.set()
    box.stop(30)
    assert got == stage.outcomes[:3]


def test_c12_a_webhook_that_hangs_delays_no_refresh_and_drops_are_counted() -> None:
    def flap(number: int) -> Snapshot[str]:
        if number % 4:
            raise Transient("x", "network")
        return snapshot(str(number))

    with Hook(hang) as hook, Stage(FakeSource(flap), rate_limit=0, max_retries=0) as stage:
        notifier = Notifier(NotifySettings(Credential(hook.url), None, "generic"), stage.clock, size=2)
        notifier.start()
        stage.worker.listen(notifier)
        stage.start().idle()
        for number in range(2, 41):
            if number == 4:
                hook.wait_for(1)
            assert isinstance(refresh_now(stage.worker), Request)
            stage.idle()
        assert len(stage.outcomes) == 40
        assert stage.status.snapshot is not None and stage.status.snapshot.digest == "40"
        notifier.stop()
    assert len(hook.posts) == 1
    assert notifier.delivery.dropped == 18, "17 for which there was no room, and the one that hung"


def do_something(worker: Worker[str], chance: random.Random, accepted: list[Request]) -> None:
    """One random operation on a worker; accepted requests are added to `accepted`."""
    match chance.randrange(4):
        case 0:
            worker.notify(Trigger.WATCH)
        case 1:
            with suppress(RefreshInProgress, NotStarted):
                accepted.append(worker.refresh_now())
        case 2:
            with suppress(AlreadyStarted):
                worker.start()
        case 3:
            if chance.randrange(20) == 0:
                worker.stop(30)


def test_notify_and_refresh_storms_beside_start_and_stop_lose_nothing_and_lock_nothing() -> None:
    """All operations concurrently on the system's clock; at the end the counts must agree and a refresh must work."""
    chance = random.Random(13)

    def answer(number: int) -> Snapshot[str]:
        match number % 5:
            case 0:
                raise Transient("x", "network")
            case 1:
                raise ValueError
        return snapshot(str(number))

    source = FakeSource(answer)
    stage = Stage(source, clock=_real_clock(), rate_limit=0, base_backoff=0.001, max_backoff=0.002, interval=0.003)
    worker = stage.worker
    accepted: list[Request] = []
    over = threading.Event()

    def disturb() -> None:
        while not over.is_set() or source.calls <= 10:
            do_something(worker, chance, accepted)

    with switching_often(), dump_if_stuck():
        timer = threading.Timer(3, over.set)
        timer.start()
        in_threads(4, disturb)
        timer.join()
        worker.stop(30)
    status = worker.get_status()
    assert source.most_at_once == 1
    assert status.succeeded + status.failed + status.cancelled == source.calls
    assert len(stage.outcomes) == source.calls
    assert all(request.done.is_set() for request in accepted)
    assert accepted
