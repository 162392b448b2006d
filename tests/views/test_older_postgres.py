"""PostgreSQL 15: what depends on the version of the server; skipped where Debian's postgresql-15 is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from alert_refresh.engine import Permanent, Transient, Trigger
from alert_refresh.views import catalog
from alert_refresh.views.view import SETTLED, Mode
from tests.faults.test_d_causes import vacant
from tests.faults.test_d_postgres import wait_for
from tests.postgres import HIERARCHY, VIEWS, Server
from tests.views.skip.test_skip_property import cycles
from tests.views.test_source import failure
from tests.views.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database

BINARIES = Path("/usr/lib/postgresql/15/bin")

TRANSLATIONS = Path("/usr/share/locale/de/LC_MESSAGES/postgres-15.mo")

pytestmark = pytest.mark.skipif(not BINARIES.is_dir(), reason="PostgreSQL 15 is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server(binaries=BINARIES).create().start()
    yield server
    server.remove()


@pytest.fixture
def database(server: Server) -> Database:
    database = server.database()
    with database.connect() as connection:
        connection.execute(HIERARCHY.read_bytes())
        connection.execute("select generate_entities(50)")
    return database


def test_the_views_of_the_example_are_refreshed_and_proven(database: Database) -> None:
    with World(database) as world:
        assert all(state.refreshed for state in world.refresh(Trigger.STARTUP).values())
        assert {state.never for state in world.served.items.values()} == {""}

        def all_skipped() -> bool:
            world.clock.ahead += SETTLED + 1
            return {state.mode for state in world.refresh(Trigger.PERIODIC).values()} == {Mode.SKIPPED}

        wait_for(all_skipped, 30)
        assert world.source.resolver.ancestors("e1.e2")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("select case when id > 1 then name else 'x' end as n, array[id] as a, greatest(id, 2) as g from entities", ""),
        ("select coalesce(name, 'x') as n, (id, name) = (1, 'a') as r from entities", ""),
        ("select jsonb_agg(name) as n from entities", ""),
        ("select id, ('now'::text)::date as d from entities", "it converts values by their text"),
        ("select id, now() as at from entities", "it calls now()"),
        ("select id, current_user as u from entities", "it uses the current date, time or user"),
        ("select relname, id from pg_class, entities", "it reads a system catalog"),
    ],
)
def test_the_trees_of_this_version_are_understood(database: Database, query: str, reason: str) -> None:
    database.run(f"create materialized view mv as {query}")
    with database.connect() as connection:
        found = catalog.survey(connection, ["mv"], {})[0].opaque
        assert found.startswith(reason) if reason else found == ""


def test_only_the_owner_may_refresh(database: Database) -> None:
    role = f"weak_{database.name}"
    database.run(f"create role {role} login")
    with World(database, dsn=database.dsn(role), views=[VIEWS[1]]) as world:
        reason = world.refresh()[VIEWS[1]].reason
        assert failure(world) == (Permanent, "auth") and reason.startswith("the role may not refresh it")
    database.run(f"drop owned by {role}", f"drop role {role}")


def test_a_backend_crash_changes_the_fingerprint(database: Database) -> None:
    with database.connect() as connection:
        before = catalog.plan(connection, VIEWS)[0].fingerprint
        started = database.value("select pg_postmaster_start_time()")
    database.crash_backend()
    with database.connect() as connection:
        assert database.value("select pg_postmaster_start_time()") == started
        assert catalog.plan(connection, VIEWS)[0].fingerprint != before


@pytest.mark.parametrize("seed", [1, 2])
def test_a_view_that_is_skipped_equals_its_querys_result(server: Server, seed: int) -> None:
    assert cycles(seed, 20, server)[0] > 15


@pytest.fixture(scope="module")
def german() -> Iterator[Server]:
    """One with German messages, where one role needs a password and may have one connection."""
    server = Server(binaries=BINARIES, language="de", lc_messages="'C.UTF-8'").create().start()
    hba = server.data / "pg_hba.conf"
    hba.write_text("local all limited scram-sha-256\n" + hba.read_text())
    with server.connect() as connection:
        connection.execute("create role limited login superuser password 'right'")
        connection.execute("alter role limited nosuperuser connection limit 1")
        connection.execute("select pg_reload_conf()")
    yield server
    server.remove()


@pytest.mark.skipif(not TRANSLATIONS.exists(), reason="PostgreSQL's German messages are not installed")
def test_d23_causes_are_distinguished_in_any_language_of_the_server(german: Server) -> None:
    database = german.database()
    database.run(
        "create table t (id int)", "insert into t values (1)", "create materialized view mv as select id from t",
        "create unique index on mv (id)", "alter materialized view mv owner to limited", "grant select on t to limited",
        "grant create on schema public to limited",
    )  # fmt: skip
    with database.connect() as connection, pytest.raises(psycopg.errors.UndefinedTable, match="existiert nicht"):
        connection.execute("select * from nowhere")
    dsn = database.dsn("limited", password="right")
    with World(database, dsn=dsn, views=["mv"]) as world:
        with psycopg.connect(dsn):
            assert "no connection free" in world.refresh()["mv"].reason
            assert failure(world) == (Permanent, "auth")
        vacant(german)
        assert world.refresh()["mv"].refreshed
        world.source.reads.close()
        vacant(german)
        with psycopg.connect(dsn):
            assert "CONNECTION LIMIT" in world.refresh()["mv"].reason
            assert failure(world) == (Transient, "network")
        vacant(german)
        database.run("insert into t values (1)")
        assert world.refresh()["mv"].reason.startswith("its rows would not be unique")
        database.run("revoke select on t from limited")
        assert world.refresh()["mv"].reason.startswith("the view's owner lacks a privilege")
