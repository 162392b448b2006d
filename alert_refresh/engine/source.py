"""The interfaces between the engine and a kind: source, watch, sink, and the settings that every kind has."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from alert_refresh.engine.errors import ConfigError
from alert_refresh.engine.guard.judge import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

    from alert_refresh.engine.clock import Deadline
    from alert_refresh.engine.outcome import Outcome, Request, Trigger
    from alert_refresh.engine.retry import RetryPolicy
    from alert_refresh.engine.schedule import Schedule
    from alert_refresh.engine.snapshot import Snapshot

T_co = TypeVar("T_co", covariant=True)


class Sink(Protocol):
    """Receives what a watch sees. Thread-safe.

    It belongs to one run of the worker: after that run has ended, calls have no effect.
    """

    def notify(self, trigger: Trigger) -> None:
        """Request a refresh; never refused, and several during one attempt cause one more cycle."""

    def current(self) -> Snapshot[Any] | None:
        """What the source returned last, or the watch published: what is served, but for held removals."""

    def publish(self, snapshot: Snapshot[Any], expected: Snapshot[Any] | None, seen_at: float | None = None) -> bool:
        """Publish `snapshot` if `expected` is still current; else return False, and the watch starts from `current`.

        `seen_at` is when the oldest change in it was seen, in monotonic seconds.
        """


@dataclass(frozen=True, slots=True)
class WatchHealth:
    """The state of a watch's connection.

    `last_proof_of_life` is Unix seconds of the last message received (None before the first), `error` why it is not
    connected, `counts` the number of events since the start, by name, such as `{"reconnects": 2}`.
    """

    connected: bool
    last_proof_of_life: float | None = None
    error: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


class Watch(Protocol):
    """Detects changes between refreshes. The worker runs it in a thread of its own.

    `name` becomes part of the thread's name. `back_by` is the monotonic time by which `run` will have made progress
    again; a watch that is later than that is stuck.
    """

    name: str = "watch"
    back_by: float = math.inf

    def run(self) -> None:
        """Block and report changes until `stop` is called; if it returns earlier, the worker runs it again."""

    def stop(self) -> None:
        """Make `run` return immediately; called once, from another thread."""

    def refreshed(self, outcome: Outcome) -> None:
        """An attempt has ended. Called in the worker's thread, and must not block."""
        return

    def health(self) -> WatchHealth | None:
        """The state of the connection; None for a watch without one."""
        return None


def combined_health(watches: Sequence[Watch]) -> WatchHealth | None:
    """Several watches as one: connected if all are, the oldest proof of life, the sum of counts; None without any."""
    states = [state for watch in watches if (state := watch.health()) is not None]
    if not states:
        return None
    proofs = [state.last_proof_of_life for state in states if state.last_proof_of_life is not None]
    counts: Counter[str] = Counter()
    for state in states:
        counts.update(state.counts)
    return WatchHealth(
        connected=all(state.connected for state in states),
        last_proof_of_life=min(proofs) if len(proofs) == len(states) else None,
        error=next((state.error for state in states if state.error is not None), None),
        counts=dict(counts),
    )


class Source(Protocol[T_co]):
    """Reads the current state of one kind."""

    name: str
    """Where it reads from: one word shown to users, such as `directory`."""

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[T_co]:
        """Read everything once and return a complete snapshot, or raise.

        May run in several threads concurrently when an earlier call hangs: keep state that should survive from one
        call to the next in `Snapshot.memo`, not on the source.

        Raises:
            Transient: it may work later and is retried.
            Permanent: an immediate retry cannot help.
            Partial: a part is refreshed and published, the rest failed.
            Stopping: a stop ended `deadline.wait`.
        """

    def watches(self, sink: Sink) -> Sequence[Watch]:
        """The watches that report changes to `sink`, each run in a thread; empty if this source cannot watch."""

    def close(self) -> None:
        """Release connections after the last refresh; a later `refresh` may open them again."""


