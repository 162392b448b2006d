"""Upkeep between refreshes: the health of the pool, unwritten history, old rows."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from alert_refresh.engine import Watch
from alert_refresh.views import history
from alert_refresh.views.database import tables
from alert_refresh.views.tiers.reads import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from alert_refresh.engine import Clock
    from alert_refresh.views.history import History
    from alert_refresh.views.tiers.reads import Reads

EVERY = 30.0
"""Seconds between two rounds."""
PRUNE_EVERY = 3600.0
"""Seconds between two deletions of old rows."""

log = logging.getLogger(__name__)


class Upkeep(Watch):
    """Runs in the thread of a watch; `stopping` also ends a running refresh."""

    def __init__(self, clock: Clock, reads: Reads, history: History, retention: float) -> None:
        self.stopping = threading.Event()
        self._clock = clock
        self._reads = reads
        self._history = history
        self._retention = retention
        self._pruned_at = float("-inf")

    def run(self) -> None:
        """A round every half minute, until `stop`."""
        while not self._clock.wait(self.stopping, EVERY):
            self.round()

    def stop(self) -> None:
        """End `run`, and cancel the statement of a refresh that runs."""
        self.stopping.set()

    def round(self) -> None:
        """Do what is due; if the database is unavailable, the next round retries."""
        self._reads.check()
        now = self._clock.monotonic()
        tasks: list[Callable[[], None]] = []
        if self._history.pending:
            tasks.append(self._write)
        if now - self._pruned_at >= PRUNE_EVERY:
            tasks.append(self._prune)
            self._pruned_at = now
        for task in tasks:
            try:
                task()
            except Unavailable as error:
                log.debug("Upkeep of the history is put off: %s", error)

    def _write(self) -> None:
        with self._reads.connection() as connection:
            found = tables.ensure(connection)
            if found.history:
                self._history.write(connection, outcomes=found.outcomes)

    def _prune(self) -> None:
        with self._reads.connection() as connection:
            deleted = history.prune(connection, self._retention) if tables.ensure(connection).history else 0
        if deleted:
            log.info("%d rows of the history are older than the retention and were deleted", deleted)
