"""What a kind implements to be kept fresh by the engine."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from alert_refresh.engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alert_refresh.engine.clock import Deadline
    from alert_refresh.engine.outcome import Outcome, Request, Trigger
    from alert_refresh.engine.retry import RetryPolicy
    from alert_refresh.engine.schedule import Schedule
    from alert_refresh.engine.snapshot import Snapshot

T_co = TypeVar("T_co", covariant=True)


class Sink(Protocol):
    """Where a watch brings what it saw. All of it may be called from any thread.

    It belongs to one run of the worker: once that run has ended, nothing is asked for or published any more.
    """

    def notify(self, trigger: Trigger) -> None:
        """Ask for a refresh soon; never refused, and several during one attempt make one more run."""

    def current(self) -> Snapshot[Any] | None:
        """The snapshot that is served now."""

    def publish(self, snapshot: Snapshot[Any], expected: Snapshot[Any] | None, seen_at: float | None = None) -> bool:
        """Serve `snapshot` if `expected` is what is served still; else False, and the watch looks again.

        `seen_at` is when the oldest change in it was seen, in monotonic seconds.
        """


@dataclass(frozen=True, slots=True)
class WatchHealth:
    """How a watch that holds a connection fares. `last_proof_of_life` is Unix seconds of the last thing it was told
    (None before the first), `error` why it is not connected, `counts` what happened to it since the start, by name.
    """

    connected: bool
    last_proof_of_life: float | None = None
    error: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


class Watch(Protocol):
    """Notices changes between refreshes. The worker runs it in a thread of its own.

    `name` becomes part of the thread's name. `back_by` is the monotonic time at which `run` has promised to have
    made progress again; whoever is later than that is stuck.
    """

    name: str = "watch"
    back_by: float = math.inf

    def run(self) -> None:
        """Block and report changes until `stop` is called; if it ends earlier, the worker runs it again."""

    def stop(self) -> None:
        """Make `run` return at once; called from another thread, once."""

    def refreshed(self, outcome: Outcome) -> None:
        """An attempt has ended. Called in the worker's thread, and must not block."""
        return

    def health(self) -> WatchHealth | None:
        """How the connection fares; None for a watch that has none."""
        return None


def combined_health(watches: Sequence[Watch]) -> WatchHealth | None:
    """Several watches as one: connected if each is, the oldest proof of life, counts added up; None without any."""
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
    """Brings one kind up to date."""

    name: str
    """Where it reads from, one word shown to users, such as `directory`."""

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[T_co]:
        """Bring this kind up to date once and return what is now true: the whole truth or an exception.

        May run in several threads at once when an earlier call is stuck: keep what should survive from one
        call to the next in `Snapshot.memo`, not on the source.

        Raises:
            Transient: it may work later and is retried.
            Permanent: retrying at once cannot help.
            Partial: a part is refreshed and published, the rest failed.
            Stopping: `deadline.wait` was ended by a stop.
        """

    def watches(self, sink: Sink) -> Sequence[Watch]:
        """What tells `sink` when a change is seen, each to be run in a thread; nothing if this source cannot watch."""

    def close(self) -> None:
        """Release connections after the last refresh; a later `refresh` may open them again."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing that is kept fresh: its name, the prefix of its settings, and the words of its errors.

    `listeners` get every outcome beside those that all kinds have. `buckets` are the upper bounds, in seconds, of a
    histogram of its attempts. `serves(item)` is False for an item that tells only why there is nothing to serve.
    """

    name: str
    prefix: str
    error_types: tuple[str, ...]
    listeners: tuple[Callable[[Outcome], None], ...] = ()
    buckets: tuple[float, ...] = (0.1, 0.5, 1, 2, 5, 10, 30, 60)
    serves: Callable[[Any], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class RefreshSettings:
    """The seven settings every kind has (durations in seconds), and an optional jitter.

    `schedule` takes the place of a fixed interval; `interval` is then the longest time between two refreshes.
    `paused` makes the worker start without its schedule, until it is resumed.

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

    def __post_init__(self) -> None:
        for fault in self.faults():
            raise fault

    def faults(self) -> list[ConfigError]:
        """Every setting that is out of range, as an error that names it."""
        found = [
            ConfigError(name, f"{value:g}", "must be greater than 0")
            for name in ("interval", "base_backoff", "max_backoff", "timeout")
            if not 0 < (value := getattr(self, name)) < float("inf")
        ]
        found += [
            ConfigError(name, f"{value:g}", "must not be negative")
            for name in ("max_retries", "rate_limit", "warmup")
            if not 0 <= (value := getattr(self, name)) < float("inf")
        ]
        if not found and self.max_backoff < self.base_backoff:
            found.append(ConfigError("max_backoff", f"{self.max_backoff:g}", "must not be less than base_backoff"))
        return found

    def retry_policy(self) -> RetryPolicy:
        """How one cycle retries under these settings."""
        from alert_refresh.engine.retry import RetryPolicy

        return RetryPolicy(self.max_retries, self.base_backoff, self.max_backoff, self.jitter)
