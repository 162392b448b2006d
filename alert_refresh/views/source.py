"""The source of the views: refreshes the materialized views of a PostgreSQL database, one after the other."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Partial, Permanent, Snapshot, Transient, Trigger
from alert_refresh.views import history
from alert_refresh.views.attempt import Attempt
from alert_refresh.views.database import tables
from alert_refresh.views.database.executor import Executor
from alert_refresh.views.database.notifications import Notifications
from alert_refresh.views.database.session import Access, Session
from alert_refresh.views.history import History
from alert_refresh.views.tiers.generations import Lease
from alert_refresh.views.tiers.lru import LRU
from alert_refresh.views.tiers.reads import Reads
from alert_refresh.views.tiers.resolver import Resolver
from alert_refresh.views.upkeep import Upkeep
from alert_refresh.views.view import Progress, Reading, ViewState
from alert_refresh.views.view_settings import Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alert_refresh.engine import AttemptError, Clock, Deadline, Request, Sink, Watch
    from alert_refresh.views import Settings
    from alert_refresh.views.tiers.redis_cache import RedisCache

CYCLES = 100
"""How many cycles' results are kept for the requests that wait for them."""


@dataclass(frozen=True, slots=True)
class Memo:
    """The state for the next refresh: the fingerprints, the results of the last cycles by request id, and when views
    were last due (`taken`).
    """

    readings: Mapping[str, Reading] = field(default_factory=dict)
    cycles: Mapping[str, Progress] = field(default_factory=dict)
    taken: Mapping[str, Moment] = field(default_factory=dict)


