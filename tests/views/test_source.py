"""The source against a real PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import Permanent, Transient, Trigger
from alert_refresh.views import advice, catalog
from alert_refresh.views.attempt import UNCHANGED
from alert_refresh.views.database.executor import BUSY
from alert_refresh.views.view import SETTLED, Mode
from tests.postgres import VIEWS
from tests.stage import eventually
from tests.views.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


CHANGES = "whose result may change by itself"
UNCOUNTED = "it reads data whose changes PostgreSQL does not count"


def block(connection: Any, view: str) -> None:
    """Hold a lock on the view that lets readers pass but no refresh, until the transaction ends."""
    connection.execute(f"alter materialized view {view} set (autovacuum_enabled = false)")


def failure(world: World) -> tuple[type, str] | None:
    return None if world.error is None else (type(world.error), world.error.error_type)


def counters(world: World) -> list[str]:
    with world.database.connect() as connection:
        return [plan.fingerprint for plan in catalog.plan(connection, VIEWS)]


def grow(world: World, name: str = "added") -> None:
    world.database.run(f"insert into entities (name, kind, path) values ('{name}', 'service', 'e1.{name}')")


def test_a_refresh_brings_in_what_was_added_and_reports_every_view(world: World) -> None:
    grow(world)
    states = world.refresh()
    assert world.error is None
    assert {name: state.mode for name, state in states.items()} == dict.fromkeys(VIEWS, Mode.CONCURRENT)
    assert world.database.value("select count(*) from mv_entity_ancestors where entity_path = 'e1.added'") == 2
    assert world.database.value("select descendant_count from mv_descendant_counts where entity_path = 'e1'") == 200


def test_views_are_refreshed_after_those_they_read_regardless_of_the_configured_order() -> None:
    with World(views=list(reversed(VIEWS))) as world:
        grow(world)
        world.refresh()
        rows = world.database.rows("select view_name from refresh_metrics order by id")
        assert [name for (name,) in rows] == list(VIEWS)
        assert world.database.value("select sum(entity_count) from mv_entity_hierarchy_stats") == 201


def test_every_refresh_is_a_new_generation_that_the_database_keeps(world: World) -> None:
    first = world.refresh()["mv_entity_ancestors"].generation
    digest = world.served.digest
    second = world.refresh()["mv_entity_ancestors"].generation
    assert second > first > 1_600_000_000_000
    assert world.served.digest != digest
    rows = world.database.rows(
        "select generation from refresh_generations where view_name = 'public.mv_entity_ancestors'"
    )
    assert rows == [(second,)]


def test_one_view_can_be_refreshed_alone(world: World) -> None:
    states = world.refresh(scope="mv_descendant_counts")
    assert list(states) == ["mv_descendant_counts"]


def test_a_scheduled_refresh_skips_views_whose_tables_have_not_changed_for_a_minute(world: World) -> None:
    world.refresh(Trigger.STARTUP)
    assert all(state.refreshed for state in world.refresh(Trigger.PERIODIC).values())  # too soon to believe it
    generations = {name: state.generation for name, state in world.served.items.items()}
    world.clock.ahead += SETTLED + 1
    digest = world.served.digest
    states = world.refresh(Trigger.PERIODIC)
    assert {(state.mode, state.reason) for state in states.values()} == {(Mode.SKIPPED, UNCHANGED)}
    assert {name: state.generation for name, state in states.items()} == generations
    assert world.served.digest == digest
    assert world.database.value("select count(*) from refresh_metrics") == 2 * len(VIEWS)


def test_a_manual_refresh_never_skips(world: World) -> None:
    world.refresh(Trigger.STARTUP)
    world.clock.ahead += SETTLED + 1
    assert all(state.refreshed for state in world.refresh(Trigger.MANUAL).values())


def test_with_skipping_switched_off_every_refresh_refreshes() -> None:
    with World(skip_unchanged=False) as world:
        world.refresh(Trigger.STARTUP)
        world.clock.ahead += SETTLED + 1
        assert all(state.refreshed for state in world.refresh(Trigger.PERIODIC).values())


@pytest.mark.parametrize(
    "change",
    [
        "insert into entities (name, kind, path) values ('x', 'team', 'e1.x')",
        "update entities set name = 'renamed' where path = 'e1'",
        "delete from entities where path = (select path from entities order by nlevel(path) desc, path limit 1)",
        "truncate entities",
    ],
)
def test_a_change_of_a_base_table_is_not_skipped_nor_are_the_views_built_on_it(world: World, change: str) -> None:
    world.refresh(Trigger.STARTUP)
    world.clock.ahead += SETTLED + 1
    assert not any(state.refreshed for state in world.refresh(Trigger.PERIODIC).values())
    before = counters(world)
    world.database.run(change)
    eventually(lambda: counters(world) != before, "the counters lag")
    world.clock.ahead += SETTLED + 1
    assert all(state.refreshed for state in world.refresh(Trigger.PERIODIC).values())


def test_a_view_that_failed_is_not_skipped_the_next_time(world: World) -> None:
    world.refresh(Trigger.STARTUP)
    world.clock.ahead += SETTLED + 1
    world.database.run("alter materialized view mv_descendant_counts rename to away")
    world.refresh(scope="mv_descendant_counts")
    world.database.run("alter materialized view away rename to mv_descendant_counts")
    states = world.refresh(Trigger.PERIODIC)
    assert states["mv_descendant_counts"].refreshed
    assert states["mv_entity_hierarchy_stats"].refreshed, "it reads the one that was refreshed"
    assert states["mv_entity_ancestors"].mode is Mode.SKIPPED


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("select now() as at", "it reads no table"),
        ("select id, now() as at from entities", f"it calls now(), {CHANGES}"),
        ("select id, current_date as day from entities", "it uses the current date, time or user"),
        ("select id, random() as r from entities", f"it calls random(), {CHANGES}"),
        ("select id from entities tablesample system (50)", "it uses a sample of a table"),
        ("select id, (select last_value from entities_id_seq) from entities", UNCOUNTED),
        ("select id, own(id) as o from entities", "it calls own(bigint), which is not built in"),
    ],
)  # fmt: skip
def test_a_view_whose_changes_cannot_be_known_is_never_skipped(query: str, reason: str) -> None:
    with World(views=["mv_odd"]) as world:
        world.database.run(
            "create function own(bigint) returns bigint language sql volatile as 'select $1'",
            f"create view plain as {query}",
            "create materialized view mv_odd as select * from plain",
        )
        with world.database.connect() as connection:
            assert catalog.survey(connection, ["mv_odd"], {})[0].opaque.startswith(reason)
        world.refresh(Trigger.STARTUP)
        world.clock.ahead += SETTLED + 1
        assert world.refresh(Trigger.PERIODIC)["mv_odd"].refreshed


def test_a_view_over_partitions_and_json_functions_can_be_skipped_until_a_partition_changes() -> None:
    with World(views=["mv_parts"]) as world:
        world.database.run(
            "create table parts (id int, v text) partition by range (id)",
            "create table parts_1 partition of parts for values from (0) to (10)",
            "create table parts_2 partition of parts for values from (10) to (20)",
            "create materialized view mv_parts as select jsonb_agg(v) as all_of_them, id from parts group by id",
            "create unique index on mv_parts (id)",
        )
        world.refresh(Trigger.STARTUP)
        world.clock.ahead += SETTLED + 1
        assert world.refresh(Trigger.PERIODIC)["mv_parts"].mode is Mode.SKIPPED
        world.database.run("insert into parts values (11, 'x')")
        eventually(lambda: world.refresh(Trigger.PERIODIC)["mv_parts"].refreshed, "the counters lag")


def test_one_failing_view_stops_no_other_and_is_alone_in_the_retry(world: World) -> None:
    world.database.run(
        "drop materialized view mv_entity_hierarchy_stats",
        "create table broken (n int)",
        "create materialized view mv_entity_hierarchy_stats as select 1 / n as n from broken",
        "create unique index on mv_entity_hierarchy_stats (n)",
    )
    with world.database.connect() as blocker, blocker.transaction():
        block(blocker, "mv_descendant_counts")
        states = world.refresh()
        assert failure(world) == (Transient, "timeout")
        assert states["mv_entity_ancestors"].refreshed
        assert states["mv_descendant_counts"].transient
    generation = states["mv_entity_ancestors"].generation
    states = world.refresh(retry=True)
    assert failure(world) is None
    assert states["mv_descendant_counts"].refreshed
    assert states["mv_entity_ancestors"].generation == generation, "it was not refreshed again"


def test_a_cycle_with_a_lasting_failure_stays_failed_when_its_retry_succeeds(world: World) -> None:
    world.database.run("drop materialized view mv_entity_hierarchy_stats")
    with world.database.connect() as blocker, blocker.transaction():
        block(blocker, "mv_descendant_counts")
        world.refresh()
        assert failure(world) == (Transient, "timeout")
    states = world.refresh(retry=True)
    assert states["mv_descendant_counts"].refreshed
    assert failure(world) == (Permanent, "config")
    assert "mv_entity_hierarchy_stats: there is no such view" in str(world.error)


def test_a_role_that_cannot_create_tables_refreshes_without_history_and_generations() -> None:
    with World() as world:
        world.database.run("create role maintainer_only login")
        try:
            world.database.run(*(f"grant maintain on {view} to maintainer_only" for view in VIEWS))
            with World(world.database, dsn=world.database.dsn("maintainer_only")) as other:
                states = other.refresh()
                assert other.error is None
                assert all(state.refreshed and state.generation == 0 for state in states.values())
                assert other.source.history.pending == len(VIEWS)
        finally:
            world.database.run("drop owned by maintainer_only", "drop role maintainer_only")


def test_a_view_whose_lock_another_session_holds_is_busy_immediately(world: World) -> None:
    with world.database.connect() as other:
        key = catalog.plan(other, ["mv_descendant_counts"])[0].lock_key()
        other.execute("select pg_advisory_lock(%s)", [key])
        states = world.refresh()
    assert world.error is None
    assert states["mv_descendant_counts"].mode is Mode.BUSY
    assert states["mv_descendant_counts"].reason.startswith(BUSY)
    assert states["mv_entity_ancestors"].refreshed


def test_when_the_pool_has_no_connection_the_views_are_looked_at_with_a_plain_one(world: World) -> None:
    world.refresh(Trigger.STARTUP)
    world.clock.ahead += SETTLED + 1
    world.source.reads._circuit.failed()
    states = world.refresh(Trigger.PERIODIC)
    assert {state.reason for state in states.values()} == {UNCHANGED}


def test_an_old_server_is_warned_of(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(advice, "vulnerable", lambda version: True)
    world.refresh()
    assert "CVE-2024-0985" in caplog.text
