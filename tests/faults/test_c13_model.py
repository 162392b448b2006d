"""C13: a worker under any order of operations and faults does what a model without threads says.

The model holds what must be true once everything that was set in motion has come to rest. After each step
the real worker is given time to rest, and then compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alert_refresh.engine import (
    AlreadyStarted,
    NotStarted,
    Partial,
    Permanent,
    RateLimitExceeded,
    RefreshError,
    RefreshInProgress,
    Result,
    ShutdownTimeout,
    Transient,
    Trigger,
)
from tests.fakes import snapshot
from tests.stage import GatedSource, Stage, eventually

if TYPE_CHECKING:
    from tests.stage import HeldCall

INTERVAL, WARMUP, RETRIES, BASE, CAP, WINDOW, TIMEOUT = 300.0, 30.0, 3, 30.0, 100.0, 60.0, 30.0
BREAKER_FAILURES = 5
GIVEN_UP_AFTER = TIMEOUT + 5


@dataclass
class Model:
    """What must be true of the worker. `attempt` is the number of the executing or waiting attempt's cycle."""

    now: float = 0.0
    running: bool = False
    started: float = 0.0
    executing_since: float | None = None
    waiting_until: float | None = None
    attempt: int = 0
    trigger: Trigger | None = None
    pending: Trigger | None = None
    window_ends: float = 0.0
    results: list[tuple[Trigger, int, Result]] = field(default_factory=list)
    streak: int = 0
    published: list[str] = field(default_factory=list)
    hanging: int = 0
    calls: int = 0
    retries: int = RETRIES
    failed_cycles: int = 0

    def next_due(self) -> float:
        """The first tick after now, or after the wait that a cycle is in."""
        first, after = self.started + WARMUP, self.waiting_until or self.now
        return first if after < first else first + ((after - first) // INTERVAL + 1) * INTERVAL

    def begin(self, trigger: Trigger, attempt: int = 1) -> None:
        if attempt == 1:
            is_open = self.failed_cycles >= BREAKER_FAILURES
            self.retries = 0 if is_open and trigger is not Trigger.MANUAL else RETRIES
        self.trigger, self.attempt, self.pending, self.waiting_until = trigger, attempt, None, None
        if self.hanging >= 2:
            self.end(Result.FAILED, retry=True)
            return
        self.executing_since = self.now
        self.calls += 1

    def end(self, result: Result, *, retry: bool = False, content: str | None = None) -> None:
        """The executing attempt ends; what follows from it happens too."""
        assert self.trigger is not None
        self.executing_since = None
        self.results.append((self.trigger, self.attempt, result))
        self.streak = {Result.SUCCESS: 0, Result.FAILED: self.streak + 1, Result.CANCELLED: self.streak}[result]
        if content is not None and self.published[-1:] != [content]:
            self.published.append(content)
        waits = result is Result.FAILED and retry and self.attempt <= self.retries and self.pending is None
        if not waits and result is not Result.CANCELLED:
            self.failed_cycles = self.failed_cycles + 1 if result is Result.FAILED else 0
        if self.pending is not None:
            self.begin(self.pending)
        elif waits:
            self.waiting_until = self.now + min(BASE * 2 ** (self.attempt - 1), CAP)

    def ask(self, trigger: Trigger) -> None:
        if self.executing_since is not None:
            self.pending = self.pending or trigger
        else:
            self.failed_cycles += self.waiting_until is not None
            self.begin(trigger)

    def refusal(self) -> type[RefreshError] | None:
        if not self.running:
            return NotStarted
        if self.executing_since is not None:
            return RefreshInProgress
        return RateLimitExceeded if self.now < self.window_ends else None

    def advance(self, seconds: float) -> None:
        due = self.next_due()
        self.now += seconds
        if not self.running:
            return
        if self.executing_since is not None:
            if self.now >= self.executing_since + GIVEN_UP_AFTER:
                self.hanging += 1
                self.end(Result.FAILED, retry=True)
        elif self.waiting_until is not None:
            if self.now >= self.waiting_until:
                assert self.trigger is not None
                self.begin(self.trigger, self.attempt + 1)
        elif self.now >= due:
            self.begin(Trigger.PERIODIC)

    def stop(self) -> None:
        self.running, self.pending, self.waiting_until = False, None, None


class WorkerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.source = GatedSource()
        self.stage = Stage(
            self.source,
            interval=INTERVAL,
            warmup=WARMUP,
            max_retries=RETRIES,
            base_backoff=BASE,
            max_backoff=CAP,
            rate_limit=WINDOW,
            timeout=TIMEOUT,
        )
        self.model = Model()
        self.generations: list[int] = []
        self.contents = 0

    def teardown(self) -> None:
        self.stage.__exit__()
        eventually(lambda: not self.source.held)

    @property
    def call(self) -> HeldCall:
        """The call of the attempt that executes."""
        attempt = self.stage.status.attempt
        assert attempt is not None
        return next(call for call in self.source.held if call.deadline is attempt.deadline)

    def settle(self) -> None:
        """Wait until the worker is idle."""

        def at_rest() -> bool:
            status = self.stage.status
            if not status.running:
                return not any(thread.is_alive() for thread in self.stage.worker._run.threads)
            if not self.stage.fake.sleeping():
                return False
            if status.attempt is None:
                return status.pending is None and self.stage.status is status
            held = [call for call in list(self.source.held) if not call.answered]
            return any(call.deadline is status.attempt.deadline for call in held)

        eventually(at_rest, f"rest of {self.stage.status}")

    @rule()
    def start(self) -> None:
        if self.model.running:
            with pytest.raises(AlreadyStarted):
                self.stage.start()
            return
        self.stage.start()
        self.model.running, self.model.started = True, self.model.now
        self.model.begin(Trigger.STARTUP)

    @rule()
    def stop(self) -> None:
        if self.model.executing_since is not None:
            with pytest.raises(ShutdownTimeout):
                self.stage.worker.stop(0)
            self.model.stop()
            self.model.hanging += 1
            self.model.end(Result.CANCELLED)
        else:
            self.stage.worker.stop(30)
            self.model.stop()

    @precondition(lambda self: self.model.executing_since is not None)
    @rule(good=st.booleans())
    def stop_and_let_the_attempt_finish(self, good: bool) -> None:
        self.stage.worker.halt()
        with pytest.raises(NotStarted):
            self.stage.worker.refresh_now()
        content = self.content() if good else None
        self.call.answer(Transient("cut off", "network") if content is None else snapshot(content))
        self.stage.worker.stop(30)
        self.model.stop()
        self.model.end(Result.SUCCESS if good else Result.CANCELLED, content=content)

    @rule()
    def refresh_now(self) -> None:
        refusal = self.model.refusal()
        if refusal is not None:
            with pytest.raises(refusal):
                self.stage.worker.refresh_now()
            return
        request = self.stage.worker.refresh_now()
        self.model.window_ends = self.model.now + WINDOW
        self.model.ask(Trigger.MANUAL)
        self.settle()
        assert request.run == self.stage.status.run

    @rule(trigger=st.sampled_from([Trigger.WATCH, Trigger.FILE]), times=st.integers(1, 3))
    def notify(self, trigger: Trigger, times: int) -> None:
        for _ in range(times if self.model.executing_since is not None else 1):
            self.stage.worker.notify(trigger)
        if self.model.running:
            self.model.ask(trigger)

    @rule(seconds=st.sampled_from([0.5, 5.0, 29.0, 35.0, 60.0, 300.0, 1000.0]))
    def advance(self, seconds: float) -> None:
        self.model.advance(seconds)
        self.stage.fake.advance(seconds)

    @precondition(lambda self: self.model.running)
    @rule(short=st.sampled_from([0.0, 0.25]))
    def advance_to_what_comes_next(self, short: float) -> None:
        model = self.model
        if model.executing_since is not None:
            until = model.executing_since + GIVEN_UP_AFTER
        else:
            until = model.waiting_until or model.next_due()
        self.advance(max(0.0, until - model.now - short))

    def content(self) -> str:
        self.contents += 1
        return f"content-{self.contents}"

    @precondition(lambda self: self.model.executing_since is not None)
    @rule(same=st.booleans())
    def succeed(self, same: bool) -> None:
        content = self.model.published[-1] if same and self.model.published else self.content()
        self.call.answer(snapshot(content))
        self.model.end(Result.SUCCESS, content=content)

    @precondition(lambda self: self.model.executing_since is not None)
    @rule(error=st.sampled_from([Transient("x", "network"), ValueError("x"), MemoryError(), Permanent("x", "auth")]))
    def fail(self, error: Exception) -> None:
        self.call.answer(error)
        self.model.end(Result.FAILED, retry=not isinstance(error, Permanent))

    @precondition(lambda self: self.model.executing_since is not None)
    @rule(cause=st.sampled_from([Transient("x", "network"), Permanent("x", "auth")]))
    def succeed_in_part(self, cause: Transient | Permanent) -> None:
        content = self.content()
        self.call.answer(Partial(snapshot(content), cause))
        self.model.end(Result.FAILED, retry=isinstance(cause, Transient), content=content)

    @precondition(lambda self: self.model.hanging > 0)
    @rule(how=st.sampled_from([None, Transient("late"), Permanent("late"), SystemError("late")]))
    def a_hanging_one_comes_back(self, how: Exception | None) -> None:
        attempt = self.stage.status.attempt
        ghosts = [call for call in self.source.held if attempt is None or call.deadline is not attempt.deadline]
        assert len(ghosts) == self.model.hanging
        ghosts[0].answer(how or snapshot("ghost"))
        self.model.hanging -= 1
        eventually(lambda: len(self.stage.worker.hanging()) == self.model.hanging)

    @invariant()
    def agrees_with_the_model(self) -> None:
        self.settle()
        status, model = self.stage.status, self.model
        assert (status.running, status.stopping, status.pending is None) == (
            model.running,
            False,
            model.pending is None,
        )
        assert status.in_progress == (model.executing_since is not None)
        assert status.next_attempt == model.waiting_until
        assert [(one.trigger, one.attempt, one.result) for one in self.stage.outcomes] == model.results
        ended = [result for _, _, result in model.results]
        assert status.succeeded == ended.count(Result.SUCCESS)
        assert status.failed == ended.count(Result.FAILED)
        assert status.cancelled == ended.count(Result.CANCELLED)
        assert status.consecutive_failures == model.streak
        assert self.source.calls == model.calls
        assert len(self.source.held) == model.hanging + (model.executing_since is not None)
        assert (status.snapshot.digest if status.snapshot else None) == (
            model.published[-1] if model.published else None
        )
        if not model.running:
            assert status.next_due is None
        elif model.executing_since is None:
            assert status.next_due == model.next_due()
            assert status.next_due > model.now
        unhealthy = model.running and model.hanging >= 2
        assert self.stage.worker.health() == ("fake-attempt" if unhealthy else None)

    @invariant()
    def generations_count_up(self) -> None:
        served: Any = self.stage.status.snapshot
        if served is not None and served.generation not in self.generations[-1:]:
            self.generations.append(served.generation)
        assert len(self.generations) <= len(self.model.published)
        assert all(later > earlier for earlier, later in zip(self.generations, self.generations[1:], strict=False))


class TestC13(WorkerMachine.TestCase):  # type: ignore[valid-type,misc]  # made by Hypothesis
    settings = hypothesis.settings(max_examples=150, stateful_step_count=50, deadline=None)


@pytest.mark.soak
@pytest.mark.timeout(7200)
class TestC13Soak(WorkerMachine.TestCase):  # type: ignore[valid-type,misc]  # made by Hypothesis
    settings = hypothesis.settings(max_examples=2000, stateful_step_count=50, deadline=None)
