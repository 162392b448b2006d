"""Faults that leave a view stale: each must be reported with its cause, and recover by itself."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from alert_refresh.engine import Transient, Trigger
from alert_refresh.views import catalog
from alert_refresh.views.attempt import ELSEWHERE, UNCHANGED
from alert_refresh.views.database import executor, tables
from alert_refresh.views.database.executor import holder
from alert_refresh.views.tiers import generations
from alert_refresh.views.view import SETTLED, Mode
from tests.faults.test_d_postgres import wait_for
from tests.postgres import VIEWS, Server
from tests.stage import eventually
from tests.views.test_source import block, failure
from tests.views.world import World, answered_however_late

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

VIEW = "mv_entity_ancestors"
INTERVAL = 300.0


@pytest.fixture(autouse=True)
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    answered_however_late(monkeypatch)


@pytest.fixture
def world() -> Iterator[World]:
    with World(views=[VIEW]) as world:
        yield world


def hold(world: World, name: str = "psql") -> Connection[Any]:
    """A session that keeps the view's advisory lock."""
    other = psycopg.connect(world.database.dsn(application_name=name), autocommit=True)
    other.execute("select pg_advisory_lock(%s)", [catalog.plan(other, [VIEW])[0].lock_key()])
    return other


def touch(world: World) -> None:
    world.database.run("update entities set name = name || '!' where path = 'e1'")


def test_d19_a_view_whose_lock_stays_held_is_not_a_success_and_fails_after_two_intervals(world: World) -> None:
    world.refresh(Trigger.STARTUP)
    fresh = world.served.items[VIEW]
    touch(world)
    with hold(world) as other:
        pid = other.info.backend_pid
        world.clock.ahead += INTERVAL
        state = world.refresh(Trigger.PERIODIC)[VIEW]
        assert (state.mode, state.failed, failure(world)) == (Mode.BUSY, False, None)
        assert (state.fresh_at, state.since) == (fresh.fresh_at, fresh.since), "busy is not a success"
        world.clock.ahead += INTERVAL
        state = world.refresh(Trigger.PERIODIC)[VIEW]
        assert (state.failed, state.outcome) == (True, "busy")
        assert failure(world) == (Transient, "storage")
        assert re.search(rf"process {pid} \(psql\), for at least 3[0-4]\d s", state.reason), "the clock goes on, too"
        assert world.refresh(Trigger.PERIODIC, retry=True)[VIEW].failed, "the retry refreshes it"
    assert world.refresh(Trigger.PERIODIC, retry=True)[VIEW].refreshed and world.error is None
    rows = world.database.rows("select success, outcome from refresh_metrics order by id")
    assert rows == [(True, "refreshed"), (False, "busy"), (False, "busy"), (True, "refreshed")]


def test_d19_a_new_holder_is_named_and_its_name_is_made_printable(world: World) -> None:
    world.refresh()
    with hold(world, "first"):
        assert "(first)" in world.refresh(Trigger.MANUAL)[VIEW].reason
    with hold(world, ""):
        world.clock.ahead += 50
        reason = world.refresh(Trigger.MANUAL)[VIEW].reason
        assert re.search(r"\(application_name unknown\), for at least [0-4]?\d s", reason), "less than 50 s"


def test_d19_a_daemon_that_starts_while_a_lock_has_been_held_for_days_fails_immediately(world: World) -> None:
    world.refresh()
    world.database.run("update refresh_generations set refreshed_at = now() - interval '3 days'")
    with hold(world), World(world.database, views=[VIEW]) as other:
        assert other.refresh(Trigger.STARTUP)[VIEW].failed
        assert other.error is not None and other.error.error_type == "storage"


def test_d19_a_view_that_was_never_refreshed_is_given_two_intervals_from_the_first_look(world: World) -> None:
    with hold(world):
        assert not world.refresh(Trigger.STARTUP)[VIEW].failed
        world.clock.ahead += 2 * INTERVAL - 60
        assert not world.refresh(Trigger.PERIODIC)[VIEW].failed
        world.clock.ahead += 61
        assert world.refresh(Trigger.PERIODIC)[VIEW].failed


def test_d19_a_busy_view_that_another_daemon_refreshed_since_the_last_look_is_a_success(world: World) -> None:
    with World(world.database, views=[VIEW]) as other:
        world.refresh(Trigger.STARTUP)
        touch(world)
        other.refresh(Trigger.MANUAL)
        world.clock.ahead += 3 * INTERVAL
        world.database.run("update refresh_generations set refreshed_at = now() - interval '400 s'")
        with hold(world):
            state = world.refresh(Trigger.PERIODIC)[VIEW]
        assert (state.mode, state.reason, world.error) == (Mode.SKIPPED, ELSEWHERE, None)
        assert state.generation == other.served.items[VIEW].generation


