"""Faults of PostgreSQL: what each does to a refresh, and what it must not do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from alert_refresh.engine import Permanent, Transient
from alert_refresh.views import advice, catalog
from alert_refresh.views.database.connect import LATE
from alert_refresh.views.names import name_fault
from alert_refresh.views.tiers.reads import Unavailable
from alert_refresh.views.view import Mode
from tests.postgres import VIEWS, Server
from tests.proxy import Proxy, unix
from tests.views.world import World, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database

SLOW_MACHINE = 15.0
"""Seconds added to every bound: other work may run on the machine."""
SLOW = "create materialized view {} as select id, pg_sleep({}) is null as slept from entities where path = 'e1'"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def private() -> Iterator[Server]:
    """A server of the test's own, to be stopped and started."""
    server = Server().create().start()
    yield server
    server.remove()


def slow_view(database: Database, name: str = "mv_slow", seconds: float = 60) -> None:
    """A populated view whose refresh takes a while."""
    database.run(
        "create table timings (seconds double precision)",
        "insert into timings values (0)",
        f"create materialized view {name} as select 1 as id, pg_sleep(seconds)::text as slept from timings",
        f"create unique index on {name} (id)",
        f"update timings set seconds = {seconds}",
    )


def gated_view(database: Database, name: str = "mv_slow") -> None:
    """A populated view whose refresh ends when there is a row in `gate`."""
    database.run(
        "create table gate (id int)",
        "insert into gate values (1)",
        "create function passed() returns int language plpgsql volatile as $$ begin"
        " while not exists (select from public.gate) loop perform pg_sleep(0.02); end loop; return 1; end $$",
        f"create materialized view {name} as select 1 as id, passed() as passed",
        f"create unique index on {name} (id)",
        "delete from gate",
    )


def backend(database: Database, words: str = "refresh materialized view%") -> int | None:
    """The process that executes a statement like these words now."""
    query = "select pid from pg_stat_activity where state = 'active' and query ilike %s and pid <> pg_backend_pid()"
    pid: int | None = database.value(query, words)
    return pid


def wait_for(condition: Any, seconds: float = 30.0) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)
    return found


def rows_of(world: World, view: str) -> list[Any]:
    return world.database.rows(f"select * from {view} order by 1, 2")


def test_d01_a_server_that_is_down_fails_every_view_and_is_used_again_when_it_is_back(private: Server) -> None:
    with World(private.database(), views=["mv_one"]) as world:
        world.database.run("create materialized view mv_one as select 1 as id", "create unique index on mv_one (id)")
        private.stop()
        states = world.refresh()
        assert isinstance(world.error, Transient) and world.error.error_type == "network"
        assert states["mv_one"].failed
        with pytest.raises(Unavailable), world.source.reads.connection():
            pytest.fail("there is no server")
        private.start()
        assert world.refresh(retry=True)["mv_one"].refreshed
        assert world.database.value("select count(*) from refresh_metrics where not success") == 1, "written later"
        world.clock.ahead += 5
        with world.source.reads.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)


def test_d02_a_server_restarted_between_refreshes_costs_no_failure(private: Server) -> None:
    with World(private.database(), views=["mv_one"]) as world:
        world.database.run("create materialized view mv_one as select 1 as id", "create unique index on mv_one (id)")
        world.refresh()
        with world.source.reads.connection() as connection:
            before = connection.info.backend_pid
        private.stop("fast")
        private.start()
        assert world.refresh()["mv_one"].refreshed and world.error is None
        with world.source.reads.connection() as connection:
            assert connection.info.backend_pid != before


