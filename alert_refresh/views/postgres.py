"""The source of the views: a PostgreSQL database, brought up to date view by view."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Partial, Permanent, Snapshot, Transient, Trigger
from alert_refresh.views import history, tables
from alert_refresh.views.attempt import Attempt
from alert_refresh.views.executor import Executor
from alert_refresh.views.history import History
from alert_refresh.views.tiers.generations import Lease
from alert_refresh.views.tiers.lru import LRU
from alert_refresh.views.tiers.reads import Reads
from alert_refresh.views.tiers.resolver import Resolver
from alert_refresh.views.upkeep import Upkeep
from alert_refresh.views.view import Progress, Reading, ViewState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.engine import AttemptError, Clock, Deadline, Request, Sink
    from alert_refresh.views import Settings
    from alert_refresh.views.tiers.redis_cache import RedisCache

CYCLES = 100
"""How many of the last cycles' results are remembered, for whoever asked for them."""


@dataclass(frozen=True, slots=True)
class Memo:
    """What the next refresh wants back: the change counters, and what the last cycles did, by request id."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    cycles: Mapping[str, Progress] = field(default_factory=dict)


class PostgresSource:
    """Refreshes views in the order of their dependencies; one that fails stops no other."""

    name = "postgres"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.history = History()
        assert settings.url is not None
        self._url = settings.url
        self.reads = Reads(self._url, clock, size=settings.pool_max, limit=settings.lock_timeout)
        self.lease = Lease(clock, settings.cache_lease)
        self.resolver = Resolver(
            settings.views, clock, self.reads, self.lease, LRU(settings.cache_size), _redis(settings, clock)
        )
        self._executor = Executor(settings, clock)
        self._stopping = threading.Event()
        self._advised = False

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[ViewState]:
        """Refresh all views, or the one that `request.scope` names; on a retry only what failed and may pass.

        Raises:
            Partial: at least one view failed; the snapshot tells which. Its cause is transient if any failure is.
            Stopping: stop was asked for.
        """
        memo = previous.memo if previous is not None and isinstance(previous.memo, Memo) else Memo()
        items = dict(previous.items) if previous is not None else {}
        done = memo.cycles.get(request.request_id, Progress()).states
        wanted = [request.scope] if request.scope in self.settings.views else list(self.settings.views)
        attempt = Attempt(
            settings=self.settings,
            url=self._url,
            reads=self.reads,
            clock=self.clock,
            executor=self._executor,
            history=self.history,
            deadline=deadline,
            stopping=self._stopping,
            readings=dict(memo.readings),
            refreshed=[name for name, state in done.items() if state.refreshed],
            advise=not self._advised,
        )
        may_skip = self.settings.skip_unchanged and request.trigger is not Trigger.MANUAL
        attempt.run(Progress(done).todo(wanted), items, may_skip=may_skip)
        self._advised = self._advised or any(not state.failed for state in attempt.states.values())
        if attempt.tables.generations and any(state.refreshed for state in attempt.states.values()):
            self.clock.wait(attempt.stopping, self.settings.cache_lease)
        states = done | attempt.states
        cycles = dict(list(memo.cycles.items())[-CYCLES:]) | {request.request_id: Progress(states, attempt.reached)}
        snapshot = Snapshot(
            items=items | attempt.states,
            digest=digest(items | attempt.states),
            taken_at=self.clock.time(),
            memo=Memo(MappingProxyType(attempt.readings), MappingProxyType(cycles)),
            stats={"views_refreshed": float(sum(state.refreshed for state in attempt.states.values()))},
        )
        if (cause := failed(states)) is not None:
            raise Partial(snapshot, cause)
        return snapshot

    def watches(self, sink: Sink) -> tuple[Upkeep]:
        """No watch, but work to be done between refreshes; its stop cancels the statement of a running one."""
        self.reads.renew()
        upkeep = Upkeep(self.clock, self.reads, self.history, self.settings.history_retention)
        self._stopping = upkeep.stopping
        return (upkeep,)

    def read_history(self, *, limit: int, view: str | None, since: float | None) -> dict[str, Any]:
        """The newest rows of the history and their summary, with what was not written yet.

        Raises:
            Unavailable: the database cannot be read, or the history is not there.
        """
        with self.reads.connection() as connection:
            if self.history.pending and tables.ensure(connection).history:
                self.history.write(connection)
            return history.read(connection, limit=limit, view=view, since=since)

    def close(self) -> None:
        """Close the pool of the reads, and the connections to Redis."""
        self.reads.close()
        if self.resolver.l2 is not None:
            self.resolver.l2.close()


def _redis(settings: Settings, clock: Clock) -> RedisCache | None:
    if settings.redis is None:
        return None
    from alert_refresh.views.tiers.redis_cache import RedisCache

    return RedisCache(settings.redis, clock)


def failed(states: Mapping[str, ViewState]) -> AttemptError | None:
    """The error of a cycle with these states: transient if any failure is, since that one is retried."""
    failures = sorted((state for state in states.values() if state.failed), key=lambda state: not state.transient)
    if not failures:
        return None
    first = failures[0]
    message = f"{len(failures)} of {len(states)} views failed: {first.name}: {first.reason}"
    error = Transient if first.transient else Permanent
    return error(message, first.error_type)


def digest(states: Mapping[str, ViewState]) -> str:
    """Names what readers of the views can see: which refresh each view shows, and what failed."""
    seen = [
        (state.name, state.generation, state.refreshed_at, state.failed and state.reason)
        for _, state in sorted(states.items())
    ]
    return hashlib.sha256(repr(seen).encode()).hexdigest()
