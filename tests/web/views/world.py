"""The whole daemon with its views on over a throw-away database, and the app over it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from alert_refresh.daemon import Daemon, read_config
from alert_refresh.web.app import create_app
from tests.postgres import hierarchy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from alert_refresh.engine import Worker
    from alert_refresh.views.source import PostgresSource
    from tests.postgres import Database

ENTITIES = "/api/entities"
REFRESH = f"{ENTITIES}/refresh"
AUTOMATED = f"{REFRESH}/automated"


HELD = 77
"""The number of the advisory lock for which the refresh of a held view waits."""


def held_view(database: Database, name: str) -> None:
    """A populated view whose refresh waits while `holding`, for as long as that takes."""
    database.run(
        "create function held() returns integer language plpgsql set lock_timeout = 0"
        f" as 'begin perform pg_advisory_xact_lock_shared({HELD}); return 1; end'",
        f"create materialized view {name} as select held() as id",
        f"create unique index on {name} (id)",
    )


@contextmanager
def holding(database: Database) -> Iterator[Callable[[], object]]:
    """Refreshes of a held view do not end, until what is yielded is called."""
    with database.connect() as holder:
        holder.execute("select pg_advisory_lock(%s)", [HELD])
        yield lambda: holder.execute("select pg_advisory_unlock(%s)", [HELD])


class ViewsWorld:
    """`start` starts the daemon and waits for the start-up refresh, unless the schedule is off."""

    def __init__(self, database: Database | None = None, dsn: str | None = None, **environ: str) -> None:
        self.database = database or hierarchy()
        self._own = database is None
        defaults = {
            "VIEWS_DATABASE_URL": dsn or self.database.dsn(),
            "VIEWS_REFRESH_WARMUP": "1h",
            "VIEWS_LOCK_TIMEOUT": "1s",
            "VIEWS_CACHE_LEASE": "10ms",
        }
        self.daemon = Daemon(read_config({**defaults, **environ}))
        self.app = create_app(self.daemon)
        self._ended = threading.Semaphore(0)
        self.worker.listen(lambda outcome: self._ended.release())

    @property
    def worker(self) -> Worker[Any]:
        return self.daemon.workers["views"]

    @property
    def source(self) -> PostgresSource:
        return cast("PostgresSource", self.worker.source)

    def start(self) -> Self:
        self.daemon.start()
        if not self.worker.get_status().paused:
            self.attempt_ends()
        return self

    def attempt_ends(self) -> None:
        assert self._ended.acquire(timeout=30)

    def post(self, path: str = "", **arguments: Any) -> Any:
        return self.app.test_client().post(REFRESH + path, **arguments)

    def get(self, path: str, **arguments: Any) -> Any:
        return self.app.test_client().get(ENTITIES + path, **arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.stop(5)
        if self._own:
            self.database.drop()
