"""The refresh engine, the same for every kind.

A worker's thread waits until the next tick of its schedule or until it is woken: by `refresh_now`, by a
watch that saw a change, or by stop. It then runs one cycle: `state.begin`, then the source's `refresh`
under a deadline, retried by tenacity according to the policy, then `state.finish`, which swaps in the new
snapshot or keeps the old one, and each listener is called with the outcome.

Readers call `get_status()`: one frozen object, no lock. A kind implements `Source`; the engine is independent
of what is refreshed. In your own process:

    worker = Worker(Kind("prices", "PRICES_", ("network",)), my_source, RefreshSettings(interval=60))
    worker.start(); worker.refresh_now(); worker.get_status(); worker.stop(timeout=10)
"""

from alert_refresh.engine.backoff import Backoff
from alert_refresh.engine.clock import Clock, Deadline, SystemClock
from alert_refresh.engine.cron import Cron, CronError
from alert_refresh.engine.errors import (
    AlreadyStarted,
    AttemptError,
    ConfigError,
    ConfigErrors,
    NotHeld,
    NotStarted,
    Partial,
    Permanent,
    RateLimitExceeded,
    RefreshError,
    RefreshInProgress,
    ShutdownTimeout,
    Stopping,
    Transient,
)
from alert_refresh.engine.guard.judge import Hold, Limits
from alert_refresh.engine.outcome import Outcome, Publication, Request, Result, Swap, Trigger
from alert_refresh.engine.schedule import Adaptive, Earliest, Interval, Never, Schedule
from alert_refresh.engine.snapshot import Difference, Fault, Rejected, Skipped, Snapshot
from alert_refresh.engine.source import Kind, Protection, RefreshSettings, Sink, Source, Watch, WatchHealth
from alert_refresh.engine.status import Attempt, Status
from alert_refresh.engine.threads import Mailbox
from alert_refresh.engine.worker import Worker

__all__ = [
    "Adaptive",
    "AlreadyStarted",
    "Attempt",
    "AttemptError",
    "Backoff",
    "Clock",
    "ConfigError",
    "ConfigErrors",
    "Cron",
    "CronError",
    "Deadline",
    "Difference",
    "Earliest",
    "Fault",
    "Hold",
    "Interval",
    "Kind",
    "Limits",
    "Mailbox",
    "Never",
    "NotHeld",
    "NotStarted",
    "Outcome",
    "Partial",
    "Permanent",
    "Protection",
    "Publication",
    "RateLimitExceeded",
    "RefreshError",
    "RefreshInProgress",
    "RefreshSettings",
    "Rejected",
    "Request",
    "Result",
    "Schedule",
    "ShutdownTimeout",
    "Sink",
    "Skipped",
    "Snapshot",
    "Source",
    "Status",
    "Stopping",
    "Swap",
    "SystemClock",
    "Transient",
    "Trigger",
    "Watch",
    "WatchHealth",
    "Worker",
]