def test_d03_a_backend_that_is_terminated_is_a_network_failure_and_leaves_the_rows(world: World) -> None:
    slow_view(world.database)
    with World(world.database, views=["mv_slow", "mv_descendant_counts"]) as other:
        before = rows_of(world, "mv_slow")
        result = in_thread(other.refresh)
        pid = wait_for(lambda: backend(world.database))
        world.database.run(f"select pg_terminate_backend({pid})")
        states = result()
        assert isinstance(other.error, Transient) and other.error.error_type == "network"
        assert states["mv_slow"].failed and "57P01" in states["mv_slow"].reason
        assert states["mv_descendant_counts"].refreshed, "on a new connection"
        assert rows_of(world, "mv_slow") == before


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("select 1", "there is no such view; write its name exactly as in the catalog, with the schema if need be"),
        ("create table odd (n int)", "it is a table, not a materialized view"),
        ("create view odd as select 1 as n", "it is a plain view, not a materialized view"),
    ],
)
def test_d04_a_relation_that_is_not_a_materialized_view_is_a_permanent_config_error(
    statement: str, reason: str
) -> None:
    with World(views=["odd", "mv_descendant_counts"]) as world:
        world.database.run(statement)
        states = world.refresh()
        assert isinstance(world.error, Permanent) and world.error.error_type == "config"
        assert states["odd"].reason == reason
        assert states["mv_descendant_counts"].refreshed


@pytest.mark.parametrize(
    "index",
    [
        None,
        "create unique index on mv_plain (id) where id > 0",
        "create unique index on mv_plain ((id + 0))",
        "create index on mv_plain (id)",
    ],
)
def test_d05_without_a_usable_unique_index_the_refresh_blocks_and_says_so_once(
    index: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with World(views=["mv_plain"]) as world:
        world.database.run("create materialized view mv_plain as select id from entities")
        if index is not None:
            world.database.run(index)
        with world.database.connect() as connection, pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            connection.execute("refresh materialized view concurrently mv_plain")
        states = world.refresh()
        assert states["mv_plain"].mode is Mode.BLOCKING and "unique index" in states["mv_plain"].reason
        world.refresh()
        assert sum("readers locked out" in record.message for record in caplog.records) == 1


def test_d05_an_index_dropped_between_plan_and_refresh_leads_to_the_fallback(world: World) -> None:
    def plan(*arguments: Any) -> Any:
        plans = real(*arguments)
        if not dropped:
            world.database.run("drop index mv_descendant_counts_key")
            dropped.append(True)
        return plans

    dropped: list[bool] = []
    real = catalog.plan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "plan", plan)
        state = world.refresh(scope="mv_descendant_counts")["mv_descendant_counts"]
    assert dropped and state.mode is Mode.BLOCKING and "unique index" in state.reason


def test_d06_a_view_that_was_never_populated_blocks_once_and_never_again() -> None:
    with World(views=["mv_empty"]) as world:
        world.database.run(
            "create materialized view mv_empty as select id from entities with no data",
            "create unique index on mv_empty (id)",
        )
        assert world.refresh()["mv_empty"].mode is Mode.BLOCKING
        assert world.refresh()["mv_empty"].mode is Mode.CONCURRENT


def test_d07_duplicate_rows_fail_without_a_fallback_and_leave_the_rows() -> None:
    with World(views=["mv_twice"]) as world:
        world.database.run(
            "create table twice (n int)",
            "insert into twice values (1)",
            "create materialized view mv_twice as select n from twice",
            "create unique index on mv_twice (n)",
            "insert into twice values (1), (2)",
        )
        state = world.refresh()["mv_twice"]
        assert state.failed and "21000" in state.reason
        assert isinstance(world.error, Permanent)
        assert world.database.rows("select n from mv_twice") == [(1,)]


def test_d08_a_blocking_refresh_fails_at_the_lock_timeout_and_readers_wait_no_longer(world: World) -> None:
    world.database.run("drop index mv_descendant_counts_key")
    with world.database.connect() as reader, reader.transaction():
        reader.execute("select count(*) from mv_descendant_counts")
        result = in_thread(lambda: world.refresh(scope="mv_descendant_counts"))
        waiting = "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'"
        wait_for(lambda: world.database.value(waiting))
        started = time.monotonic()
        assert world.database.value("select count(*) from mv_descendant_counts")
        waited = time.monotonic() - started
        state = result()["mv_descendant_counts"]
    assert state.failed and "55P03" in state.reason and world.error and world.error.error_type == "timeout"
    assert waited < world.source.settings.lock_timeout + SLOW_MACHINE