class PostgresSource:
    """Refreshes views in the order of their dependencies; a failure does not affect other views."""

    name = "postgres"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.history = History()
        assert settings.url is not None
        self._access = Access(settings.url)
        self.reads = Reads(
            settings.read_url or settings.url, clock, size=settings.pool_max, limit=settings.lock_timeout
        )
        self.direct = self.reads
        if settings.read_url is not None:
            self.direct = Reads(settings.url, clock, size=2, limit=settings.lock_timeout)
        self.lease = Lease(clock, settings.cache_lease)
        self.resolver = Resolver(
            settings.views, clock, self.reads, self.lease, LRU(settings.cache_size), _redis(settings, clock)
        )
        self.listeners: list[Callable[[ViewState], None]] = []
        self._executor = Executor(settings, clock)
        self._proofs: dict[str, str] = {}
        self._stopping = threading.Event()
        self._advised = False
        self._started = Moment.now(clock)
        self._changes: set[str] = set()

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[ViewState]:
        """Refresh all views, or the one in `request.scope`; on a retry only those with transient failures, those that
        read them, and those that have become due meanwhile.

        Raises:
            Partial: at least one view failed, see the snapshot. Its cause is transient if any failure is.
            Stopping: stop was asked for.
        """
        memo = previous.memo if previous is not None and isinstance(previous.memo, Memo) else Memo()
        items = dict(previous.items) if previous is not None else {}
        progress = memo.cycles.get(request.request_id)
        due = self._due(request, memo.taken) if progress is None else self._due_meanwhile(request, memo.taken)
        if progress is None:
            progress = Progress(wanted=due, payloads=self._payloads())
        names = (request.scope,) if request.scope in self.settings.views else self.settings.views
        attempt = self._attempt(memo, request, progress, deadline)
        below = names if request.trigger is Trigger.WATCH else progress.wanted
        attempt.run(names, dict.fromkeys((*progress.todo(), *due)), below, items)
        self._advised = self._advised or any(not state.failed for state in attempt.states.values())
        if attempt.session.tables.generations and any(state.refreshed for state in attempt.states.values()):
            self.clock.wait(attempt.session.stopping, self.settings.cache_lease)
        progress = replace(progress, states=progress.states | attempt.states, reached=attempt.reached)
        cycles = dict(list(memo.cycles.items())[-CYCLES:]) | {request.request_id: progress}
        snapshot = Snapshot(
            items=items | attempt.states,
            digest=digest(items | attempt.states),
            taken_at=self.clock.time(),
            memo=Memo(MappingProxyType(attempt.readings), MappingProxyType(cycles), self._taken(memo, due)),
            stats={"views_refreshed": float(sum(state.refreshed for state in attempt.states.values()))},
        )
        if (cause := failed(progress.states)) is not None:
            raise Partial(snapshot, cause)
        return snapshot

    def _due(self, request: Request, taken: Mapping[str, Moment]) -> tuple[str, ...]:
        """The views of a cycle: of a periodic one those whose interval has passed, of one that notifications requested
        those that they named.
        """
        if request.trigger is Trigger.WATCH:
            return ()
        if request.trigger is not Trigger.PERIODIC or not self.settings.own:
            return (request.scope,) if request.scope in self.settings.views else self.settings.views
        return self._due_meanwhile(request, taken) or self.settings.views

    def _due_meanwhile(self, request: Request, taken: Mapping[str, Moment]) -> tuple[str, ...]:
        """The views whose interval has passed again while a scheduled cycle still retries others."""
        if not request.trigger.scheduled:
            return ()
        now, started, warmup = Moment.now(self.clock), self._started, self.settings.refresh.warmup
        return tuple(
            name
            for name in self.settings.views
            if self.settings.of(name).is_due(started.monotonic, taken.get(name, started), now, warmup)
        )

    def _taken(self, memo: Memo, due: tuple[str, ...]) -> Mapping[str, Moment]:
        """When each view was last due."""
        return MappingProxyType({**memo.taken, **dict.fromkeys(due, Moment.now(self.clock))})

    def _payloads(self) -> frozenset[str]:
        """The payloads of notifications that no cycle has handled yet."""
        taken = frozenset(self._changes)
        self._changes -= taken
        return taken

    def _attempt(self, memo: Memo, request: Request, progress: Progress, deadline: Deadline) -> Attempt:
        return Attempt(
            settings=self.settings,
            session=Session(self.settings, self._access, self.clock, deadline, self._stopping),
            direct=self.direct,
            clock=self.clock,
            executor=self._executor,
            history=self.history,
            readings=dict(memo.readings),
            proofs=self._proofs,
            may_skip=request.trigger is not Trigger.MANUAL,
            take_turns=request.trigger is Trigger.PERIODIC,
            payloads=progress.payloads,
            report=self._report,
            refreshed=[name for name, state in progress.states.items() if state.refreshed],
            advise=not self._advised,
        )

    def _report(self, state: ViewState) -> None:
        for listener in self.listeners:
            listener(state)

    def watches(self, sink: Sink) -> tuple[Watch, ...]:
        """Upkeep between refreshes, whose stop also cancels the statement of a running refresh, and notifications."""
        self._started = Moment.now(self.clock)
        for pool in {self.reads, self.direct}:
            pool.renew()
        upkeep = Upkeep(self.clock, self.direct, self.history, self.settings.history_retention)
        self._stopping = upkeep.stopping
        notifications = Notifications(
            self._access.url,
            self.clock,
            sink,
            threading.Event(),
            self.settings.notify_debounce,
            self._changes.update,
        )
        return (upkeep, notifications)

    def read_history(self, *, limit: int, view: str | None, since: float | None) -> dict[str, Any]:
        """The newest rows of the history and their summary, with the rows that were not written yet.

        Raises:
            Unavailable: the database cannot be read, or the table of the history does not exist.
        """
        with self.direct.connection() as connection:
            if self.history.pending and (found := tables.ensure(connection)).history:
                self.history.write(connection, outcomes=found.outcomes)
            return history.read(connection, limit=limit, view=view, since=since)

    def close(self) -> None:
        """Close the pool of the reads, and the connections to Redis."""
        for pool in {self.reads, self.direct}:
            pool.close()
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
    """A digest of what readers can see: the last refresh of each view, and the failures."""
    seen = [
        (state.name, state.generation, state.refreshed_at, state.failed and state.reason)
        for _, state in sorted(states.items())
    ]
    return hashlib.sha256(repr(seen).encode()).hexdigest()
