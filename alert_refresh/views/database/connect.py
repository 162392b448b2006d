"""Connections whose waits are bounded: by a deadline, and by a stop of the program."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import conninfo

from alert_refresh.engine import Stopping
from alert_refresh.views.database.failure import TooLate, connect_failure

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator

    from alert_refresh.credential import Credential
    from alert_refresh.engine import Deadline

DEFAULTS: dict[str, Any] = {
    "application_name": "alert-refresh",
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 5,
    "tcp_user_timeout": 30_000,
}
"""Defaults of libpq parameters; the connection string overrides them. `tcp_user_timeout` is in milliseconds."""

ENCODE = "; in a URI write @ : / % of a password as %40 %3A %2F %25"
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

POLL = 0.1
"""Seconds between checks of the deadline and of a stop while a statement runs."""
LATE = 0.5
"""Seconds after the deadline in which the server may still report its own timeout."""
CANCEL = 2.0
"""Seconds that a cancelled statement may take to end before the connection is closed."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection whose waits for the server end at the `deadline` and when `stopping` is set.

    The server's timeouts end a slow statement; this covers a server or network that does not respond.
    """

    deadline: Deadline | None = None
    stopping: threading.Event | None = None

    def wait(self, gen: Any, interval: float = POLL, timeout: float | None = None) -> Any:
        """Run one exchange with the server.

        Raises:
            TooLate: no answer by the deadline.
            Stopping: stop was asked for; the statement is cancelled.
        """
        return super().wait(self._bounded(gen), interval=interval)

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready:
                    self._look_at_the_time()
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    def _look_at_the_time(self) -> None:
        if self.deadline is not None and self.deadline.remaining() < -LATE:
            self.pgconn.finish()
            raise TooLate("no answer in time")
        if self.stopping is not None and self.stopping.is_set():
            self._cancel()
            raise Stopping("the refresh is cancelled")

    def _cancel(self) -> None:
        """Cancel the statement and close the connection, so that it is not used again."""
        self.stopping = None
        try:
            self.cancel_safe(timeout=CANCEL)
        except psycopg.Error:
            pass
        finally:
            self.pgconn.finish()


def fault_of(text: str) -> str | None:
    """The fault of a connection string; libpq's own message may contain a password and is discarded."""
    try:
        given = conninfo.conninfo_to_dict(text)
    except psycopg.ProgrammingError:
        return f"is not a PostgreSQL connection string such as postgresql://user@host/database{ENCODE}"
    ports = [one for one in str(given.get("port") or "").split(",") if one]
    if not all(one.isdecimal() and one.isascii() and 1 <= int(one) <= 65535 for one in ports):
        return f"has a port that is not from 1 to 65535{ENCODE}"
    if any("@" in one for one in str(given.get("host") or "").split(",") if not one.startswith(("/", "@"))):
        return f"has an @ in its host{ENCODE}"
    if (given.get("sslmode") or "prefer") not in SSL_MODES:
        return f"has an sslmode that is none of {', '.join(SSL_MODES)}"
    return None


def parameters(url: Credential, connect_timeout: float = 10.0) -> dict[str, Any]:
    """The arguments of `connect`; the connection string overrides them. libpq takes the timeout in whole seconds."""
    given = conninfo.conninfo_to_dict(url.reveal())
    return DEFAULTS | {"connect_timeout": max(2, math.ceil(connect_timeout))} | given


def connect(
    url: Credential, deadline: Deadline, stopping: threading.Event | None = None, *, worked: bool = False
) -> BoundedConnection:
    """A connection in autocommit mode, bounded by `deadline`. `worked` is whether one succeeded before.

    Raises:
        Transient: it failed and may succeed later (`network`, `dns`, `timeout`).
        Permanent: the server refuses us (`auth`), or the connection string is wrong (`config`).
    """
    try:
        connection = BoundedConnection.connect(**parameters(url, min(10.0, deadline.check())), autocommit=True)
    except psycopg.Error as error:
        raise connect_failure(error, worked=worked) from error
    connection.deadline = deadline
    connection.stopping = stopping
    return connection


def set_timeouts(connection: psycopg.Connection[Any], *, lock: float, statement: float) -> None:
    """Set the timeouts of this session; both in seconds, neither ever 0, which would disable it.

    With `client_connection_check_interval` the server ends a statement whose client is gone.
    """
    settings = {"lock_timeout": milliseconds(lock), "statement_timeout": milliseconds(statement)}
    if connection.info.server_version >= 140000:
        settings["client_connection_check_interval"] = "1000"
    calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
    values = [word for setting in settings.items() for word in setting]
    connection.execute(f"select {calls}".encode(), values)


def milliseconds(seconds: float) -> str:
    """Seconds as a setting of PostgreSQL in milliseconds, at least 1."""
    return str(max(1, min(int(seconds * 1000), 2**31 - 1)))
