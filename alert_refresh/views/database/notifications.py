"""LISTEN alert_refresh: a change that a trigger reports causes a refresh immediately, not at the next interval."""

from __future__ import annotations

import os
import select
import weakref
from typing import TYPE_CHECKING, Any

import psycopg

from alert_refresh.engine import AttemptError, Deadline, Stopping, Trigger, Watch, WatchHealth
from alert_refresh.views.database import pooler
from alert_refresh.views.database.connect import connect
from alert_refresh.views.database.failure import failure

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from alert_refresh.credential import Credential
    from alert_refresh.engine import Clock, Sink
    from alert_refresh.views.database.connect import BoundedConnection

CHANNEL = "alert_refresh"
PROOF = 30.0
"""Seconds without data after which the connection is checked by a query."""
PATIENCE = 10.0
"""Timeout of connecting and of that query, in seconds."""
LONGEST_WAIT = 30.0
"""The longest wait between two attempts to connect, in seconds."""
EVERYTHING = ""
"""The payload that means all views; it also replaces too many different payloads."""
MOST = 1000


class Notifications(Watch):
    """Waits for notifications on a separate connection; passes their payloads to `changed` and requests a refresh.

    Those within `debounce` seconds of the first one cause one refresh. `stopping` is set when the source stops.
    """

    name = "notify"

    def __init__(
        self,
        url: Credential,
        clock: Clock,
        sink: Sink,
        stopping: threading.Event,
        debounce: float,
        changed: Callable[[set[str]], None],
    ) -> None:
        self._url = url
        self._clock = clock
        self._sink = sink
        self._stopping = stopping
        self._debounce = debounce
        self._changed = changed
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._wake)
        self._life = WatchHealth(connected=False)
        self._failures = 0

    def run(self) -> None:
        """Listen until `stop`; a broken connection is replaced, with a backoff between failures."""
        while not self._stopping.is_set():
            try:
                self._listen()
            except psycopg.Error as error:
                self._broke(failure(error))
            except AttemptError as error:
                self._broke(error)
            except Stopping:
                return

    def stop(self) -> None:
        """Make `run` return immediately; the owner of `stopping` sets that event."""
        self._stopping.set()
        os.eventfd_write(self._wake, 1)

    def health(self) -> WatchHealth:
        """The state of the connection."""
        return self._life

    def _broke(self, error: AttemptError) -> None:
        self._life = WatchHealth(False, self._life.last_proof_of_life, str(error))
        wait = min(2.0**self._failures, LONGEST_WAIT)
        self._failures += 1
        self.back_by = self._clock.monotonic() + wait
        self._clock.wait(self._stopping, wait)

    def _listen(self) -> None:
        """Connect and process notifications, until stop or a failure."""
        self.back_by = self._clock.monotonic() + 2 * PATIENCE
        deadline = Deadline(self._clock, PATIENCE)
        with connect(self._url, deadline, self._stopping) as connection:
            pooler.refuse_shared(connection, self._url, self._clock, deadline)
            connection.execute(f"listen {CHANNEL}".encode())
            self._failures = 0
            self._proven()
            while not self._stopping.is_set():
                pending = self._next(connection)
                if pending:
                    self._gather(connection, pending)

    def _next(self, connection: BoundedConnection) -> set[str]:
        """Wait for a notification; check the connection when there was none for long."""
        if self._ready(connection, PROOF):
            return self._received(connection)
        if not self._stopping.is_set():
            connection.deadline = Deadline(self._clock, PATIENCE)
            connection.execute("select 1")
            self._proven()
            return self._received(connection)
        return set()

    def _gather(self, connection: BoundedConnection, pending: set[str]) -> None:
        """Collect notifications during the debounce time, then request one refresh."""
        until = self._clock.monotonic() + self._debounce
        while (left := until - self._clock.monotonic()) > 0 and not self._stopping.is_set():
            if self._ready(connection, left):
                pending |= self._received(connection)
        if len(pending) > MOST:
            pending = {EVERYTHING}
        self._changed(pending)
        self._sink.notify(Trigger.WATCH)

    def _received(self, connection: BoundedConnection) -> set[str]:
        """The payloads that have arrived."""
        connection.deadline = Deadline(self._clock, PATIENCE)
        payloads = {one.payload for one in connection.notifies(timeout=0)}
        if payloads:  # a connection that the server is closing is readable too
            self._proven()
        return payloads

    def _ready(self, connection: psycopg.Connection[Any], seconds: float) -> bool:
        """Whether the connection becomes readable within `seconds`; stop ends the wait."""
        self.back_by = self._clock.monotonic() + seconds + PATIENCE
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        return any(descriptor != self._wake for descriptor, _ in poll.poll(seconds * 1000))

    def _proven(self) -> None:
        self._life = WatchHealth(True, self._clock.time())