def test_two_daemons_on_one_database_refresh_a_view_once_per_interval(world: World) -> None:
    world.database.run("create materialized view mv_random as select random() as r")
    with World(world.database, views=["mv_random"]) as one, World(world.database, views=["mv_random"]) as two:
        one.refresh(Trigger.STARTUP)
        two.refresh(Trigger.STARTUP)
        done = []
        for _ in range(3):
            world.database.run("update refresh_generations set refreshed_at = refreshed_at - interval '150 s'")
            done.append(one.refresh(Trigger.PERIODIC)["mv_random"])
            world.database.run("update refresh_generations set refreshed_at = refreshed_at - interval '150 s'")
            done.append(two.refresh(Trigger.PERIODIC)["mv_random"])
        assert [state.refreshed for state in done] == [False, True, False, True, False, True]
        assert {state.reason for state in done if not state.refreshed} == {ELSEWHERE}
        for _ in range(2):
            world.database.run("update refresh_generations set refreshed_at = refreshed_at - interval '300 s'")
            done.append(one.refresh(Trigger.PERIODIC)["mv_random"])
        assert [state.refreshed for state in done[-2:]] == [True, True], "the other one is gone"


def test_d21_counters_that_are_equal_again_after_a_backend_crash_are_not_believed() -> None:
    server = Server().create().start()
    try:
        with World(server.database(), views=["mv"]) as world:
            world.database.run(
                "create table t (id int primary key, owner text)", "insert into t values (1, 'old')",
                "create materialized view mv as select * from t", "create unique index on mv (id)",
            )  # fmt: skip
            with world.database.connect() as connection:
                connection.execute("select pg_stat_reset()")
                connection.execute("update t set owner = 'first'")
            wait_for(lambda: world.database.value("select n_tup_upd from pg_stat_user_tables where relname = 't'") == 1)
            world.refresh(Trigger.STARTUP)
            world.clock.ahead += SETTLED + 1
            assert world.refresh(Trigger.PERIODIC)["mv"].reason == UNCHANGED
            started = world.database.value("select pg_postmaster_start_time()")
            world.database.crash_backend()
            assert world.database.value("select pg_postmaster_start_time()") == started
            world.database.run("update t set owner = 'second'")
            wait_for(lambda: world.database.value("select n_tup_upd from pg_stat_user_tables where relname = 't'") == 1)
            world.clock.ahead += SETTLED + 1
            assert world.refresh(Trigger.PERIODIC)["mv"].refreshed
            assert world.database.rows("select owner from mv") == [("second",)]
    finally:
        server.remove()


@pytest.mark.parametrize(
    ("view", "change"),
    [
        ("select * from below", "create or replace view below as select id from t where id < 99"),
        ("select counted() as n from t limit 1", "create or replace function counted() returns bigint language sql"
         " begin atomic select count(*) + 10 from t; end"),
        ("select id from parent", "alter table t inherit parent"),
        ("select b.id from below b", "alter view below rename column id to other; alter view below rename column other"
         " to id; create or replace view below as select id from t where id > 2"),
    ],
)  # fmt: skip
def test_d21_a_definition_that_changed_below_a_view_is_not_skipped(view: str, change: str) -> None:
    with World(views=["mv"]) as world:
        world.database.run(
            "create table t (id int)", "insert into t values (1), (2), (3)", "create table parent (id int)",
            "create view below as select id from t where id < 2",
            "create function counted() returns bigint language sql begin atomic select count(*) from t; end",
            f"create materialized view mv as {view}",
        )  # fmt: skip
        world.refresh(Trigger.STARTUP)
        world.clock.ahead += SETTLED + 1
        assert world.refresh(Trigger.PERIODIC)["mv"].mode is Mode.SKIPPED
        world.database.run(*change.split("; ") if "atomic" not in change else [change])
        assert world.refresh(Trigger.PERIODIC)["mv"].refreshed
        definition = world.database.value("select pg_get_viewdef('mv'::regclass)").rstrip(";")
        assert world.database.rows("select * from mv") == world.database.rows(definition)


def test_d22_a_retry_rebuilds_what_reads_a_view_that_failed_first() -> None:
    with World() as world:
        world.refresh()
        world.database.run("insert into entities (name, kind, path) values ('new', 'service', 'e1.new')")
        with world.database.connect() as blocker, blocker.transaction():
            block(blocker, "mv_entity_ancestors")
            states = world.refresh(Trigger.PERIODIC)
        assert states["mv_entity_ancestors"].failed and states["mv_descendant_counts"].refreshed
        assert (
            world.database.value("select descendant_count from mv_descendant_counts where entity_path = 'e1'") == 199
        ), "the old"
        world.refresh(Trigger.PERIODIC, retry=True)
        assert world.error is None
        assert world.database.value("select descendant_count from mv_descendant_counts where entity_path = 'e1'") == 200
        assert world.database.value("select sum(entity_count) from mv_entity_hierarchy_stats") == 201, "two steps below"


