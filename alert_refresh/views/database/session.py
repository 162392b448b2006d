"""The connection of one attempt: opened when it is needed, and again when it breaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from alert_refresh.engine import AttemptError
from alert_refresh.views.database import pooler, tables
from alert_refresh.views.database.connect import connect, set_timeouts
from alert_refresh.views.database.failure import failure
from alert_refresh.views.database.tables import Tables

if TYPE_CHECKING:
    import threading

    from alert_refresh.credential import Credential
    from alert_refresh.engine import Clock, Deadline
    from alert_refresh.views import Settings
    from alert_refresh.views.database.connect import BoundedConnection


@dataclass(eq=False, slots=True)
class Access:
    """The connection string for refreshes, and whether it has `worked` in this process."""

    url: Credential
    worked: bool = False


@dataclass(eq=False, slots=True)
class Session:
    """Provides the connection. `tables` says which of our tables can be written, `current` is the connection."""

    settings: Settings
    access: Access
    clock: Clock
    deadline: Deadline
    stopping: threading.Event
    tables: Tables = field(default_factory=Tables)
    current: BoundedConnection | None = None

    @property
    def open(self) -> bool:
        """Whether there is a connection that is not known to be broken."""
        return self.current is not None and not self.current.closed

    def connection(self) -> BoundedConnection:
        """The connection, or a new one if it broke.

        Raises:
            AttemptError: it cannot be opened, or goes through a pooler that shares sessions.
        """
        if self.current is not None and not self.current.closed:
            return self.current
        self.current = connection = connect(self.access.url, self.deadline, self.stopping, worked=self.access.worked)
        self.access.worked = True
        try:
            self._prepare(connection)
        except psycopg.Error as error:
            connection.close()
            raise failure(error) from error
        except AttemptError:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: BoundedConnection) -> None:
        pooler.refuse_shared(connection, self.access.url, self.clock, self.deadline)
        statement = min(self.settings.statement_timeout, self.deadline.check())
        set_timeouts(connection, lock=self.settings.lock_timeout, statement=statement)
        self.tables = tables.ensure(connection)

    def close(self) -> None:
        """Close it, if there is one."""
        if self.current is not None:
            self.current.close()
