"""The check of views by `alert-refresh check`: it connects and reads the catalog, and refreshes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from alert_refresh.engine import Fault, Rejected, Snapshot
from alert_refresh.views import catalog
from alert_refresh.views.database import pooler
from alert_refresh.views.database.connect import connect, set_timeouts
from alert_refresh.views.database.failure import failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.engine import Clock, Deadline, Request, Sink, Watch
    from alert_refresh.views import Settings
    from alert_refresh.views.view import Plan


class Look:
    """A read-only source: its items are the plans of views that can be refreshed, the others are rejected."""

    name = "postgres"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[Plan]:
        """Read the catalog.

        Raises:
            AttemptError: the database cannot be reached or read, or refreshes would go through a shared pooler.
        """
        assert self._settings.url is not None
        with connect(self._settings.url, deadline) as connection:
            try:
                pooler.refuse_shared(connection, self._settings.url, self._clock, deadline)
                set_timeouts(connection, lock=self._settings.lock_timeout, statement=deadline.check())
                plans = catalog.plan(connection, self._settings.views)
            except psycopg.Error as error:
                raise failure(error) from error
        faults = {plan.name: fault for plan in plans if (fault := plan.fault())}
        return Snapshot(
            items={plan.name: plan for plan in plans if plan.name not in faults},
            rejected=tuple(Rejected({"view": name}, (Fault("view", fault),)) for name, fault in faults.items()),
        )

    def watches(self, sink: Sink) -> Sequence[Watch]:
        """Nothing to watch."""
        return ()

    def close(self) -> None:
        """Nothing is kept open."""
