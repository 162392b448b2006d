"""A pooler between us and PostgreSQL: session mode works, the other modes are refused, and leak nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from alert_refresh.cli.check import check_sources
from alert_refresh.credential import Credential
from alert_refresh.daemon import read_config
from alert_refresh.engine import Permanent, Trigger
from alert_refresh.views.database.pooler import SHARED
from tests.pgbouncer import PgBouncer
from tests.views.world import World, answered_however_late

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCKS = "select count(*) from pg_locks where locktype = 'advisory'"


@pytest.fixture(autouse=True)
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    answered_however_late(monkeypatch)


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("size", [1, 5])
def test_d20_a_pooler_that_shares_sessions_is_refused_and_the_settings_of_other_clients_do_not_change(
    world: World, mode: str, size: int
) -> None:
    with PgBouncer(world.database, mode, size) as bouncer, World(world.database, dsn=bouncer.dsn()) as other:
        clients = [psycopg.connect(bouncer.dsn(), autocommit=True, prepare_threshold=None) for _ in range(3)]
        assert [one.execute("select 1").fetchone() for one in clients] == [(1,)] * 3
        states = other.refresh(Trigger.STARTUP)
        assert isinstance(other.error, Permanent) and other.error.error_type == "config"
        assert {state.reason for state in states.values()} == {SHARED}
        for _ in range(2):
            assert all(state.failed for state in other.refresh(Trigger.PERIODIC).values()), "at every reconnect"
        for _ in range(10):
            assert other.source.resolver.ancestors("e1.e2"), "reads work, and more often than statements get prepared"
            other.source.resolver.l1.clear()
            other.clock.ahead += 1
        for client in clients:
            shown = [
                client.execute(f"show {name}".encode()).fetchone() for name in ("lock_timeout", "statement_timeout")
            ]
            assert shown == [("0",), ("0",)]
            client.close()
        assert world.database.value(LOCKS) == 0


def test_d20_a_check_reports_such_a_pooler_and_sets_nothing_either(world: World) -> None:
    with PgBouncer(world.database, "transaction", 1) as bouncer:
        environ = {"VIEWS_DATABASE_URL": bouncer.dsn(), "VIEWS_STATEMENT_TIMEOUT": "77s"}
        found = next(one for one in check_sources(read_config(environ)) if one["kind"] == "views")
        assert (found["error"], found["error_type"]) == (SHARED, "config")
        with psycopg.connect(bouncer.dsn()) as client:
            assert client.execute("show statement_timeout").fetchone() == ("0",)


def test_d20_without_the_refusal_locks_and_settings_would_leak(world: World) -> None:
    """The proof that the fault fires: what a session sets through this pooler, the next client has."""
    with PgBouncer(world.database, "transaction", 1) as bouncer:
        with psycopg.connect(bouncer.dsn(), autocommit=True) as one:
            one.execute("set lock_timeout = '77ms'")
            one.execute("select pg_advisory_lock(1)")
        with psycopg.connect(bouncer.dsn(), autocommit=True) as two:
            assert two.execute("show lock_timeout").fetchone() == ("77ms",)
        assert world.database.value(LOCKS) == 1


def test_d20_a_pooler_whose_sessions_are_busy_with_others_is_found_out(world: World) -> None:
    """Other clients take and release sessions all the time, so two of our sessions seldom share a backend."""
    with PgBouncer(world.database, "transaction", 3) as bouncer, World(world.database, dsn=bouncer.dsn()) as other:
        clients = [psycopg.connect(bouncer.dsn()) for _ in range(2)]
        for client in clients:
            client.execute("select pg_backend_pid()")
        other.refresh()
        assert isinstance(other.error, Permanent) and str(other.error).endswith(SHARED)
        for client in clients:
            client.close()


@pytest.mark.parametrize("size", [1, 5])
def test_d20_a_pooler_in_session_mode_works_also_when_it_has_one_session(world: World, size: int) -> None:
    with PgBouncer(world.database, "session", size) as bouncer, World(world.database, dsn=bouncer.dsn()) as other:
        started = time.monotonic()
        states = other.refresh()
        assert other.error is None and all(state.refreshed for state in states.values())
        assert time.monotonic() - started < 60
        if size > 1:  # the connection for reads keeps one
            assert all(state.refreshed for state in other.refresh(Trigger.PERIODIC).values())
        assert world.database.value(LOCKS) == 0


def test_d20_reads_through_a_pooler_and_refreshes_beside_it(world: World) -> None:
    with PgBouncer(world.database, "transaction") as bouncer:
        with World(world.database, read_url=Credential(bouncer.dsn())) as other:
            assert all(state.refreshed for state in other.refresh(Trigger.STARTUP).values())
            assert all(state.refreshed for state in other.refresh(Trigger.PERIODIC).values())
            assert other.source.resolver.ancestors("e1.e2")
            assert other.source.reads.pooled and not other.source.direct.pooled
            assert other.source.read_history(limit=1, view=None, since=None)["summary"]["total_count"] == 6
            assert other.source.resolver.metrics()["l4_cache"]["available"]
        other.source.close()