def test_the_retries_of_one_view_do_not_keep_the_others_from_their_intervals(world: World) -> None:
    world.database.run("create materialized view mv_random as select random() as r")
    with World(world.database, views=[VIEW, "mv_random"]) as other, hold(world):
        assert other.upkeep
        other.refresh(Trigger.STARTUP)
        other.clock.ahead += 2 * INTERVAL
        first = other.refresh(Trigger.PERIODIC)
        assert first[VIEW].failed and first["mv_random"].refreshed
        other.clock.ahead += 20
        again = other.refresh(Trigger.PERIODIC, retry=True)
        assert again["mv_random"].generation == first["mv_random"].generation, "it is not due"
        other.clock.ahead += INTERVAL
        later = other.refresh(Trigger.PERIODIC, retry=True)
        assert later["mv_random"].generation > first["mv_random"].generation and later[VIEW].failed
        last = other.refresh(Trigger.PERIODIC, retry=True)
        assert last["mv_random"].generation == later["mv_random"].generation


def test_d22_a_retry_that_fails_again_leaves_what_reads_it_alone() -> None:
    with World() as world:
        with world.database.connect() as blocker, blocker.transaction():
            block(blocker, "mv_entity_ancestors")
            generation = world.refresh()["mv_descendant_counts"].generation
            assert world.refresh(retry=True)["mv_descendant_counts"].generation == generation
        assert world.refresh(retry=True)["mv_descendant_counts"].generation > generation


def test_d22_a_view_over_one_that_was_never_populated_is_taken_up_when_that_one_is_filled() -> None:
    with World(views=["mv_below", "mv_above"]) as world:
        world.database.run(
            "create materialized view mv_below as select id from entities with no data",
            "create unique index on mv_below (id)",
            "create materialized view mv_above as select count(*) as n from mv_below with no data",
        )
        with world.database.connect() as blocker, blocker.transaction():
            block(blocker, "mv_below")
            states = world.refresh()
        assert "reads public.mv_below, which has never been populated" in states["mv_above"].reason
        assert world.refresh(retry=True)["mv_above"].refreshed and world.error is None


@pytest.mark.parametrize("how", ["", "concurrently"])
def test_a_refresh_by_psql_shows_in_the_caches(how: str) -> None:
    with World() as world:
        world.refresh()
        resolver = world.source.resolver
        world.database.run("insert into entities (name, kind, path) values ('new', 'service', 'e1.new')")
        for view in VIEWS:
            world.database.run(f"refresh materialized view {view}")
        eventually(lambda: b"200" in (resolver.descendants("e1") or b""), "the first foreign refresh")
        world.database.run("insert into entities (name, kind, path) values ('more', 'service', 'e1.more')")
        for view in VIEWS:
            world.database.run(f"refresh materialized view {how} {view}")
        eventually(lambda: b"201" in (resolver.descendants("e1") or b""), "the look of the lease notices it")
        hits = resolver.l1.hits
        resolver.descendants("e1")
        assert resolver.l1.hits == hits + 1, "and the new answer is cached"


def test_d24_names_that_need_quotes_are_refreshed_and_recorded() -> None:
    names = ['"sales-2024"', '"2024_sales"', '"Sales Daily"', '"a.b"', '"say ""hi"""', 'public."x y"']
    with World(views=names) as world:
        for name in names:
            world.database.run(
                f"create materialized view {name} as select 1 as id", f"create unique index on {name} (id)"
            )
        states = world.refresh()
        assert {name: state.mode for name, state in states.items()} == dict.fromkeys(names, Mode.CONCURRENT)
        assert {name for (name,) in world.database.rows("select view_name from refresh_metrics")} == set(names)
        assert world.refresh(scope='"a.b"')['"a.b"'].refreshed


def test_d24_a_view_named_twice_and_a_name_in_two_schemas_are_faults_and_the_others_are_refreshed() -> None:
    with World(
        views=["mv_descendant_counts", "public.mv_descendant_counts", "mv_twice", "mv_entity_ancestors"]
    ) as world:
        world.database.run(
            "create schema other", "create materialized view mv_twice as select 1 as id",
            "create materialized view other.mv_twice as select 1 as id",
        )  # fmt: skip
        states = world.refresh()
        failed = [name for name, state in states.items() if state.failed]
        assert set(failed) == {"mv_descendant_counts", "public.mv_descendant_counts", "mv_twice"}
        assert all("give each its schema once" in states[name].reason for name in failed)
        assert world.error is not None and world.error.error_type == "config"
        with World(world.database, views=["other.mv_twice"]) as right:
            assert right.refresh()["other.mv_twice"].refreshed


