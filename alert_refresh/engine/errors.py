"""Every error the engine raises or understands, in one tree.

A source tells the engine what went wrong by the class it raises (`Transient` is retried, `Permanent` is
not) and by `error_type`, a word from its kind's own closed list that becomes a metric label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.engine.guard.judge import Hold
    from alert_refresh.engine.snapshot import Snapshot

TIMEOUT = "timeout"
UNKNOWN = "unknown"


class RefreshError(Exception):
    """Raised when an operation of this program fails; the base class of all errors."""


class AttemptError(RefreshError):
    """Raised when an attempt failed. `str()` is safe to show: it never holds a credential or a body."""

    def __init__(self, message: str, error_type: str = UNKNOWN) -> None:
        super().__init__(message)
        self.error_type = error_type


class Transient(AttemptError):
    """Raised when an attempt failed for a reason that may be temporary: it is retried with backoff.

    `retry_after` is the wait in seconds that the server requested, or None.
    """

    def __init__(self, message: str, error_type: str = UNKNOWN, retry_after: float | None = None) -> None:
        super().__init__(message, error_type)
        self.retry_after = retry_after


class Permanent(AttemptError):
    """Raised when an immediate retry cannot help: the next tick, a manual refresh or a watched change tries again."""


class Partial(RefreshError):
    """Raised when only a part was refreshed: `snapshot` is published, and the attempt fails with `cause`."""

    def __init__(self, snapshot: Snapshot[Any], cause: AttemptError) -> None:
        super().__init__(str(cause))
        self.snapshot = snapshot
        self.cause = cause


class Interrupted(RefreshError):
    """Raised when a wait between attempts ends early, which ends the cycle."""


class Stopping(Interrupted):
    """Raised when the worker is stopping; not a failure."""


class Superseded(Interrupted):
    """Raised when another request replaces a cycle that waits for its next attempt."""


class Overtaken(RefreshError):
    """Raised when something else was published meanwhile: the snapshot must be rebased, or judged again, first."""


class AlreadyStarted(RefreshError):
    """Raised when `start()` is called on a running worker."""


class NotStarted(RefreshError):
    """Raised when a refresh is requested while the worker is not running or is shutting down."""


class RefreshInProgress(RefreshError):
    """Raised when an attempt is running, or an accepted one has not begun.

    `started_at` is the start of the running one in Unix seconds, `retry_after` the seconds until its deadline.
    """

    def __init__(self, started_at: float, retry_after: float) -> None:
        super().__init__("a refresh is already in progress")
        self.started_at = started_at
        self.retry_after = retry_after


class RateLimitExceeded(RefreshError):
    """Raised when a manual refresh is within the window of the last accepted one; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("manual refresh rate limit exceeded")
        self.retry_after = retry_after


class NotHeld(RefreshError):
    """Raised when no removals with this proposal are held; `hold` is what is held now, or None."""

    def __init__(self, hold: Hold | None) -> None:
        super().__init__("no removals with this proposal are held")
        self.hold = hold


class ShutdownTimeout(RefreshError):
    """Raised when a running attempt did not end within `stop(timeout)`; it is abandoned and can no longer publish."""


class ConfigError(RefreshError):
    """Raised when a setting is invalid: `field` and `value` as given (masked if secret), and the `reason`."""

    def __init__(self, field: str, value: str, reason: str) -> None:
        super().__init__(f"{field}={value!r}: {reason}")
        self.field = field
        self.value = value
        self.reason = reason


class ConfigErrors(RefreshError):
    """Raised when settings are invalid; `faults` lists all of them."""

    def __init__(self, faults: Sequence[ConfigError]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)
