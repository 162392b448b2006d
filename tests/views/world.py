"""A source over a temporary database, refreshed by the test; leaving the world closes both, except a given database."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alert_refresh.credential import Credential
from alert_refresh.engine import AttemptError, Deadline, Partial, RefreshSettings, Request, SystemClock, Trigger
from alert_refresh.views import Settings
from alert_refresh.views.source import PostgresSource
from alert_refresh.views.tiers import reads, redis_cache
from alert_refresh.views.upkeep import Upkeep
from tests.fakes import FakeSink
from tests.postgres import VIEWS, Database, hierarchy

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    import pytest

    from alert_refresh.engine import Snapshot
    from alert_refresh.views.view import ViewState


class TestClock(SystemClock):
    """The machine's clock, which a test may put forward."""

    __test__ = False

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


def answered_however_late(patch: pytest.MonkeyPatch, *, redis: bool = True) -> None:
    """Give a read, and Redis, the time that a busy machine needs: what should be answered is."""
    if redis:
        patch.setattr(redis_cache, "TIMEOUT", 30.0)
    patch.setattr(reads, "WAIT", 30.0)
    patch.setattr(reads, "SLOW", 30.0)


class World:
    """`refresh` runs one attempt as the engine would, and keeps its snapshot for the next and its error in `error`."""

    def __init__(self, database: Database | None = None, **changes: Any) -> None:
        self.database = database or hierarchy()
        self._own = database is None
        self.clock = TestClock()
        settings = Settings(
            RefreshSettings(timeout=30),
            Credential(changes.pop("dsn", None) or self.database.dsn()),
            tuple(changes.pop("views", VIEWS)),
            lock_timeout=changes.pop("lock_timeout", 1.0),
            cache_lease=changes.pop("cache_lease", 0.01),
        )
        self.source = PostgresSource(replace(settings, **changes), self.clock)
        self.snapshot: Snapshot[ViewState] | None = None
        self.error: AttemptError | None = None
        self.request = Request(Trigger.MANUAL)

    @property
    def served(self) -> Snapshot[ViewState]:
        assert self.snapshot is not None
        return self.snapshot

    def refresh(
        self,
        trigger: Trigger = Trigger.MANUAL,
        *,
        scope: str | None = None,
        timeout: float = 30.0,
        retry: bool = False,
    ) -> dict[str, ViewState]:
        """One attempt, the first of a new cycle or a `retry` in the same; returns the states of all views."""
        if not retry:
            self.request = Request(trigger, scope=scope)
        self.error = None
        try:
            self.snapshot = self.source.refresh(self.snapshot, self.request, Deadline(self.clock, timeout))
        except Partial as partial:
            self.snapshot, self.error = partial.snapshot, partial.cause
        return dict(self.snapshot.items)

    @property
    def upkeep(self) -> Upkeep:
        """Its upkeep; its other watches are stopped."""
        upkeep, *others = self.source.watches(FakeSink())
        for other in others:
            other.stop()
        assert isinstance(upkeep, Upkeep)
        return upkeep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        if self._own:
            self.database.drop()


def in_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """Run `call` in another thread; returns a function that waits for it and gives or raises what it did."""
    answer: list[Any] = []

    def run() -> None:
        try:
            answer.append(call())
        except BaseException as error:
            answer.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(60)
        assert not thread.is_alive(), "it hangs"
        if isinstance(answer[0], BaseException):
            raise answer[0]
        return answer[0]

    return result
