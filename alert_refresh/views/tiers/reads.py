"""The connection pool of the reads, separate from the connection that refreshes."""

from __future__ import annotations

import logging
import select
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from alert_refresh.engine import Backoff, Deadline, RefreshError
from alert_refresh.views.database import pooler
from alert_refresh.views.database.connect import BoundedConnection, parameters, set_timeouts
from alert_refresh.views.database.failure import failure
from alert_refresh.views.tiers.circuit import Circuit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alert_refresh.credential import Credential
    from alert_refresh.engine import Clock

WAIT = 2.0
"""Seconds a read waits for a connection."""
SLOW = 1.0
"""Seconds a read may take beyond the wait for a lock."""
ALERT_AT = 0.8
"""The share of the pool in use at which there is a warning."""

NOT_POPULATED = "the view has never been populated"

# The pool logs libpq's message about a failed connection, with host, role and database. Our own log line replaces it.
for _name in ("psycopg", "psycopg.pool"):
    logging.getLogger(_name).setLevel(logging.ERROR)

log = logging.getLogger(__name__)


class Unavailable(RefreshError):
    """Raised when the database cannot be read now; `retry_after` in seconds."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Reads:
    """Connections for reads. `limit` is the longest wait of a read for a lock, in seconds.

    `pooled` is whether they go through a pooler. Then no session settings and no prepared statements are used, since
    the next client may get the same session; reads are bounded by their deadlines only.
    """

    def __init__(self, url: Credential, clock: Clock, *, size: int, limit: float) -> None:
        self._url = url
        self._clock = clock
        self._limit = limit
        self._circuit = Circuit(clock, Backoff(0.5, 5.0))
        self._pool: ConnectionPool[BoundedConnection] = self._new(size)
        self.size = size
        self.in_use = 0
        self.peak = 0
        self.pooled = False

    @property
    def available(self) -> bool:
        """Whether the last read reached the database."""
        return self._circuit.healthy

    @contextmanager
    def connection(self) -> Iterator[BoundedConnection]:
        """A connection for one read.

        Raises:
            Unavailable: there is none, or the read failed on it.
        """
        if not self._circuit.closed():
            raise Unavailable("the database cannot be reached", self._circuit.left())
        self.in_use += 1
        self.peak = max(self.peak, self.in_use)
        try:
            self._pool.open()
            with self._pool.connection(WAIT) as connection:
                connection.deadline = Deadline(self._clock, self._limit + SLOW)
                yield connection
            self._circuit.worked()
        except PoolTimeout as error:
            self._circuit.failed()
            raise Unavailable("the database cannot be reached, or all connections are in use") from error
        except psycopg.Error as error:
            if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
                self._circuit.failed()
            words = NOT_POPULATED if isinstance(error, psycopg.errors.ObjectNotInPrerequisiteState) else failure(error)
            raise Unavailable(str(words)) from error
        finally:
            self.in_use -= 1

    def renew(self) -> None:
        """Create a new pool: a closed one cannot be reopened."""
        if self._pool.closed:
            self._pool = self._new(self.size)

    def check(self) -> None:
        """Replace broken connections, and log a warning if the pool was nearly exhausted since the last check."""
        peak, self.peak = self.peak, self.in_use
        if peak >= ALERT_AT * self.size:
            log.warning("%d of %d connections for reads were in use at once; see VIEWS_POOL_MAX", peak, self.size)
        if not self._pool.closed:
            self._pool.check()

    def close(self) -> None:
        """Close every connection and end the pool's threads."""
        self._pool.close(timeout=3.0)

    def _new(self, size: int) -> ConnectionPool[BoundedConnection]:
        return ConnectionPool(
            kwargs={**parameters(self._url, WAIT), "autocommit": True},
            connection_class=BoundedConnection,
            min_size=0,
            max_size=size,
            open=False,
            configure=self._configure,
            check=self._check,
            name="views-pool",
            timeout=WAIT,
            reconnect_timeout=WAIT,
            num_workers=2,
        )

    def _configure(self, connection: psycopg.Connection[Any]) -> None:
        self._bound(connection)
        self.pooled = pooler.pooled(connection)
        if self.pooled:
            connection.prepare_threshold = None
        else:
            set_timeouts(connection, lock=self._limit, statement=self._limit + SLOW)

    def _bound(self, connection: psycopg.Connection[Any]) -> None:
        """Connect with bounded waits for the pool's own statements, too."""
        if isinstance(connection, BoundedConnection):
            connection.deadline = Deadline(self._clock, WAIT)

    def _check(self, connection: psycopg.Connection[Any]) -> None:
        """Called before a connection is handed out, so that one that the server has closed is replaced first.

        An idle connection is not readable; if it is, the server may have closed it, and only then a query checks it.
        """
        self._bound(connection)
        readable = select.poll()
        readable.register(connection.fileno(), select.POLLIN)
        if readable.poll(0):
            ConnectionPool.check_connection(connection)
