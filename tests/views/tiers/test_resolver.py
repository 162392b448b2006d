"""The four tiers: what each returns, and that none returns rows from before a refresh."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

from alert_refresh.credential import Credential
from alert_refresh.views.tiers.generations import Lease
from alert_refresh.views.tiers.reads import Unavailable
from tests.fakes import FakeClock
from tests.postgres import VIEWS
from tests.valkey import Valkey
from tests.views.world import World, answered_however_late

LEASE = 0.1
"""Seconds, long beside what follows the last refresh of an attempt: the lease alone keeps readers from old rows."""

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    answered_however_late(monkeypatch)


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    with Valkey() as valkey:
        yield valkey


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        world.refresh()
        yield world


def count(world: World, path: str = "e1") -> int:
    body = world.source.resolver.descendants(path)
    assert body is not None
    number: int = json.loads(body)["descendant_count"]
    return number


def grow(world: World) -> None:
    """One more entity below the root."""
    world.database.run(
        "insert into entities (name, kind, path)"
        " select 'new', 'service', ('e1.n' || count(*))::ltree from entities where path ~ 'e1.n*'"
    )


def test_the_second_read_comes_from_memory(world: World) -> None:
    resolver = world.source.resolver
    first = resolver.ancestors("e1.e2")
    assert resolver.ancestors("e1.e2") is first
    assert (resolver.l1.hits, resolver.l1.misses, resolver.found) == (1, 1, 1)


def test_an_entity_that_does_not_exist_is_remembered_too(world: World) -> None:
    resolver = world.source.resolver
    assert resolver.ancestors("e1.nowhere") is None
    assert resolver.ancestors("e1.nowhere") is None
    assert (resolver.l1.hits, resolver.unknown) == (1, 1)


def test_nothing_is_cached_before_the_first_refresh_by_this_program() -> None:
    with World() as world:
        for _ in range(2):
            assert world.source.resolver.ancestors("e1.e2")
        assert len(world.source.resolver.l1) == 0


def test_after_a_refresh_the_next_read_shows_it(world: World) -> None:
    before = count(world)
    grow(world)
    assert count(world) == before, "the view still shows the old rows"
    world.refresh()
    assert count(world) == before + 1


def test_another_daemon_answers_from_redis_without_the_database(world: World, valkey: Valkey) -> None:
    with (
        World(world.database, redis=Credential(valkey.url)) as one,
        World(world.database, redis=Credential(valkey.url)) as two,
    ):
        assert one.source.resolver.ancestors("e1.e3") == two.source.resolver.ancestors("e1.e3")
        resolver = two.source.resolver
        assert resolver.l2 is not None and (resolver.l2.hits, resolver.found) == (1, 0)
        assert two.source.resolver.ancestors("e1.e3")
        assert (resolver.l1.hits, resolver.l2.hits) == (1, 1)


def test_values_that_other_clients_wrote_to_redis_are_not_served(world: World, valkey: Valkey) -> None:
    with World(world.database, redis=Credential(valkey.url)) as one:
        good = one.source.resolver.ancestors("e1.e4")
        key = next(iter(valkey.client.scan_iter("*:e1.e4")))
        for junk in (b"", b"{", b'"x"', b'{"path": "e1.e5"}', b"[]", b"\xff", b'"\xff"', b"[" * 100_000):
            valkey.client.set(key, junk)
            one.source.resolver.l1.clear()
            assert one.source.resolver.ancestors("e1.e4") == good


def test_readers_of_two_daemons_never_see_rows_from_before_a_refresh_that_reported_success(
    world: World, valkey: Valkey
) -> None:
    """The readers of both daemons compare each count with the one that was published before the read."""
    published = [count(world)]
    stop = threading.Event()
    wrong: list[tuple[int, int]] = []
    reads = [0] * 4

    def read(number: int, daemon: World) -> None:
        while not stop.is_set():
            known = published[-1]
            seen = count(daemon)
            reads[number] += 1
            if seen < known:
                wrong.append((seen, known))

    with (
        World(world.database, redis=Credential(valkey.url), cache_lease=LEASE, views=VIEWS[:2]) as one,
        World(world.database, redis=Credential(valkey.url), cache_lease=LEASE, views=VIEWS[:2]) as two,
    ):
        daemons = (one, two)
        threads = [threading.Thread(target=read, args=(n, daemons[n % 2]), daemon=True) for n in range(4)]
        for thread in threads:
            thread.start()
        for n in range(12):
            before = published[-1]
            grow(world)
            daemon = daemons[n % 2]
            daemon.refresh()
            assert daemon.error is None
            published.append(before + 1)
        stop.set()
        for thread in threads:
            thread.join(30)
        assert one.source.resolver.l1.hits > 100 and two.source.resolver.l1.hits > 100
        tiers = [daemon.source.resolver.l2 for daemon in daemons]
        assert sum(tier.hits for tier in tiers if tier is not None) > 0 and None not in tiers
    assert not wrong
    assert min(reads) > 100


def test_without_the_wait_of_one_lease_the_other_daemon_would_serve_what_was(world: World) -> None:
    """The proof that the test above can fail: a daemon whose lease is longer than the refresher waits."""
    with World(world.database, cache_lease=30.0) as other:
        before = count(other)
        grow(world)
        world.refresh()
        assert count(other) == before
        assert count(world) == before + 1


def test_one_reader_renews_a_lease_early_while_the_others_go_on_and_all_do_once_it_is_over() -> None:
    clock = FakeClock()
    lease = Lease(clock, 1.0)
    assert lease.tokens() is None, "nothing is known at first"
    lease.renew({"v": ("a", "m")}, lease.begin())
    clock.advance(0.49)
    assert lease.tokens() == {"v": ("a", "m")}
    clock.advance(0.02)
    assert lease.tokens() is None, "the one"
    assert lease.tokens() == {"v": ("a", "m")} == lease.tokens(), "the others"
    clock.advance(0.5)
    assert lease.tokens() is None is lease.tokens()
    asked = lease.begin()
    clock.advance(0.9)
    lease.renew({"v": ("b", "m")}, asked)
    assert lease.tokens() is None, "the lease runs from the question"
    assert lease.tokens() == {"v": ("b", "m")}
    clock.advance(0.1)
    assert lease.tokens() is None


def test_the_lease_may_be_zero_then_every_read_looks(world: World) -> None:
    with World(world.database, cache_lease=0.0) as other:
        before = count(other)
        grow(world)
        world.refresh()
        assert count(other) == before + 1


def test_a_read_that_meets_a_lock_fails_at_the_lock_timeout() -> None:
    with World(lock_timeout=0.3) as world, world.database.connect() as blocker, blocker.transaction():
        blocker.execute("truncate entities")
        blocker.execute("drop materialized view mv_descendant_counts cascade")
        started = time.monotonic()
        with pytest.raises(Unavailable, match="lock timeout"):
            world.source.resolver.descendants("e1")
        assert time.monotonic() - started < 15


def test_a_view_with_other_columns_or_none_is_unavailable_not_a_crash(world: World) -> None:
    world.database.run(
        "drop materialized view mv_descendant_counts cascade", "create view mv_descendant_counts as select 1 as id"
    )
    with pytest.raises(Unavailable):
        world.source.resolver.descendants("e1")
    world.database.run("drop view mv_descendant_counts")
    with pytest.raises(Unavailable, match="no such view"):
        world.source.resolver.descendants("e1")
    with World(world.database, views=["mv_entity_ancestors"]) as other, pytest.raises(Unavailable, match="among VIEWS"):
        other.source.resolver.descendants("e1")


def test_a_schema_with_a_percent_sign_can_be_read_from() -> None:
    with World(views=['"50%s".mv_descendant_counts']) as world:
        world.database.run('create schema "50%s"', 'alter materialized view mv_descendant_counts set schema "50%s"')
        for _ in range(2):
            world.refresh()
            assert world.source.resolver.descendants("e1")


def test_the_metrics_add_up(world: World, valkey: Valkey) -> None:
    with World(world.database, redis=Credential(valkey.url), cache_size=2) as one:
        for path in ("e1.e6", "e1.e6", "e1.e7", "e1.e8", "e1.e6"):
            one.source.resolver.ancestors(path)
        metrics = one.source.resolver.metrics()
    assert metrics["l1_cache"] == {
        "hits": 1, "misses": 4, "hit_ratio": 0.2, "size": 2, "capacity": 2, "evictions": 2,
    }  # fmt: skip
    assert metrics["l2_cache"] == {"hits": 1, "misses": 3, "hit_ratio": 0.25, "available": True, "errors": 0}
    assert (metrics["l4_cache"]["hits"], metrics["l4_cache"]["queries"]) == (3, 3)
    assert metrics["overall"] == {"hits": 2, "misses": 3, "hit_ratio": 0.4, "requests": 5}
    assert metrics["l3_cache"]["available"] is True and metrics["l3_cache"]["hits"] > 0