@dataclass(frozen=True, slots=True)
class Protection:
    """How the removals of a kind's items are held.

    `origin(item)` identifies where an item was read from: an item that has another name now is not removed.
    `retain(found, kept, since)` returns `found` with the items `kept`, by name, whose removal is held since that time
    (Unix seconds), and a digest of all of it. `revive(found, held)` returns `found` with those of the held items, by
    name, whose origin is there again though it is not valid. `drop(served, names)` returns the snapshot that a restart
    served without the held items of these names, as the source would have it: it may be served and kept.
    """

    origin: Callable[[Any], Hashable]
    retain: Callable[[Snapshot[Any], Mapping[str, Any], float], Snapshot[Any]]
    drop: Callable[[Snapshot[Any], Collection[str]], Snapshot[Any]]
    revive: Callable[[Snapshot[Any], Mapping[str, Any]], Snapshot[Any]] = lambda found, _: found


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind that is kept fresh: its name, the prefix of its settings, and its error types.

    `listeners` are called with every outcome, in addition to those of all kinds. `buckets` are the upper bounds, in
    seconds, of the histogram of its attempts. `serves(item)` is False for an item that only records a failure.
    `stale_since(item)` is since when it is served in its last valid version, in Unix seconds, or None. Mass removals of
    items are held if there is a `protection`.
    """

    name: str
    prefix: str
    error_types: tuple[str, ...]
    listeners: tuple[Callable[[Outcome], None], ...] = ()
    buckets: tuple[float, ...] = (0.1, 0.5, 1, 2, 5, 10, 30, 60)
    serves: Callable[[Any], bool] = lambda _: True
    stale_since: Callable[[Any], float | None] = lambda _: None
    protection: Protection | None = None


@dataclass(frozen=True, slots=True)
class RefreshSettings:
    """The settings that every kind has (durations in seconds).

    `max_removal` is the fraction of items that a refresh may remove unconfirmed, `breaker_failures` the failed cycles
    in a row after which a cycle makes one attempt only, 0 never.

    `schedule` replaces the fixed interval; `interval` is then the longest time between two refreshes.
    `paused` makes the worker start with its schedule paused.

    Raises:
        ConfigError: on the first value out of range; `faults()` lists all of them.
    """

    interval: float = 300.0
    max_retries: int = 5
    base_backoff: float = 30.0
    max_backoff: float = 300.0
    rate_limit: float = 60.0
    timeout: float = 30.0
    warmup: float = 30.0
    jitter: bool = False
    schedule: Schedule | None = None
    paused: bool = False
    max_removal: float = 0.5
    breaker_failures: int = 5

    def __post_init__(self) -> None:
        for fault in self.faults():
            raise fault

    def faults(self) -> list[ConfigError]:
        """An error for each setting that is out of range."""
        found = [
            ConfigError(name, f"{value:g}", "must be greater than 0")
            for name in ("interval", "base_backoff", "max_backoff", "timeout")
            if not 0 < (value := getattr(self, name)) < float("inf")
        ]
        found += [
            ConfigError(name, f"{value:g}", "must not be negative")
            for name in ("max_retries", "rate_limit", "warmup", "max_removal", "breaker_failures")
            if not 0 <= (value := getattr(self, name)) < float("inf")
        ]
        if not found and self.max_backoff < self.base_backoff:
            found.append(ConfigError("max_backoff", f"{self.max_backoff:g}", "must not be less than base_backoff"))
        return found

    def retry_policy(self) -> RetryPolicy:
        """The retry policy of a cycle with these settings."""
        from alert_refresh.engine.retry import RetryPolicy

        return RetryPolicy(self.max_retries, self.base_backoff, self.max_backoff, self.jitter)

    def limits(self) -> Limits:
        """The limits of the mass-removal guard with these settings."""
        return Limits(self.max_removal, window=self.interval, confirm_after=self.base_backoff)
