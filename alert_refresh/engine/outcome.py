"""A requested refresh, and the outcome of its attempts."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from alert_refresh.engine.guard.judge import Hold  # noqa: TC001 - a decoder of outcomes reads the annotation

if TYPE_CHECKING:
    from alert_refresh.engine.snapshot import Snapshot


class Trigger(StrEnum):
    """Why a refresh runs."""

    STARTUP = "startup"
    PERIODIC = "periodic"
    MANUAL = "manual"
    WATCH = "watch"
    FILE = "file"

    @property
    def scheduled(self) -> bool:
        """Whether the schedule requested it, rather than a client or a change."""
        return self in (Trigger.STARTUP, Trigger.PERIODIC)


class Result(StrEnum):
    """How an attempt ended. `CANCELLED` means ended by stop: neither a success nor a failure."""

    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt that ended, as passed to every listener.

    `started_at` is Unix seconds, `duration` seconds, `attempt` counts from 1 within its cycle, `items` and
    `rejected` count what is served after it, `consecutive_failures` is the streak including this attempt
    (`streak_before` without it), `retry_in` the seconds until the next attempt of the same cycle or None
    when the cycle is over. `changed` says whether the attempt published a new generation. `hold` are the removals that
    are held after it, `held` counts those that nobody rejected, and `hold_change` says what the attempt changed about
    them, see `guard.change`. `scope` and `accepted_at` (Unix seconds; 0 if no user asked for it) are those of the
    request. `seen_at` is when the oldest change that it took over was seen, in monotonic seconds: it may be one of
    failed attempts before it; if none was seen it is the begin of the attempt.
    """

    kind: str
    trigger: Trigger
    request_id: str
    attempt: int
    result: Result
    started_at: float
    duration: float
    error: str | None = None
    error_type: str | None = None
    retry_in: float | None = None
    streak_before: int = 0
    consecutive_failures: int = 0
    items: int = 0
    rejected: int = 0
    generation: int = 0
    changed: bool = False
    hold: Hold | None = None
    hold_change: str = ""
    held: int = 0
    scope: str | None = None
    accepted_at: float = 0.0
    seen_at: float | None = None


@dataclass(frozen=True, slots=True)
class Swap:
    """A new generation that is served: what was served before it (None: nothing), and the id of the request whose
    attempt published it (None: a watch, or a user's decision about held removals).
    """

    kind: str
    before: Snapshot[Any] | None
    after: Snapshot[Any]
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """A generation published without an attempt: by a watch, `seconds` after its oldest change was seen, or by a user's
    decision about held removals (`seconds` and `seen_at` are None then). The last three are as in `Outcome`.
    """

    kind: str
    generation: int
    seconds: float | None
    items: int
    rejected: int
    hold: Hold | None = None
    hold_change: str = ""
    seen_at: float | None = None


@dataclass(eq=False, slots=True)
class Request:
    """A requested refresh: one cycle.

    A caller may wait for `first` (an attempt has ended) or `done` (the cycle is over), then read `outcome` (None if no
    attempt has ended). It is `superseded` if its cycle ended because a newer request took its place. `scope` restricts
    the refresh to a part, in terms of the kind; None is everything. `run` is the number of the run that executes it, 0
    before. `seen_at` is when the change that it was requested for was seen, in monotonic seconds; None without one.
    """

    trigger: Trigger
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    scope: str | None = None
    accepted_at: float = 0.0
    run: int = 0
    seen_at: float | None = None
    first: threading.Event = field(default_factory=threading.Event, repr=False)
    done: threading.Event = field(default_factory=threading.Event, repr=False)
    outcome: Outcome | None = None
    superseded: bool = False
