"""Many refreshes, a third of them failing, leave nothing behind: no thread, no descriptor, no socket, no memory."""

from __future__ import annotations

import gc
import logging
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from alert_refresh.engine import Backoff
from alert_refresh.targets.kubernetes.timings import WatchTimings
from tests.faults.kubernetes import refresh_settings, world
from tests.kube import KubeServer, faults, raw_secret, secret
from tests.kube.api import is_watch
from tests.stage import eventually
from tests.web.world import World as OneWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.kubernetes import World

SHARE = 0.3
FAULTS: list[Callable[[Any], bool]] = [
    faults.status(500),
    faults.status(403),
    faults.status(429, {"Retry-After": "1"}),
    faults.page(b"<html>"),
    faults.page(b"{}"),
    faults.truncated("length"),
    faults.truncated("chunked"),
    faults.reset("request"),
    faults.reset("body"),
    faults.encoded("garbage"),
    faults.redirect("http://127.0.0.1:1/"),
]
WATCH_FAULTS: list[Callable[[Any], bool]] = [
    faults.status(500), faults.reset("request"), faults.events(b"garbage"), faults.events(b'{"type":"ERROR"}')
]  # fmt: skip


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer(bookmark_interval=0.05) as server:
        yield server


@pytest.fixture
def unlogged() -> Iterator[None]:
    """pytest keeps every log record of a test, and of this one there are hundreds of thousands."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def client_sockets(port: int) -> list[Any]:
    """The connections of this process to that port, as the client sees them."""
    return [one for one in psutil.Process().net_connections("tcp") if one.raddr and one.raddr.port == port]


def new_threads(before: set[threading.Thread]) -> list[str]:
    """The names of the worker's threads, without the one that watches the kubeconfig: not every machine can."""
    names = [one.name.removeprefix("targets-") for one in threading.enumerate() if one not in before]
    return sorted(name for name in names if name in ("apply", "attempt", "watch", "worker"))


def open_files() -> int:
    """The number of open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def forget(it: World, kube: KubeServer) -> None:
    """Drop what the stand-in and this test remember: it does not count as a leak."""
    kube.faults.clear()
    kube.requests.clear()
    with kube.store.changed:
        del kube.store.history[:-100]
    it.outcomes.clear()


def refresh_with_faults(it: World, kube: KubeServer, dice: random.Random) -> None:
    """Change a Secret, which may become invalid, and refresh, with faults of the server in a share of all calls."""
    forget(it, kube)
    if dice.random() < SHARE:
        kube.fault(dice.choice(FAULTS), when=lambda request: not is_watch(request), times=1)
        kube.fault(dice.choice(WATCH_FAULTS), when=is_watch, times=1)
    name = f"target-{dice.randrange(10):05d}"
    bad = raw_secret(name, "default", {"config": dice.choice([b"[]", b"{", b"\0"])})
    kube.store.replace(bad if dice.random() < SHARE else secret(name, url=f"https://h.example/{dice.random()}"))
    it.refresh()


def no_socket_is_left(port: int) -> None:
    """Assert that there are few connections to that port, and that none stays in CLOSE_WAIT."""
    eventually(lambda: len(client_sockets(port)) <= 10, "connections being closed")
    sockets = client_sockets(port)
    waiting = [one for one in sockets if one.status == psutil.CONN_CLOSE_WAIT]
    if waiting:
        time.sleep(5)
        still = [one for one in client_sockets(port) if one.status == psutil.CONN_CLOSE_WAIT]
        assert not set(waiting) & set(still)


@pytest.mark.no_cover
@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize(
    ("count", "warm"),
    [(300, 100), pytest.param(10_000, 1000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])],
)
def test_l01_l02_l03_refreshes_with_faults_leave_nothing_behind(
    kube: KubeServer, tmp_path: Path, count: int, warm: int
) -> None:
    dice = random.Random(3)
    timings = WatchTimings(
        lifetimes=(1.0, 1.0), margin=0.5, broken=Backoff(0.005, 0.05), refused=Backoff(0.005, 0.05), reset_after=0.05
    )
    process = psutil.Process()
    before = set(threading.enumerate())
    settings = refresh_settings(max_retries=0)
    with world(tmp_path, kube, watch=True, timings=timings, refresh=settings) as it:
        it.connected()

        for _ in range(warm):
            refresh_with_faults(it, kube, dice)
        kube.faults.clear()
        it.connected()
        gc.collect()
        threads, files = threading.active_count(), open_files()
        began = process.memory_info().rss
        for _ in range(count):
            refresh_with_faults(it, kube, dice)
        kube.faults.clear()
        it.connected()
        gc.collect()
        # The stand-in runs in this process too: each of our connections is also a thread and a descriptor there.
        eventually(lambda: threading.active_count() <= threads + 4, "threads ending")
        eventually(lambda: open_files() <= files + 8, "descriptors being closed")
        eventually(lambda: new_threads(before) == ["apply", "watch", "worker"], "an idle worker")
        no_socket_is_left(kube.port)
        forget(it, kube)
        gc.collect()
        grown = process.memory_info().rss - began
        assert grown < 5 << 20, grown
        status = it.worker.get_status()
        assert it.source.started == status.succeeded + status.failed + status.cancelled
        assert status.failed > 0.2 * count
        it.connected().serves_what_the_cluster_has()


@pytest.mark.no_cover
def test_l06_scrapes_beside_a_storm_of_collections_never_stop(unlogged: None) -> None:
    with OneWorld().start() as one:
        app, ending = one.app, threading.Event()
        scraped: list[int] = []

        def scrape() -> None:
            client = app.test_client()
            scraped.extend(client.get("/metrics").status_code for _ in range(10))

        def collect() -> None:
            while not ending.is_set():
                gc.collect()

        scrapers = [threading.Thread(target=scrape) for _ in range(2)]
        storm = threading.Thread(target=collect)
        for thread in (storm, *scrapers):
            thread.start()
        for thread in scrapers:
            thread.join(120)
        ending.set()
        storm.join(20)
        assert scraped == [200] * 20