def test_d09_two_products_never_refresh_one_view_concurrently_and_neither_waits(world: World) -> None:
    gated_view(world.database)
    with World(world.database, views=["mv_slow"]) as one, World(world.database, views=["mv_slow"]) as two:
        first = in_thread(one.refresh)
        wait_for(lambda: backend(world.database))
        assert two.refresh()["mv_slow"].mode is Mode.BUSY
        assert backend(world.database), "the first runs still"
        assert two.error is None
        world.database.run("insert into gate values (1)")
        assert first()["mv_slow"].refreshed
        assert two.refresh()["mv_slow"].refreshed, "the lock is free again"


def test_d10_the_statement_timeout_leaves_the_rows_and_no_setting_behind(world: World) -> None:
    slow_view(world.database, seconds=20)
    before = rows_of(world, "mv_slow")
    with World(world.database, views=["mv_slow"], statement_timeout=0.3) as other:
        state = other.refresh()["mv_slow"]
        assert state.failed and "57014" in state.reason
        assert isinstance(other.error, Transient) and other.error.error_type == "timeout"
        with other.source.reads.connection() as connection:
            assert connection.execute("show statement_timeout").fetchone() == ("2s",), "the reads' own"
    assert rows_of(world, "mv_slow") == before
    assert world.database.value("show statement_timeout") == "0"


def test_d11_a_role_without_the_privilege_fails_permanently_and_maintain_is_enough(world: World) -> None:
    role = f"weak_{world.database.name}"
    world.database.run(f"create role {role} login")
    try:
        with World(world.database, dsn=world.database.dsn(role), views=["mv_descendant_counts"]) as other:
            assert other.refresh()["mv_descendant_counts"].failed
            assert isinstance(other.error, Permanent) and other.error.error_type == "auth"
            assert "42501" in str(other.error)
            world.database.run(f"grant maintain on mv_descendant_counts to {role}")
            assert other.refresh()["mv_descendant_counts"].refreshed
    finally:
        world.database.run(f"drop owned by {role}", f"drop role {role}")


def test_d12_a_standby_fails_and_the_same_source_continues_once_it_is_promoted(private: Server) -> None:
    with World(private.database(), views=["mv_one"]) as world:
        world.database.run(
            "create materialized view mv_one as select 1 as id",
            "create unique index on mv_one (id)",
            "alter system set default_transaction_read_only = on",
            "select pg_reload_conf()",
        )
        wait_for(lambda: world.database.value("show default_transaction_read_only") == "on")
        state = world.refresh()["mv_one"]
        assert state.failed and "25006" in state.reason and isinstance(world.error, Transient)
        with private.connect() as connection:
            connection.execute("set default_transaction_read_only = off")
            connection.execute("alter system reset default_transaction_read_only")
            connection.execute("select pg_reload_conf()")
        wait_for(lambda: world.database.value("show default_transaction_read_only") == "off")
        assert world.refresh(retry=True)["mv_one"].refreshed


def test_d12_a_real_hot_standby_refuses_until_it_is_promoted(private: Server) -> None:
    database = private.database()
    database.run("create materialized view mv_one as select 1 as id", "create unique index on mv_one (id)")
    standby = private.standby().start()
    try:
        with World(database, dsn=standby.dsn(database.name), views=["mv_one"]) as world:
            state = world.refresh()["mv_one"]
            assert state.failed and "25006" in state.reason and isinstance(world.error, Transient)
            with standby.connect() as connection:
                assert connection.execute("select pg_promote()").fetchone() == (True,)
            assert world.refresh(retry=True)["mv_one"].refreshed
    finally:
        standby.remove()


@pytest.mark.parametrize(
    "name",
    ['mv"; drop table entities;--', "a.b.c", "x" * 100, "pg_catalog.pg_class", "mv x", "", "mv;", "1mv", "mv\n", "'"],
)
def test_d13_names_that_are_not_identifiers_are_refused(name: str) -> None:
    assert name_fault(name) is not None


def test_d13_odd_names_that_are_identifiers_are_quoted_and_nothing_else_happens() -> None:
    with World(views=["Größe$1", 'mv"; drop table entities;--', "select"]) as world:
        world.database.run(
            'create materialized view "Größe$1" as select 1 as id', 'create unique index on "Größe$1" (id)'
        )
        world.database.run('create materialized view "select" as select 1 as id')
        states = world.refresh()
        assert states["Größe$1"].mode is Mode.CONCURRENT
        assert states["select"].mode is Mode.BLOCKING
        assert states['mv"; drop table entities;--'].failed
        assert world.database.value("select count(*) from entities") == 200


