"""What is known of the views as bytes and back, and the history that was not written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.credential import Credential
from alert_refresh.engine import RefreshSettings, Snapshot, Trigger
from alert_refresh.views import Settings
from alert_refresh.views.database import tables
from alert_refresh.views.history import KEPT, History, Record
from alert_refresh.views.keep import ViewCodec
from alert_refresh.views.source import PostgresSource, digest
from alert_refresh.views.view import Mode, ViewState
from tests.fakes import FakeClock
from tests.views.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("one", "two", "three")


def codec_of(clock: FakeClock, *names: str) -> tuple[ViewCodec, History]:
    """The codec of a source that is never connected."""
    settings = Settings(RefreshSettings(), Credential("postgresql://nobody@localhost/none"), names or NAMES)
    source = PostgresSource(settings, clock)
    return ViewCodec(source), source.history


def snapshot_of(*states: ViewState) -> Snapshot[ViewState]:
    items = {state.name: state for state in states}
    return Snapshot(items, digest=digest(items), taken_at=3.5, generation=77)


def test_what_is_known_of_each_view_comes_back_with_its_age() -> None:
    clock = FakeClock()
    clock.advance(500)
    now, wall = clock.monotonic(), clock.time()
    states = (
        ViewState(
            "one", Mode.CONCURRENT, "", "", False, 12.5, wall - 100, 9, wall - 100, now - 100, None, "", "ok", 5, 6
        ),
        ViewState("two", Mode.FAILED, "no such view", "config", False, 1.0, None, 0, None, now - 30, None, "opaque"),
        ViewState("three", Mode.BUSY, "busy", busy=("another", 4.0), refreshed_at=wall - 9, generation=2),
    )
    before = snapshot_of(*states)
    codec, _ = codec_of(clock)
    data = codec.dump(before)
    restarted = FakeClock()
    restarted.wall_offset += 2000
    after = codec_of(restarted)[0].load(data)
    assert (after.digest, after.generation, after.taken_at, after.memo) == (before.digest, 77, 3.5, None)
    assert after.items["one"].since == pytest.approx(restarted.monotonic() - 100 - 1500)
    assert after.items["two"].since == pytest.approx(restarted.monotonic() - 30 - 1500)
    for state in states:
        found = after.items[state.name]
        for name in ViewState.__slots__:
            if name not in ("since", "busy"):
                assert getattr(found, name) == getattr(state, name), name
    assert after.items["three"].busy is None, "who holds a lock is not known after a restart"
    assert after.items["two"].failed and after.items["one"].outcome == "refreshed"


def test_a_view_that_is_not_configured_any_more_goes() -> None:
    before = snapshot_of(ViewState("one", Mode.CONCURRENT), ViewState("two", Mode.CONCURRENT))
    data = codec_of(FakeClock())[0].dump(before)
    after = codec_of(FakeClock(), "two")[0].load(data)
    assert list(after.items) == ["two"]
    assert (after.generation, after.digest) == (78, digest(after.items))


def test_the_mark_knows_ages_and_the_history() -> None:
    codec, history = codec_of(FakeClock())
    first = codec.mark(snapshot_of(ViewState("one", Mode.CONCURRENT, fresh_at=1.0)))
    assert first == codec.mark(snapshot_of(ViewState("one", Mode.CONCURRENT, fresh_at=1.0)))
    assert first != codec.mark(snapshot_of(ViewState("one", Mode.SKIPPED, fresh_at=2.0)))
    history.add(Record("one", 1.0, True, 2.0))
    assert first != codec.mark(snapshot_of(ViewState("one", Mode.CONCURRENT, fresh_at=1.0)))


def test_the_unwritten_history_comes_back_in_its_order_and_bounded() -> None:
    codec, history = codec_of(FakeClock())
    for n in range(KEPT + 3):
        history.add(Record("one", float(n), n % 2 == 0, 100.0 + n, "no", "failed", "because"))
    data = codec.dump(snapshot_of(ViewState("one", Mode.CONCURRENT)))
    after, restored = codec_of(FakeClock())
    after.load(data)
    assert restored.unwritten() == history.unwritten() and restored.pending == KEPT
    assert (restored.lost, restored.unwritten()[0].duration_ms) == (0, 3.0)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which one does not matter
        CODEC.load(data)


CODEC, _ = codec_of(FakeClock())
GOOD = msgspec.msgpack.decode(CODEC.dump(snapshot_of(ViewState("one", Mode.CONCURRENT), ViewState("two", Mode.BUSY))))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (1, "other"),
        (3, GOOD[3][:1]),
        (3, [GOOD[3][0], GOOD[3][0]]),
        (3, [["one", "unheard of", *GOOD[3][0][2:]], GOOD[3][1]]),
        (4, [{"view_name": "one"}]),
        (4, None),
    ],
)
def test_what_is_not_that_of_the_digest_is_refused_and_its_history_too(place: int, value: object) -> None:
    codec, history = codec_of(FakeClock())
    with pytest.raises(ValueError):  # noqa: PT011 - which one does not matter
        codec.load(msgspec.msgpack.encode([*GOOD[:place], value, *GOOD[place + 1 :]]))
    assert history.pending == 0


# On a real database


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def count(world: World) -> Any:
    return world.database.value("select count(*) from refresh_metrics")


def test_rows_that_an_earlier_process_wrote_after_all_are_not_written_twice(world: World) -> None:
    records = [Record("one", float(n), True, 1_700_000_000.123456 + n) for n in range(5)]
    with world.database.connect() as connection:
        tables.ensure(connection)
        first = History()
        for record in records[:3]:
            first.add(record)
        first.write(connection)
        restored = History()
        restored.restore(records)
        restored.add(Record("two", 9.0, True, 1_700_000_000.0))
        restored.write(connection)
        assert count(world) == 6 and restored.pending == 0 and restored.unwritten() == []
        restored.add(Record("one", 0.0, True, 1_700_000_009.0))
        restored.write(connection)
    assert count(world) == 7


def test_what_is_being_written_is_unwritten_until_it_is() -> None:
    history = History()
    history.add(Record("one", 1.0, True, 2.0))
    seen: list[list[Record]] = []

    class Connection:
        def execute(self, statement: bytes, columns: list[Any]) -> None:
            seen.append(history.unwritten())
            raise psycopg.OperationalError

    before = history.changes
    with pytest.raises(psycopg.OperationalError):
        history.write(Connection())  # type: ignore[arg-type]
    assert seen == [history.unwritten()] == [[Record("one", 1.0, True, 2.0)]]
    assert history.changes > before and history._in_flight == {}


def test_a_role_that_may_only_insert_writes_what_was_restored(world: World) -> None:
    statements: list[bytes] = []
    history = History()
    history.restore([Record("one", 1.0, True, 2.0)])

    class Connection:
        def execute(self, statement: bytes, columns: list[Any]) -> None:
            statements.append(statement)
            if b"not exists" in statement:
                raise psycopg.errors.InsufficientPrivilege

    history.write(Connection())  # type: ignore[arg-type]
    assert len(statements) == 2 and history.pending == 0


def test_after_a_restart_every_view_is_refreshed_once_and_none_is_skipped(world: World) -> None:
    world.refresh()
    data = ViewCodec(world.source).dump(world.served)
    world.snapshot = ViewCodec(world.source).load(data)
    known = dict(world.served.items)
    assert all(state.refreshed for state in known.values())
    world.clock.ahead += 120
    states = world.refresh(Trigger.STARTUP)
    assert all(state.refreshed for state in states.values())
    assert all(state.generation > known[name].generation for name, state in states.items())
