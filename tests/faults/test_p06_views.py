"""SIGTERM while PostgreSQL refreshes: the statement is cancelled, and the program is gone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.test_d_postgres import backend, slow_view, wait_for
from tests.postgres import hierarchy
from tests.process.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database


@pytest.fixture
def database() -> Iterator[Database]:
    database = hierarchy()
    yield database
    database.drop()


def test_p06_a_stop_cancels_the_refresh_that_runs_and_closes_the_pool(database: Database) -> None:
    slow_view(database, seconds=60)
    env = {"VIEWS_DATABASE_URL": database.dsn(), "VIEWS": "mv_slow,mv_entity_ancestors,mv_descendant_counts"}
    with Program(env=env) as program:
        wait_for(lambda: backend(database), 30)
        assert program.get("/api/entities/e1.e2/ancestors")[0] == 200, "the pool is open"
        began = time.monotonic()
        took = program.stop()
        wait_for(lambda: backend(database) is None)
        assert max(took, time.monotonic() - began) < 20, "much less than the minute that the statement would take"
        assert program.process.returncode == 0, program.stderr
        assert program.log[-1]["message"] == "shutdown_clean"
        assert "couldn't stop thread" not in program.stderr + "".join(program.lines)
        assert not program.find("View mv_slow refreshed")
    count = "select count(*) from pg_stat_activity where application_name = 'alert-refresh' and datname = %s"
    wait_for(lambda: database.value(count, database.name) == 0)


def test_p06_no_canary_of_the_connection_string_is_ever_logged(database: Database) -> None:
    env = {
        "VIEWS_DATABASE_URL": database.dsn(password="pg-canary"),
        "REDIS_URL": "redis://:redis-canary@127.0.0.1:1/0",
        "ALERT_REFRESH_LOG_LEVEL": "DEBUG",
        "ALERT_REFRESH_DEBUG_SAMPLE": "1",
    }
    with Program(env=env) as program:
        program.wait_for("Views refreshed successfully")
        assert program.get("/api/entities/e1.e2/ancestors")[0] == 200
        assert program.get("/api/entities/refresh/status")[2]["cache_metrics"]["l2_cache"]["available"] is False
        program.stop()
        assert "canary" not in "".join(program.lines) + program.stderr