def test_d14_a_network_that_goes_silent_ends_the_attempt_at_its_deadline_and_frees_the_pool(world: World) -> None:
    slow_view(world.database, seconds=30)
    with Proxy(unix(str(world.database.server.socket))) as proxy:
        dsn = psycopg.conninfo.make_conninfo(world.database.dsn(), host="127.0.0.1", port=proxy.port)
        with World(world.database, dsn=dsn, views=["mv_slow"], pool_max=1, lock_timeout=0.5) as other:
            with other.source.reads.connection() as connection:
                connection.execute("select 1")
            result = in_thread(lambda: other.refresh(timeout=600.0))
            wait_for(lambda: backend(world.database))
            proxy.silent = True
            with pytest.raises(Unavailable), other.source.reads.connection() as connection:
                connection.execute("select 1")
            other.clock.ahead += 600.0
            started = time.monotonic()
            state = result()["mv_slow"]
            assert time.monotonic() - started < LATE + SLOW_MACHINE
            assert state.failed and other.error and other.error.error_type == "timeout"
            assert proxy.dropped > 0
            proxy.silent = False
            proxy.cut()
            other.clock.ahead += 10
            with other.source.reads.connection() as connection:
                assert connection.execute("select 1").fetchone() == (1,)


def test_d15_a_superuser_an_owner_of_more_and_an_old_server_are_warned_of(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.refresh()
    world.refresh()
    assert sum("the role is a superuser" in record.message for record in caplog.records) == 1
    role = f"owner_{world.database.name}"
    world.database.run(f"create role {role}", *(f"alter materialized view {view} owner to {role}" for view in VIEWS))
    try:
        with world.database.connect() as connection:
            connection.execute(f"set role {role}".encode())
            plans = catalog.plan(connection, VIEWS)
            assert advice.look(connection, plans) == []
            world.database.run(f"alter table entities owner to {role}")
            assert "owns more than the views" in advice.look(connection, plans)[0]
    finally:
        world.database.run(f"reassign owned by {role} to postgres", f"drop role {role}")
    assert [advice.vulnerable(version) for version in (150005, 150006, 140010, 120018, 110022, 160001, 180006)] == [
        True, False, True, False, True, False, False,
    ]  # fmt: skip


def test_d16_the_backend_of_a_client_that_was_killed_is_gone_within_two_seconds(world: World) -> None:
    slow_view(world.database)
    program = f"""
from tests.views.world import World
from tests.postgres import Database
World(Database(None, "{world.database.name}"), dsn={world.database.dsn()!r}, views=["mv_slow"]).refresh()
"""
    client = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_for(lambda: backend(world.database), 20)
        client.send_signal(signal.SIGKILL)
        started = time.monotonic()
        wait_for(lambda: backend(world.database) is None)
        assert time.monotonic() - started < 2 + SLOW_MACHINE
    finally:
        client.kill()
        client.wait()


def test_d18_a_wrong_password_is_an_auth_failure_that_shows_no_part_of_the_connection_string(
    private: Server, caplog: pytest.LogCaptureFixture
) -> None:
    hba = private.data / "pg_hba.conf"
    hba.write_text("local all secret_role scram-sha-256\n" + hba.read_text())
    with private.connect() as connection:
        connection.execute("create role secret_role login password 'right-canary'")
        connection.execute("select pg_reload_conf()")
    database = private.database()
    caplog.set_level("DEBUG")
    with World(database, dsn=database.dsn("secret_role", password="wrong-canary")) as world:
        world.refresh()
        assert isinstance(world.error, Permanent) and world.error.error_type == "auth"
        with pytest.raises(Unavailable) as caught, world.source.reads.connection():
            pytest.fail("there is no connection")
        shown = [str(world.error), str(caught.value), repr(world.source.settings), repr(world.snapshot)]
        shown += [record.getMessage() for record in caplog.records if record.name.startswith("alert_refresh")]
        shown += [record.getMessage() for record in caplog.records if record.levelname not in ("DEBUG", "INFO")]
    assert not [text for text in shown if "canary" in text or "secret_role" in text or str(private.folder) in text]
