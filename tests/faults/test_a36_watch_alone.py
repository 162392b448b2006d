"""Only the watch is refused, or its server recovers: the program is not reported as hung, and relists immediately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import RefreshSettings, Result, Trigger
from alert_refresh.targets.kubernetes.errors import HINTS
from alert_refresh.targets.kubernetes.timings import WatchTimings
from tests.fakes import FakeClock
from tests.faults.kubernetes import World, world
from tests.kube import KubeServer, faults, fill, secret
from tests.kube.api import is_watch
from tests.stage import eventually
from tests.web.world import World as Web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kube import Exchange

    Action = Callable[[Exchange], bool]

HOUR = 3600.0
LOOK = 15.0
"""Seconds of the fake clock between two looks at the health."""
BRIEF = WatchTimings(lifetimes=(0.02, 0.02), margin=0.02)
"""A watch that says nothing is found out soon on the machine's clock too."""


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        fill(server.store, 10)
        yield server


def event(kind: str, code: int) -> bytes:
    return f'{{"type":"{kind}","object":{{"kind":"Status","code":{code}}}}}'.encode()


def torn(exchange: Exchange) -> bool:
    exchange.wire.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
    exchange.wire.send(b'8\r\n{"type":"\r\n0\r\n\r\n')
    return True


def refused(exchange: Exchange) -> bool:
    """The client finds the connection closed."""
    exchange.wire.close()
    return False


ERRORS: dict[str, Action] = {
    **{str(code): faults.status(code) for code in (400, 401, 403, 404, 408, 410, 429, 500, 503, 504)},
    "429-for-long": faults.status(429, {"Retry-After": "100000"}),
    "302": faults.redirect("http://127.0.0.1:1/"),
    "204": faults.status(204, body=b""),
    "410-event": faults.events(event("ERROR", 410)),
    "504-event": faults.events(event("ERROR", 504)),
    "unknown-event": faults.events(event("RENAMED", 0)),
    "garbage": faults.events(b"garbage"),
    "ends-at-once": faults.events(),
    "torn-line": torn,
    "refused": refused,
    "reset": faults.reset("request"),
    "reset-in-body": faults.reset("headers"),
    "silent": faults.half_open,
    "no-answer": faults.silence,
}


class Hour:
    """A world whose clock is moved while everybody sleeps, its health asked at every step."""

    def __init__(self, it: World, clock: FakeClock) -> None:
        self.it = it
        self.clock = clock
        self.web = Web(off=True)
        self.web.daemon.workers["targets"] = it.worker
        self.looks = 0

    def at_rest(self) -> bool:
        """Whether worker, applier and every reflector sleep, and nothing is under way."""
        self.healthy()
        status = self.it.worker.get_status()
        sleeping = len(self.clock.sleeping()) == 2 + self.watches
        return sleeping and status.attempt is None and status.pending is None

    @property
    def watches(self) -> int:
        return sum(watch.name.startswith("watch") for watch in self.it.worker._run.watches)

    def healthy(self) -> None:
        assert self.it.worker.health() is None

    def passes(self, seconds: float, check: Callable[[], None]) -> None:
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            eventually(self.at_rest, "everybody's being asleep")
            check()
            step = min([*self.clock.sleeping(), LOOK, end - self.clock.monotonic()])
            self.clock.advance(step + 1e-6)
            self.healthy()
            assert self.web.client.get("/healthz").status_code == 200
            self.looks += 1


@pytest.mark.parametrize("what", ERRORS)
def test_a37_an_hour_of_a_watch_that_fails_is_healthy_and_says_why(kube: KubeServer, tmp_path: Path, what: str) -> None:
    clock = FakeClock()
    timings = BRIEF if what in ("silent", "no-answer") else WatchTimings()
    rule = kube.fault(ERRORS[what], when=is_watch)
    with world(tmp_path, kube, watch=True, timings=timings, clock=clock, refresh=RefreshSettings(rate_limit=0)) as it:
        eventually(lambda: it.health.error is not None)
        hour = Hour(it, clock)

        def check() -> None:
            health, status = it.health, it.worker.get_status()
            assert not health.connected and (health.error or "").startswith("namespace default: ")
            assert status.last is not None and status.last.result is Result.SUCCESS

        hour.passes(HOUR, check)
        assert hour.looks >= HOUR / LOOK and rule.fired >= 3
        assert len(kube.lists()) <= 40, "relists are delayed by the backoff"
        assert all(outcome.result is Result.SUCCESS for outcome in it.outcomes)
        kube.faults.clear()
        name = it.change()
        it.worker.refresh_now()
        if what == "429-for-long":
            eventually(hour.at_rest)
            clock.advance(300)
        eventually(lambda: name in it.served.items and it.health.connected)
        it.worker.stop(30)


