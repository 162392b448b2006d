"""Detects whether a connection goes through a pooler, and through one that shares sessions between clients.

A pooler such as pgbouncer issues its own cancel keys, so the backend pid that libpq knows is not that of the backend
that answers. In transaction and statement mode the next transaction of any client may run in our session: it would
inherit our advisory locks and timeouts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from alert_refresh.engine import Deadline, Permanent
from alert_refresh.views.database.connect import connect
from alert_refresh.views.database.failure import TooLate

if TYPE_CHECKING:
    from alert_refresh.credential import Credential
    from alert_refresh.engine import Clock

PATIENCE = 2.0
"""Seconds that a second session may wait for a backend."""

ROUNDS = 5
"""How many times a second session is compared: other clients of the pooler may hide the sharing once."""

SHARED = (
    "VIEWS_DATABASE_URL leads through a pooler in transaction or statement mode, where locks and timeouts leak to other"
    " clients; use session mode, or a direct connection here and the pooler in VIEWS_READ_URL"
)


def pooled(connection: psycopg.Connection[Any]) -> bool:
    """Whether there is a pooler between this connection and the backend that answers."""
    return connection.info.backend_pid != _process(connection)


def refuse_shared(connection: psycopg.Connection[Any], url: Credential, clock: Clock, deadline: Deadline) -> None:
    """Refuse a pooler that shares sessions; call it before anything is set on the connection.

    Raises:
        Permanent: it does (`config`).
        AttemptError: the second session could not be opened.
        psycopg.Error: the first one failed.
    """
    if not pooled(connection):
        return
    for _ in range(ROUNDS):
        deadline.check()
        with connect(url, Deadline(clock, PATIENCE), worked=True) as other:
            try:
                shared = _shares(connection, other)
            except TooLate:  # it gets no backend while ours is idle, so ours is reserved for us
                return
            if shared:
                raise Permanent(SHARED, "config")


def _shares(connection: psycopg.Connection[Any], other: psycopg.Connection[Any]) -> bool:
    """Whether the other session, in a transaction, got our backend, or we get another one while it holds ours."""
    mine = _process(connection)
    try:
        other.execute("begin", prepare=False)
        theirs = _process(other)
    except psycopg.errors.ProtocolViolation:  # pgbouncer in statement mode allows no transactions
        return True
    return theirs == mine or _process(connection) != mine


def _process(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("select pg_backend_pid()", prepare=False).fetchone()
    assert row is not None
    return int(row[0])
