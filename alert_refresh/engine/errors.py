"""Every error the engine raises or understands, in one tree.

A source tells the engine what went wrong by the class it raises (`Transient` is retried, `Permanent` is
not) and by `error_type`, a word from its kind's own closed list that becomes a metric label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.engine.snapshot import Snapshot

TIMEOUT = "timeout"
UNKNOWN = "unknown"


class RefreshError(Exception):
    """Raised when anything of ours goes wrong; the root of the tree."""


class AttemptError(RefreshError):
    """Raised when one attempt failed; `str()` is safe to show: it never holds a credential or a body."""

    def __init__(self, message: str, error_type: str = UNKNOWN) -> None:
        super().__init__(message)
        self.error_type = error_type


class Transient(AttemptError):
    """Raised when an attempt failed in a way that may pass by itself: it is retried with backoff.

    `retry_after` is the wait in seconds the other side asked for, or None.
    """

    def __init__(self, message: str, error_type: str = UNKNOWN, retry_after: float | None = None) -> None:
        super().__init__(message, error_type)
        self.retry_after = retry_after


class Permanent(AttemptError):
    """Raised when retrying at once cannot help: the next tick, a manual refresh or a change of cause tries again."""


class Partial(RefreshError):
    """Raised when a part was refreshed: `snapshot` is published, and the attempt fails with `cause`."""

    def __init__(self, snapshot: Snapshot[Any], cause: AttemptError) -> None:
        super().__init__(str(cause))
        self.snapshot = snapshot
        self.cause = cause


class Interrupted(RefreshError):
    """Raised when a wait between attempts ends early; the cycle is over."""


class Stopping(Interrupted):
    """Raised when the worker is told to stop; not a failure."""


class Superseded(Interrupted):
    """Raised when another request takes the place of a cycle that waits for its next attempt."""


class Overtaken(RefreshError):
    """Raised when a watch published while an attempt ran: its snapshot must be brought up to date first."""


class AlreadyStarted(RefreshError):
    """Raised when `start()` is called on a worker that runs."""


class NotStarted(RefreshError):
    """Raised when a refresh is asked of a worker that does not run or is shutting down."""


class RefreshInProgress(RefreshError):
    """Raised when an attempt executes, or an accepted one has not begun.

    `started_at` is Unix seconds of the running one, `retry_after` the seconds until it must have ended.
    """

    def __init__(self, started_at: float, retry_after: float) -> None:
        super().__init__("a refresh is already in progress")
        self.started_at = started_at
        self.retry_after = retry_after


class RateLimitExceeded(RefreshError):
    """Raised when a manual refresh comes inside the window of the last accepted one; `retry_after` in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("manual refresh rate limit exceeded")
        self.retry_after = retry_after


class ShutdownTimeout(RefreshError):
    """Raised when a running attempt did not end within `stop(timeout)`; it is abandoned and can no longer publish."""


class ConfigError(RefreshError):
    """Raised when one setting is wrong: `field` and `value` as given (masked if secret), and the `reason`."""

    def __init__(self, field: str, value: str, reason: str) -> None:
        super().__init__(f"{field}={value!r}: {reason}")
        self.field = field
        self.value = value
        self.reason = reason


class ConfigErrors(RefreshError):
    """Raised when settings are wrong; `faults` lists all of them."""

    def __init__(self, faults: Sequence[ConfigError]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)