def test_a37_the_namespace_whose_watch_is_refused_is_named(kube: KubeServer, tmp_path: Path) -> None:
    fill(kube.store, 2, namespace="a", prefix="a")
    clock = FakeClock()
    kube.denied = {("watch", "a")}
    how: dict[str, Any] = {"namespaces": ("default", "a"), "refresh": RefreshSettings(rate_limit=0)}
    with world(tmp_path, kube, watch=True, timings=WatchTimings(), clock=clock, served=12, **how) as it:
        eventually(lambda: it.health.error is not None)
        assert it.health.error == "namespace a: the API server answered 403" + HINTS[403] and not it.health.connected
        eventually(lambda: any("watch is lost" in one.getMessage() for one in it.lines))
        (line,) = [one for one in it.lines if "watch is lost" in one.getMessage()]
        assert vars(line)["namespace"] == "a"
        it.worker.stop(30)


def test_a36_a_server_that_comes_back_without_the_version_is_listed_within_a_second(
    kube: KubeServer, tmp_path: Path
) -> None:
    clock = FakeClock()
    with world(
        tmp_path, kube, watch=True, timings=WatchTimings(), clock=clock, refresh=RefreshSettings(rate_limit=0)
    ) as it:
        it.connected()
        hour = Hour(it, clock)
        kube.close()
        before = it.health.counts["reconnects"]
        hour.passes(3.0, lambda: None)
        assert it.health.counts["reconnects"] - before >= 3
        kube.store.create(secret("meanwhile"))
        kube.store.compact()
        lists = len(kube.lists())
        kube.open()
        back = clock.monotonic()

        def listed() -> bool:
            if len(kube.lists()) == lists and hour.at_rest():
                clock.advance(0.05)
            return len(kube.lists()) > lists

        eventually(listed)
        assert clock.monotonic() - back <= 1.0
        it.serves("meanwhile")
        it.connected()
        first, *others = [one.trigger for one in it.outcomes]
        assert first is Trigger.STARTUP and set(others) == {Trigger.WATCH}, "no periodic refresh was needed"
        it.worker.stop(30)


@pytest.mark.parametrize("code", [410, 504, 400])
def test_a36_a_relist_after_many_refused_connections_is_immediate(kube: KubeServer, tmp_path: Path, code: int) -> None:
    clock = FakeClock()
    with world(
        tmp_path, kube, watch=True, timings=WatchTimings(), clock=clock, refresh=RefreshSettings(rate_limit=0)
    ) as it:
        it.connected()
        hour = Hour(it, clock)
        rule = kube.fault(refused, when=is_watch)
        kube.close()
        kube.open()
        hour.passes(200.0, lambda: None)
        assert rule.fired >= 8
        kube.faults.clear()
        fault = kube.fault(faults.status(code), when=is_watch, times=1)
        lists = len(kube.lists())
        while not fault.fired:
            eventually(lambda: fault.fired or hour.at_rest())
            if not fault.fired:
                clock.advance(min(clock.sleeping()) + 1e-6)
        at = clock.monotonic()
        eventually(lambda: len(kube.lists()) > lists)
        it.connected()
        assert clock.monotonic() == at, "there was no wait"
        it.worker.stop(30)


@pytest.mark.parametrize("action", [faults.status(500), faults.status(429), refused], ids=["500", "429", "refused"])
def test_a_list_restarts_the_watch_immediately(kube: KubeServer, tmp_path: Path, action: Action) -> None:
    clock = FakeClock()
    settings = RefreshSettings(rate_limit=0, interval=36_000, warmup=36_000)
    rule = kube.fault(action, when=is_watch)
    with world(tmp_path, kube, watch=True, timings=WatchTimings(), clock=clock, refresh=settings) as it:
        hour = Hour(it, clock)
        hour.passes(600.0, lambda: None)
        assert rule.fired >= 5 and not it.health.connected
        kube.faults.clear()
        at = clock.monotonic()
        it.worker.refresh_now()
        it.connected()
        assert clock.monotonic() == at
        it.worker.stop(30)


def test_a_watch_of_one_namespace_is_tried_again_though_another_is_never_listed(
    kube: KubeServer, tmp_path: Path
) -> None:
    fill(kube.store, 2, namespace="a", prefix="a")
    clock = FakeClock()
    kube.denied = {("watch", "default"), ("list", "a")}
    settings = RefreshSettings(rate_limit=0, max_retries=0)
    with world(
        tmp_path, kube, watch=True, timings=WatchTimings(), clock=clock, refresh=settings, namespaces=("default", "a")
    ) as it:
        eventually(lambda: it.health.error == "namespace default: the API server answered 403" + HINTS[403])
        kube.denied = {("list", "a")}
        before = len([one for one in kube.requests if is_watch(one)])
        it.worker.refresh_now().done.wait(20)
        eventually(lambda: len([one for one in kube.requests if is_watch(one)]) > before)
        it.worker.stop(30)
