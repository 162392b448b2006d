"""LISTEN alert_refresh: what a trigger reports is refreshed immediately, and a broken connection is replaced."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.credential import Credential
from alert_refresh.engine import SystemClock, Trigger
from alert_refresh.views.database import notifications
from alert_refresh.views.database.notifications import EVERYTHING, MOST, PROOF, Notifications
from tests.fakes import FakeSink
from tests.faults.test_d_postgres import wait_for
from tests.pgbouncer import PgBouncer
from tests.postgres import VIEWS, hierarchy
from tests.views.world import TestClock, World
from tests.web.views.world import ViewsWorld

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database

TRIGGER = Path(__file__).parents[3] / "config" / "examples" / "notify.sql"


class Noted(Notifications):
    """Notes what it received; `gathering` is whether it waits for more of it."""

    received: frozenset[str] = frozenset()
    gathering = False

    def _received(self, connection: Any) -> set[str]:
        found = super()._received(connection)
        self.received |= found
        return found

    def _ready(self, connection: Any, seconds: float) -> bool:
        self.gathering = seconds != PROOF
        return super()._ready(connection, seconds)


class Ear:
    """Notifications in a thread; `heard` gets what each refresh that was asked for is about."""

    def __init__(self, dsn: str, debounce: float = 0.2) -> None:
        self.pending: set[str] = set()
        self.heard: list[set[str]] = []
        self.clock = TestClock()
        self.watch = Noted(
            Credential(dsn), self.clock, FakeSink(self.asked), threading.Event(), debounce, self.pending.update
        )
        self.thread = threading.Thread(target=self.watch.run, daemon=True)

    def asked(self, trigger: Trigger) -> None:
        assert trigger is Trigger.WATCH
        self.heard.append(set(self.pending))
        self.pending.clear()

    def __enter__(self) -> Ear:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.stop()
        self.thread.join(30)
        assert not self.thread.is_alive(), "stop ends it"


@pytest.fixture
def database() -> Iterator[Database]:
    database = hierarchy()
    yield database
    database.drop()


def listening(ear: Ear) -> bool:
    return ear.watch.health().connected


DEBOUNCE = 600.0
"""Seconds, much more than a test takes, that pass when the test says so."""


def the_debounce_passes(ear: Ear, database: Database) -> None:
    """Put the clock forward, and wake the thread, which looks at it then, by one more notification."""
    refreshes = len(ear.heard)
    ear.clock.ahead += DEBOUNCE
    database.run("notify alert_refresh, 'd'")
    wait_for(lambda: len(ear.heard) > refreshes)


def test_notifications_within_the_debounce_make_one_refresh(database: Database) -> None:
    with Ear(database.dsn(), debounce=DEBOUNCE) as ear:
        wait_for(lambda: listening(ear), 30)
        database.run("notify alert_refresh, 'a'")
        wait_for(lambda: ear.watch.gathering)
        database.run("notify other, 'c'", "notify alert_refresh, 'public.b'")
        wait_for(lambda: ear.watch.received == {"a", "public.b"})
        assert not ear.heard
        the_debounce_passes(ear, database)
        assert ear.heard == [{"a", "public.b", "d"}]
        database.run("notify alert_refresh")
        wait_for(lambda: EVERYTHING in ear.watch.received and ear.watch.gathering)
        the_debounce_passes(ear, database)
        assert ear.heard[1] == {EVERYTHING, "d"}


def test_too_many_different_payloads_mean_everything(database: Database) -> None:
    with Ear(database.dsn(), debounce=DEBOUNCE) as ear:
        wait_for(lambda: listening(ear), 30)
        database.run(f"select pg_notify('alert_refresh', n::text) from generate_series(0, {MOST}) n")
        wait_for(lambda: len(ear.watch.received) == MOST + 1 and ear.watch.gathering)
        the_debounce_passes(ear, database)
        assert ear.heard[0] == {EVERYTHING}


def test_a_broken_connection_is_replaced_and_the_reason_is_shown(database: Database) -> None:
    with Ear(database.dsn()) as ear:
        wait_for(lambda: listening(ear), 30)
        proof = ear.watch.health().last_proof_of_life
        pid = "select pid from pg_stat_activity where query = 'listen alert_refresh' and datname = current_database()"
        database.run(f"select pg_terminate_backend(({pid}))")
        wait_for(lambda: ear.watch.health().last_proof_of_life != proof and listening(ear), 30)
        database.run("notify alert_refresh, 'x'")
        wait_for(lambda: ear.heard, 30)


def test_a_connection_that_is_readable_without_a_notification_proves_nothing() -> None:
    class Closing:
        """What the server is about to close: readable, and no notification in it."""

        def notifies(self, timeout: float) -> Iterator[Any]:
            return iter(())

    connection: Any = Closing()
    watch = Ear("host=/nowhere").watch
    assert watch._received(connection) == set()
    assert not watch.health().connected and watch.health().last_proof_of_life is None


def test_a_database_that_is_away_is_shown_and_asked_again_later(database: Database) -> None:
    with Ear("host=/nowhere") as ear:
        wait_for(lambda: ear.watch.health().error, 30)
        health = ear.watch.health()
        assert not health.connected and "cannot be reached" in (health.error or "")


def test_a_silent_connection_is_checked(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "PROOF", 0.1)
    with Ear(database.dsn()) as ear:
        wait_for(lambda: listening(ear), 30)
        proof = ear.watch.health().last_proof_of_life
        wait_for(lambda: ear.watch.health().last_proof_of_life != proof, 30)
        assert ear.watch.back_by > SystemClock().monotonic()


def test_a_pooler_that_shares_sessions_cannot_be_listened_to(database: Database) -> None:
    with PgBouncer(database, "transaction") as bouncer, Ear(bouncer.dsn()) as ear:
        wait_for(lambda: ear.watch.health().error, 30)
        assert "pooler" in (ear.watch.health().error or "")


def test_a_notified_refresh_takes_up_what_reads_the_table_and_what_reads_that() -> None:
    with World(views=[*VIEWS, "mv_other"]) as world:
        world.database.run(
            "create table elsewhere (id int)", "create materialized view mv_other as select random() as r"
        )
        first = world.refresh(Trigger.STARTUP)
        world.source._changes.add("public.entities")
        states = world.refresh(Trigger.WATCH)
        assert [name for name in states if states[name].generation != first[name].generation] == list(VIEWS)
        world.source._changes.add("mv_other")
        after = world.refresh(Trigger.WATCH)
        assert [name for name in after if after[name].generation != states[name].generation] == ["mv_other"]
        assert not world.source._changes, "each is handled once"


def test_what_was_notified_while_another_refresh_was_due_is_not_skipped_by_that() -> None:
    with World(skip_unchanged=True) as world:
        world.refresh(Trigger.STARTUP)
        world.clock.ahead += 100
        assert not any(state.refreshed for state in world.refresh(Trigger.PERIODIC).values())
        world.source._changes.add("")
        assert all(state.refreshed for state in world.refresh(Trigger.PERIODIC).values())


def test_the_trigger_of_the_examples_brings_a_change_in_within_the_debounce() -> None:
    with ViewsWorld(VIEWS_NOTIFY_DEBOUNCE="100ms") as world:
        world.database.run(TRIGGER.read_text())
        world.start()
        wait_for(lambda: world.get("/refresh/status").get_json()["notifications"]["connected"], 30)
        world.database.run("insert into entities (name, kind, path) values ('new', 'service', 'e1.new')")
        count = "select descendant_count from mv_descendant_counts where entity_path = 'e1'"
        wait_for(lambda: world.database.value(count) == 200, 30)
