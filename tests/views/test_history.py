"""The history: written, buffered while the database is unavailable, summarized in SQL, pruned."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from alert_refresh.views import history
from alert_refresh.views.database import tables
from alert_refresh.views.history import KEPT, History, Record
from alert_refresh.views.upkeep import EVERY, PRUNE_EVERY, Upkeep
from tests.fakes import FakeClock
from tests.views.world import World, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def test_records_wait_in_memory_bounded_and_are_written_once(world: World) -> None:
    kept = History()
    for n in range(KEPT + 5):
        kept.add(Record("v", float(n), True, 1_700_000_000.0 + n, None))
    assert (kept.pending, kept.lost) == (KEPT, 5)
    with world.database.connect() as connection:
        tables.ensure(connection)
        kept.write(connection)
        kept.write(connection)
    rows = world.database.rows(
        "select count(*), min(refresh_duration_ms), max(refresh_duration_ms) from refresh_metrics"
    )
    assert rows == [(KEPT, 5.0, KEPT + 4.0)]
    assert world.database.value("select extract(epoch from min(created_at)) from refresh_metrics") == 1_700_000_005


def test_what_cannot_be_written_stays_in_its_order(world: World) -> None:
    kept = History()
    for n in range(3):
        kept.add(Record("v", float(n), False, 1.0, "no"))
    with world.database.connect() as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            kept.write(connection)
        assert kept.pending == 3
        tables.ensure(connection)
        kept.write(connection)
    assert world.database.rows("select refresh_duration_ms from refresh_metrics order by id") == [
        (0.0,),
        (1.0,),
        (2.0,),
    ]


def test_concurrent_sessions_create_the_tables_once(world: World) -> None:
    barrier = threading.Barrier(6)

    def make() -> tables.Tables:
        with world.database.connect() as connection:
            barrier.wait(30)
            return tables.ensure(connection)

    calls = [in_thread(make) for _ in range(6)]
    assert {call() for call in calls} == {tables.Tables(history=True, generations=True, outcomes=True)}


def test_the_history_survives_its_table_being_dropped_meanwhile(world: World) -> None:
    world.refresh()
    world.database.run("drop table refresh_metrics")
    world.refresh()
    assert world.error is None
    assert world.database.value("select count(*) from refresh_metrics") == 3


def test_old_rows_are_pruned(world: World) -> None:
    world.refresh()
    world.database.run("update refresh_metrics set created_at = now() - interval '31 days' where id = 1")
    with world.database.connect() as connection:
        assert history.prune(connection, 30 * 86400) == 1
    assert world.database.value("select count(*) from refresh_metrics") == 2


def test_upkeep_writes_what_waits_and_prunes_now_and_then(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = FakeClock()
    source = world.source
    upkeep = Upkeep(clock, source.reads, source.history, retention=3600)
    source.history.add(Record("v", 1.0, True, 1_600_000_000.0))
    upkeep.round()
    assert source.history.pending == 0
    assert "1 rows of the history" in caplog.text
    source.history.add(Record("v", 1.0, True, 1_600_000_000.0))
    upkeep.round()
    assert world.database.value("select count(*) from refresh_metrics") == 1, "it was pruned a moment ago"
    clock.advance(PRUNE_EVERY)
    upkeep.round()
    assert world.database.value("select count(*) from refresh_metrics") == 0


def test_upkeep_runs_every_half_minute_until_stopped_and_survives_an_unavailable_database() -> None:
    with World(dsn="host=/nowhere") as world:
        clock = FakeClock()
        upkeep = Upkeep(clock, world.source.reads, world.source.history, retention=3600)
        world.source.history.add(Record("v", 1.0, True, 1.0))
        run = in_thread(upkeep.run)
        clock.wait_for_sleeper(EVERY)
        clock.advance(EVERY)
        clock.wait_for_sleeper(EVERY)
        assert world.source.history.pending == 1
        upkeep.stop()
        run()


def test_a_pool_that_was_nearly_used_up_is_warned_of(world: World, caplog: pytest.LogCaptureFixture) -> None:
    reads = world.source.reads
    with reads.connection(), reads.connection(), reads.connection():
        pass
    reads.check()
    assert not caplog.records
    with reads.connection(), reads.connection(), reads.connection(), reads.connection():
        pass
    reads.check()
    assert "4 of 5 connections" in caplog.text


def test_a_closed_pool_can_be_replaced(world: World) -> None:
    upkeep = world.upkeep
    with world.source.reads.connection() as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    upkeep.stop()
    world.source.close()
    assert world.upkeep.name == "watch"
    with world.source.reads.connection() as connection:
        assert connection.execute("select 2").fetchone() == (2,)


def test_a_batch_put_back_at_the_cap_keeps_the_newest_and_counts_what_is_lost(world: World) -> None:
    kept = History()
    for n in range(KEPT):
        kept.add(Record("v", float(n), True, 1.0))
    real = kept._take

    def take() -> list[Record]:
        batch = real()
        for n in range(7):
            kept.add(Record("v", float(KEPT + n), True, 1.0))
        return batch

    kept._take = take  # type: ignore[method-assign]  # a spy
    with world.database.connect() as connection, pytest.raises(psycopg.errors.UndefinedTable):
        kept.write(connection)
    assert (kept.pending, kept.lost) == (KEPT, 7)
    assert [record.duration_ms for record in kept._pending] == [float(n) for n in range(7, KEPT + 7)]