def test_d24_a_recreated_view_leaves_no_old_row(world: World) -> None:
    generation = world.refresh()[VIEW].generation
    definition = world.database.value(f"select pg_get_viewdef('{VIEW}'::regclass)")
    for _ in range(2):
        world.database.run(
            f"drop materialized view {VIEW} cascade", f"create materialized view {VIEW} as {definition}",
            f"create unique index on {VIEW} (entity_id, ancestor_id)",
        )  # fmt: skip
        state = world.refresh()[VIEW]
        assert state.refreshed and state.generation > generation
        generation = state.generation
    rows = world.database.rows("select view_oid = %s::regclass, view_name from refresh_generations", VIEW)
    assert rows == [(True, f"public.{VIEW}")]


def test_a_history_table_that_an_earlier_version_made_gets_its_columns_or_is_used_without_them(world: World) -> None:
    world.database.run(
        "create table refresh_metrics (id bigserial primary key, view_name text not null,"
        " refresh_duration_ms double precision not null, success boolean not null,"
        " created_at timestamptz not null default now(), error_message text)"
    )
    role = f"writer_{world.database.name}"
    world.database.run(
        f"create role {role} login", f"grant maintain, select on {VIEW} to {role}",
        f"grant select, insert on refresh_metrics to {role}",
        f"grant usage on sequence refresh_metrics_id_seq to {role}",
    )  # fmt: skip
    try:
        with World(world.database, dsn=world.database.dsn(role), views=[VIEW]) as other:
            assert other.refresh()[VIEW].refreshed
            row = other.source.read_history(limit=1, view=None, since=None)["metrics"][0]
            assert (row["view_name"], row["outcome"], row["reason"]) == (VIEW, None, None)
        world.refresh()
        row = world.source.read_history(limit=1, view=None, since=None)["metrics"][0]
        assert (row["outcome"], row["reason"]) == ("refreshed", None)
        with world.database.connect() as connection:
            assert tables.ensure(connection) == tables.Tables(True, True, True)
    finally:
        world.database.run(f"drop owned by {role}", f"drop role {role}")


@pytest.mark.parametrize("attempt", [Trigger.STARTUP, Trigger.PERIODIC])
def test_a_catalog_that_cannot_be_read_fails_every_view(
    world: World, attempt: Trigger, monkeypatch: pytest.MonkeyPatch
) -> None:
    if attempt is Trigger.PERIODIC:
        world.refresh(Trigger.STARTUP)
    monkeypatch.setattr(catalog, "QUERY", "select 1 / 0")
    state = world.refresh(attempt)[VIEW]
    assert state.failed and "22012" in state.reason


def test_a_history_that_cannot_be_written_is_logged_and_fails_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.refresh()
    world.database.run("alter table refresh_metrics add check (false) not valid")
    assert world.refresh()[VIEW].refreshed and world.error is None
    assert "The history could not be written" in caplog.text and world.source.history.pending == 1


def test_a_busy_view_whose_generation_cannot_be_read_is_busy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.refresh(Trigger.STARTUP)
    touch(world)
    real, calls = generations.rows, []

    def rows(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise psycopg.OperationalError
        return real(*arguments)

    monkeypatch.setattr(generations, "rows", rows)
    with hold(world):
        assert world.refresh(Trigger.PERIODIC)[VIEW].mode is Mode.BUSY
    assert len(calls) == 2


def test_a_lock_that_is_given_back_while_its_holder_is_looked_for_was_held_by_another_session(world: World) -> None:
    with world.database.connect() as connection:
        assert holder(connection, catalog.plan(connection, [VIEW])[0]) == "another session"


def test_a_failure_whose_cause_cannot_be_determined_is_reported_by_its_sqlstate(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise psycopg.OperationalError

    monkeypatch.setattr(executor, "read_plan", broken)
    with world.database.connect() as blocker, blocker.transaction():
        block(blocker, VIEW)
        assert "55P03" in world.refresh()[VIEW].reason


def test_a_view_recreated_during_its_refresh_is_reported_as_such(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    other = catalog.plan
    with world.database.connect() as blocker, blocker.transaction():
        block(blocker, VIEW)
        monkeypatch.setattr(executor, "read_plan", lambda *found: [replace(other(*found)[0], oid=1)])
        assert world.refresh()[VIEW].reason.startswith("the view was recreated meanwhile")
