"""Faults of Redis: it may be unavailable, slow or wrong; reads continue and nothing waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alert_refresh.credential import Credential
from alert_refresh.views.tiers.redis_cache import RedisCache
from tests.fakes import FakeClock
from tests.proxy import Proxy, tcp
from tests.stage import eventually
from tests.valkey import Valkey
from tests.views.world import World, answered_however_late

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alert_refresh.views.tiers.resolver import Resolver


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with Valkey() as valkey:
        yield valkey


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    answered_however_late(monkeypatch)


def working(resolver: Resolver) -> bool:
    return resolver.l2 is not None and resolver.l2.available


@pytest.mark.usefixtures("answered")
def test_x01_redis_down_at_start_then_up_then_down_then_up(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    valkey.stop()
    with World(redis=Credential(valkey.url)) as world:
        resolver = world.source.resolver
        assert resolver.l2 is not None
        world.refresh()
        assert world.error is None
        assert resolver.ancestors("e1.e2")
        assert resolver.metrics()["l2_cache"]["available"] is False
        errors = resolver.l2.errors
        assert errors == 1
        for number in range(3, 10):
            assert resolver.ancestors(f"e1.e{number}")
        assert resolver.l2.errors == errors, "it is not used while the circuit is open"
        valkey.start()
        world.clock.ahead += 30
        assert resolver.ancestors("e1.e10") and working(resolver)
        assert valkey.client.dbsize() == 1
        valkey.stop()
        assert resolver.ancestors("e1.e11") and not working(resolver)
        valkey.start()
        world.clock.ahead += 30
        assert resolver.ancestors("e1.e2.e12") and working(resolver)
    assert sum("going on without it" in record.message for record in caplog.records) == 2
    assert sum("works again" in record.message for record in caplog.records) == 2


@pytest.mark.parametrize("how", ["slow", "blackhole"])
def test_x02_a_slow_or_silent_redis_costs_its_timeout_once_and_a_refresh_nothing(
    valkey: Valkey, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered_however_late(monkeypatch, redis=False)
    with Proxy(tcp(valkey.port)) as proxy:
        if how == "slow":
            proxy.delay = 0.5
        else:
            proxy.silent = True
        with World(redis=Credential(f"redis://127.0.0.1:{proxy.port}/0")) as world:
            world.refresh()
            assert world.error is None and proxy.accepted == 0, "a refresh never asks Redis"
            resolver = world.source.resolver
            resolver.ancestors("e1")  # opens the pool of the database
            assert resolver.l2 is not None and resolver.l2.errors == 1
            eventually(lambda: proxy.accepted == 1, "the one connection")
            for number in range(2, 8):
                assert resolver.ancestors(f"e1.e{number}")
            assert resolver.l2.errors == 1 and proxy.accepted == 1, "it is not used again for a while"
            world.clock.ahead += 30
            assert resolver.ancestors("e1.e9")
            assert resolver.l2.errors == 2
        proxy.silent = False


@pytest.mark.parametrize("how", ["password", "acl", "tls", "wrongtype"])
def test_x03_a_redis_that_refuses_is_like_no_redis(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how != "tls":  # to which there is no answer
        answered_however_late(monkeypatch)
    options = ["--requirepass", "right"] if how == "password" else []
    with Valkey(*options) as valkey:
        url = valkey.url
        if how == "password":
            url = f"redis://:wrong-canary@127.0.0.1:{valkey.port}/0"
        elif how == "acl":
            valkey.client.acl_setuser("weak", enabled=True, passwords=["+pw"], keys=["other:*"], commands=["+ping"])
            url = f"redis://weak:pw@127.0.0.1:{valkey.port}/0"
        elif how == "tls":
            url = f"rediss://127.0.0.1:{valkey.port}/0"
        with World(redis=Credential(url)) as world:
            world.refresh()
            assert world.error is None
            resolver = world.source.resolver
            assert resolver.l2 is not None
            good = resolver.ancestors("e1.e2")
            if how == "wrongtype":
                key = next(iter(valkey.client.scan_iter("*:e1.e2")))
                valkey.client.delete(key)
                valkey.client.rpush(key, "a list")
                resolver.l1.clear()
            assert good is not None and resolver.ancestors("e1.e2") == good
            assert resolver.l2.errors == 1 and not resolver.l2.available


def test_x03_no_password_shows_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with Valkey("--requirepass", "right") as valkey:
        cache = RedisCache(Credential(f"redis://:wrong-canary@127.0.0.1:{valkey.port}/0"), FakeClock())
        assert cache.get("key") is None
        cache.close()
    assert caplog.records
    assert "canary" not in caplog.text and "canary" not in repr(cache)
