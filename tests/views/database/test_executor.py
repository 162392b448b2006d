"""The executor when the catalog, its privileges or its connection change concurrently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from alert_refresh.engine import Deadline, Permanent, Stopping, SystemClock
from alert_refresh.views import catalog
from alert_refresh.views.database import tables
from alert_refresh.views.database.connect import connect
from alert_refresh.views.database.executor import Executor
from alert_refresh.views.tiers import generations
from alert_refresh.views.view import Mode
from tests.faults.test_d_postgres import wait_for
from tests.postgres import VIEWS
from tests.views.world import World, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alert_refresh.views.view import Plan


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def execute(world: World, connection: Any, plan: Plan, *, shared: bool = True) -> Any:
    clock = SystemClock()
    return Executor(world.source.settings, clock).refresh(connection, plan, Deadline(clock, 60), shared=shared)


def test_an_error_that_only_looks_like_a_missing_index_has_no_fallback(world: World) -> None:
    with world.database.connect() as connection:
        tables.ensure(connection)
        plan = catalog.plan(connection, ["mv_descendant_counts"])[0]
        world.database.run(
            "create function broken() returns bigint language plpgsql volatile as"
            " $$ begin raise exception 'canary' using errcode = '55000'; end $$",
            "drop materialized view mv_entity_hierarchy_stats",
            "create materialized view mv_entity_hierarchy_stats as select id, broken() as b from entities with no data",
            "create unique index on mv_entity_hierarchy_stats (id)",
        )
        odd = catalog.plan(connection, ["mv_entity_hierarchy_stats"])[0]
        with pytest.raises(Permanent) as caught:
            execute(world, connection, odd)
        assert "canary" not in str(caught.value) and caught.value.error_type == "config"
        assert execute(world, connection, plan).mode is Mode.CONCURRENT, "the connection still works"


def test_a_view_recreated_since_the_plan_does_not_get_a_blocking_refresh(world: World) -> None:
    with world.database.connect() as connection:
        plan = catalog.plan(connection, ["mv_entity_hierarchy_stats"])[0]
        world.database.run(
            "drop materialized view mv_entity_hierarchy_stats",
            "create materialized view mv_entity_hierarchy_stats as select id from entities",
        )
        with pytest.raises(Permanent, match="55000"):
            execute(world, connection, plan)


def test_the_advisory_lock_is_free_after_success_and_after_failure(world: World) -> None:
    def held() -> int:
        count: int = world.database.value(
            "select count(*) from pg_locks where locktype = 'advisory' and database = "
            "(select oid from pg_database where datname = current_database())"
        )
        return count

    with world.database.connect() as connection:
        tables.ensure(connection)
        plan = catalog.plan(connection, ["mv_descendant_counts"])[0]
        execute(world, connection, plan)
        assert held() == 0
        world.database.run("drop materialized view mv_descendant_counts cascade")
        with pytest.raises(Permanent, match="42P01"):
            execute(world, connection, plan)
        assert held() == 0


def test_a_generation_that_may_not_be_written_is_said_and_the_refresh_counts(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with world.database.connect() as connection:
        plan = catalog.plan(connection, ["mv_descendant_counts"])[0]
        state = execute(world, connection, plan)  # the table was never made
    assert state.refreshed and state.generation == 0
    assert "could not be written" in caplog.text


def test_any_other_failure_to_write_a_generation_fails_the_view_since_caches_are_not_invalidated(world: World) -> None:
    world.refresh()
    world.database.run("alter table refresh_generations add check (generation < 0) not valid")
    states = world.refresh()
    assert all(state.failed and "23514" in state.reason for state in states.values())


def test_without_the_table_of_generations_nothing_is_known(world: World) -> None:
    with world.database.connect() as connection:
        assert generations.look(connection, VIEWS) == {}
        tables.ensure(connection)
        assert generations.look(connection, VIEWS) == {}
        connection.execute("drop table refresh_generations")
        connection.close()
        with pytest.raises(psycopg.OperationalError):
            generations.look(connection, VIEWS)


def test_stop_cancels_a_running_statement_and_cuts_the_connection(world: World) -> None:
    upkeep, url = world.upkeep, world.source.settings.url
    assert url is not None
    connection = connect(url, Deadline(SystemClock(), 20), upkeep.stopping)
    pid = connection.info.backend_pid
    result = in_thread(lambda: connection.execute("select pg_sleep(30)"))
    upkeep.stop()
    with pytest.raises(Stopping):
        result()
    assert connection.closed
    gone = "select count(*) from pg_stat_activity where pid = %s and state = 'active'"
    wait_for(lambda: world.database.value(gone, pid) == 0)


def test_the_least_privileges_of_the_runbook_are_enough(world: World) -> None:
    role = f"refresher_{world.database.name}"
    world.refresh()
    world.database.run(
        "truncate refresh_metrics, refresh_generations",
        f"create role {role} login",
        f"grant maintain, select on {', '.join(VIEWS)} to {role}",
        f"grant select, insert, delete on refresh_metrics to {role}",
        f"grant usage on sequence refresh_metrics_id_seq to {role}",
        f"grant select, insert, update on refresh_generations to {role}",
    )
    try:
        with World(world.database, dsn=world.database.dsn(role)) as other:
            states = other.refresh()
            assert other.error is None
            assert all(state.mode is Mode.CONCURRENT and state.generation for state in states.values())
            assert world.database.value("select count(*) from refresh_metrics") == 3
            assert other.source.resolver.ancestors("e1.e2")
            other.upkeep.round()
            assert other.source.read_history(limit=1, view=None, since=None)["summary"]["total_count"] == 3
    finally:
        world.database.run(f"drop owned by {role}", f"drop role {role}")
