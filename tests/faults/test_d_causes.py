"""The actual cause of a failure: in the view's reason and the history, with SQLSTATE and the server's message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from alert_refresh.engine import Permanent, Transient
from alert_refresh.views.database.failure import connect_failure
from tests.faults.test_d_postgres import backend, slow_view, wait_for
from tests.postgres import Server
from tests.views.test_source import failure
from tests.views.world import World, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

PERMISSION = "the view's owner lacks a privilege"


@pytest.fixture(scope="module")
def private() -> Iterator[Server]:
    """A server where roles need a password, one of them with a single connection."""
    server = Server(max_connections="20").create().start()
    hba = server.data / "pg_hba.conf"
    hba.write_text("local all limited scram-sha-256\nlocal all stranger scram-sha-256\n" + hba.read_text())
    with server.connect() as connection:
        connection.execute("create role limited login password 'right-canary' connection limit 1")
        connection.execute("create role stranger login password 'right-canary'")
        connection.execute("grant create on schema public to limited")
        connection.execute("select pg_reload_conf()")
    yield server
    server.remove()


def vacant(server: Server) -> None:
    """Wait until nobody has a connection but us: a server ends a session a moment after its client has closed it."""
    with server.connect() as connection:
        query = "select count(*) = 0 from pg_stat_activity where usename in ('limited', 'stranger')"
        wait_for(lambda: connection.execute(query).fetchall() == [(True,)])


def limited(server: Server, password: str = "right-canary", user: str = "limited") -> World:
    vacant(server)
    database = server.database()
    database.run(
        "create materialized view mv_one as select 1 as id", "create unique index on mv_one (id)",
        "alter materialized view mv_one owner to limited", "grant create on schema public to limited",
    )  # fmt: skip
    return World(database, dsn=database.dsn(user, password=password), views=["mv_one"])


def test_d23_a_role_without_a_free_connection_is_transient_once_its_password_has_worked(
    private: Server,
) -> None:
    with limited(private) as world:
        assert world.refresh()["mv_one"].refreshed
        world.source.reads.close()
        vacant(private)
        with psycopg.connect(world.database.dsn("limited", password="right-canary"), autocommit=True):
            reason = world.refresh()["mv_one"].reason
            assert failure(world) == (Transient, "network")
            assert "CONNECTION LIMIT" in reason and "max_connections" in reason and "password" in reason
        vacant(private)
        assert world.refresh(retry=True)["mv_one"].refreshed
        assert failure(world) is None


def test_d23_before_the_password_has_worked_it_is_a_refusal_that_names_all_causes(private: Server) -> None:
    with limited(private) as world, psycopg.connect(world.database.dsn("limited", password="right-canary")):
        reason = world.refresh()["mv_one"].reason
        assert failure(world) == (Permanent, "auth")
        assert "password" in reason and "no connection free" in reason and "canary" not in reason


def test_d23_a_password_that_no_longer_works_is_transient_and_says_so(private: Server) -> None:
    with limited(private) as world:
        world.refresh()
        world.source.reads.close()
        with private.connect() as connection:
            connection.execute("alter role limited password 'another'")
        try:
            assert "no longer valid" in world.refresh()["mv_one"].reason
            assert failure(world) == (Transient, "network")
        finally:
            with private.connect() as connection:
                connection.execute("alter role limited password 'right-canary'")


def test_d23_a_server_with_no_connection_free_is_transient_for_a_password_role(private: Server) -> None:
    with private.connect() as connection:
        connection.execute("alter role limited connection limit -1")
    try:
        with limited(private) as world:
            world.refresh()
            world.source.reads.close()
            crowd: list[Any] = []
            try:
                while True:
                    crowd.append(psycopg.connect(world.database.dsn("stranger", password="right-canary")))
            except psycopg.OperationalError:
                assert len(crowd) > 5
            assert "max_connections" in world.refresh()["mv_one"].reason
            assert failure(world) == (Transient, "network")
            for one in crowd:
                one.close()
    finally:
        with private.connect() as connection:
            connection.execute("alter role limited connection limit 1")


def test_a_refusal_is_classified_without_reading_its_text_in_any_language() -> None:
    class Refused:
        needs_password, used_password = False, True

    for words in ("FATAL:  too many connections", "FATAL:  Passwort-Authentifizierung fehlgeschlagen", ""):
        refused: Any = Refused()
        error = psycopg.OperationalError(words, pgconn=refused)
        assert isinstance(connect_failure(error, worked=True), Transient)
        assert isinstance(connect_failure(error), Permanent)


@pytest.fixture
def world() -> Iterator[World]:
    with World(views=["mv"]) as world:
        yield world


def reason(world: World, *statements: str) -> str:
    world.database.run(*statements)
    return world.refresh()["mv"].reason


def test_a_missing_select_on_a_base_table_is_not_called_a_missing_right_to_refresh(world: World) -> None:
    role = f"owner_{world.database.name}"
    try:
        cause = reason(
            world, f"create role {role}", "create materialized view mv as select id from entities",
            f"alter materialized view mv owner to {role}",
        )  # fmt: skip
        assert cause.startswith(PERMISSION) and "42501" in cause and "permission denied for table entities" in cause
        assert failure(world) == (Permanent, "auth")
    finally:
        world.database.run("drop materialized view mv", f"drop role {role}")


def test_a_view_over_one_that_is_not_populated_names_that_one(world: World) -> None:
    cause = reason(
        world, "create materialized view base as select id from entities with no data",
        "create materialized view mv as select id from base with no data", "create unique index on mv (id)",
    )  # fmt: skip
    assert cause.startswith("it reads public.base, which has never been populated") and "55000" in cause
    assert "hint: Use the REFRESH MATERIALIZED VIEW command" in cause


def test_a_scalar_subquery_with_two_rows_is_not_called_a_duplicate(world: World) -> None:
    cause = reason(
        world, "create table two (id int)", "insert into two values (1)",
        "create materialized view mv as select (select id from two) as id", "create unique index on mv (id)",
        "insert into two values (2)",
    )  # fmt: skip
    assert cause.startswith("its query fails on the data") and "21000" in cause
    assert "more than one row returned by a subquery" in cause


def test_duplicates_are_called_duplicates(world: World) -> None:
    cause = reason(
        world, "create table two (id int)", "insert into two values (1)",
        "create materialized view mv as select id from two", "create unique index on mv (id)",
        "insert into two values (1)",
    )  # fmt: skip
    assert cause.startswith("its rows would not be unique") and "21000" in cause


def test_a_refresh_cancelled_by_another_session_is_not_a_timeout(world: World) -> None:
    slow_view(world.database, "mv")
    result = in_thread(world.refresh)
    pid = wait_for(lambda: backend(world.database))
    world.database.run(f"select pg_cancel_backend({pid})")
    state = result()["mv"]
    assert state.reason.startswith("another session cancelled it") and "57014" in state.reason
    assert failure(world) == (Transient, "unknown")


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ("select count(*) from somewhere", "42P01"),
        ("select missing(1)::bigint", "42883"),
        ("select nlevel('a.b'::ltree)::bigint", "42704"),
    ],
)
def test_a_function_that_relies_on_the_search_path_gets_a_hint_at_the_safe_one(
    world: World, body: str, state: str
) -> None:
    cause = reason(
        world, "create table somewhere (id int)",
        "create function missing(int) returns int language sql as 'select 1'",
        f"create function f() returns bigint language plpgsql as $$ begin return ({body}); end $$",
        "create materialized view mv as select id, f() as f from entities where path = 'e1' with no data",
    )  # fmt: skip
    assert "search_path = pg_catalog, pg_temp" in cause and state in cause and "does not exist" in cause
    assert failure(world) == (Permanent, "config")


def test_a_view_that_went_between_plan_and_refresh_is_said_to_be_missing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alert_refresh.views.database.executor import Executor

    world.database.run("create materialized view mv as select id from entities")
    real = Executor._execute

    def execute(executor: Executor, *arguments: Any) -> None:
        world.database.run("drop materialized view mv")
        real(executor, *arguments)

    monkeypatch.setattr(Executor, "_execute", execute)
    cause = world.refresh()["mv"].reason
    assert cause.startswith("there is no such view") and "42P01" in cause


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        ("select 1 / n as x from data", "division by zero", "secret"),
        ("select word::int as x from data", "22P02", "secret"),
        ("select (word || n)::date as x from data", "22007", "secret"),
        ("select raises(word) as x from data", "P0001", "secret"),
    ],
)
def test_the_servers_message_is_shown_unless_it_may_quote_data(
    world: World, query: str, shown: str, hidden: str, caplog: pytest.LogCaptureFixture
) -> None:
    cause = reason(
        world, "create table data (n int, word text)", "insert into data values (0, 'secret-value')",
        "create function raises(text) returns int language plpgsql as"
        " $$ begin raise exception 'row %', $1 using hint = $1; end $$",
        f"create materialized view mv as {query} with no data",
    )  # fmt: skip
    assert shown in cause and hidden not in cause + caplog.text
    row = world.source.read_history(limit=1, view=None, since=None)["metrics"][0]
    assert row["error_message"] == row["reason"] == cause and row["outcome"] == "failed"


def test_a_server_that_ended_in_the_middle_is_a_503_not_a_500() -> None:
    from tests.web.views.world import ViewsWorld

    server = Server().create().start()
    try:
        with ViewsWorld(server.database(), VIEWS="mv_slow,mv_two", VIEWS_REFRESH_ENABLED="false") as http:
            slow_view(http.database)
            http.database.run("create materialized view mv_two as select 1 as id")
            http.start()
            answered = in_thread(http.post)
            wait_for(lambda: backend(http.database))
            server.stop("immediate")
            response = answered()
            assert response.status_code == 503 and "Retry-After" in response.headers
    finally:
        server.remove()
