"""What a kind implements to be kept fresh by the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from alert_refresh.engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from alert_refresh.engine.clock import Deadline
    from alert_refresh.engine.outcome import Outcome, Request, Trigger
    from alert_refresh.engine.retry import RetryPolicy
    from alert_refresh.engine.schedule import Schedule
    from alert_refresh.engine.snapshot import Snapshot

T_co = TypeVar("T_co", covariant=True)


class Watch(Protocol):
    """Notices changes between refreshes. The worker runs it in a thread of its own."""

    def run(self) -> None:
        """Block and report changes until `stop` is called; if it ends earlier, the worker runs it again."""

    def stop(self) -> None:
        """Make `run` return at once; called from another thread, once."""


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
        """

    def watch(self, notify: Callable[[Trigger], None]) -> Watch | None:
        """Something that calls `notify` when a change is seen, or None if this source cannot watch."""

    def close(self) -> None:
        """Release connections after the last refresh; a later `refresh` may open them again."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing that is kept fresh: its name, the prefix of its settings, and the words of its errors.

    `listeners` get every outcome beside those that all kinds have.
    """

    name: str
    prefix: str
    error_types: tuple[str, ...]
    listeners: tuple[Callable[[Outcome], None], ...] = ()


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
