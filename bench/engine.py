"""The engine by itself, in this process: its four verbs, its cycle, its retries."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Deadline, RefreshSettings, Request, SystemClock, Transient, Trigger, Worker
from alert_refresh.targets import KIND, Settings
from alert_refresh.targets.folder.source import DirectorySource
from bench.samples import manifests
from bench.table import Table, median, quantile, seconds, spread
from tests.fakes import FakeSource, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.engine import Outcome, Snapshot


def directory_source(folder: Path) -> DirectorySource:
    settings = Settings(RefreshSettings(), "directory", folder, (), "publishing-target=true", True, "", False)
    return DirectorySource(settings, SystemClock())


def worker_of(source: Any = None, **settings: Any) -> Worker[Any]:
    return Worker(KIND, source or FakeSource(), RefreshSettings(**({"rate_limit": 0.0} | settings)))


def settled(worker: Worker[Any]) -> None:
    """Wait until nothing runs."""
    while (status := worker.get_status()).in_progress or status.pending is not None or status.last is None:
        time.sleep(0.0005)


def verbs(folder: Path) -> Table:
    table = Table("The engine's verbs", note="In one process, 20 Secrets in a watched folder.")
    source = directory_source(manifests(folder / "verbs", 20))
    starts, stops = [], []
    for _ in range(200):
        worker = worker_of(source)
        began = time.perf_counter()
        worker.start()
        starts.append(time.perf_counter() - began)
        settled(worker)
        time.sleep(0.002)
        began = time.perf_counter()
        worker.stop()
        stops.append(time.perf_counter() - began)
    table.promise("start()", spread(starts), "< 1 ms", kept=quantile(starts, 0.95) < 1e-3)
    table.promise("stop(), idle", spread(stops), "< 3 s", kept=max(stops) < 3)
    waits = []
    for _ in range(50):
        worker = worker_of(FakeSource(_refused))
        worker.start()
        settled(worker)
        time.sleep(0.002)
        began = time.perf_counter()
        worker.stop()
        waits.append(time.perf_counter() - began)
    table.promise("stop(), in a backoff of 30 s", spread(waits), "< 1 s", kept=max(waits) < 1)
    worker = worker_of()
    worker.start()
    settled(worker)
    asked, done = [], []
    for _ in range(500):
        began = time.perf_counter()
        request = worker.refresh_now()
        asked.append(time.perf_counter() - began)
        request.done.wait()
        done.append(time.perf_counter() - began)
        settled(worker)
    table.add("refresh_now(), accepted", spread(asked), "", "")
    table.add("... until the cycle of an empty source is done", spread(done), "", "")
    table.add("get_status()", seconds(_each(worker.get_status, 200_000)), "", "")
    table.add("get_status(), 8 threads at once, all calls", seconds(_each_in_threads(worker, 8, 50_000)), "", "")
    worker.stop()
    reads = []
    for _ in range(50):
        began = time.perf_counter()
        found = source.refresh(None, Request(Trigger.MANUAL), Deadline(SystemClock(), 30))
        reads.append(time.perf_counter() - began)
        assert len(found.items) == 20
    table.promise("20 Secrets read, parsed and checked anew", spread(reads), "< 3 s", kept=max(reads) < 3)
    return table


def _refused(_: int) -> Snapshot[str]:
    raise Transient("refused", "network")


def _each(call: Any, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def _each_in_threads(worker: Worker[Any], count: int, times: int) -> float:
    threads = [threading.Thread(target=_each, args=(worker.get_status, times)) for _ in range(count)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - began) / (count * times)


def cycles() -> Table:
    table = Table("Cycles", note="How late things come on the machine's clock.")
    began: list[float] = []

    def answer(number: int) -> Snapshot[str]:
        began.append(time.monotonic())
        return snapshot(str(number))

    worker = worker_of(FakeSource(answer), interval=0.02, warmup=0.02)
    worker.start()
    time.sleep(4)
    started = worker.get_status().started
    worker.stop()
    late = [(at - started) % 0.02 for at in began[1:]]
    skipped = round((began[-1] - started) / 0.02) - (len(began) - 1)
    table.add(f"periodic: {len(late)} ticks of 20 ms, {skipped} skipped; each late by", spread(late), "", "")

    outcomes: list[Outcome] = []
    cycles: list[float] = []
    worker = worker_of(FakeSource(), warmup=3600.0)
    worker.listen(outcomes.append)
    worker.start()
    settled(worker)
    for _ in range(300):
        at = time.perf_counter()
        worker.notify(Trigger.WATCH)
        count = len(outcomes)
        while len(outcomes) == count:
            time.sleep(0)
        cycles.append(time.perf_counter() - at)
        settled(worker)
    worker.stop()
    table.add("notify to the listener's outcome, empty source", spread(cycles), "", "")

    began.clear()

    def refused(_: int) -> Snapshot[str]:
        began.append(time.monotonic())
        raise Transient("refused", "network")

    worker = worker_of(FakeSource(refused), base_backoff=0.1, max_backoff=1.0, max_retries=5, warmup=3600.0)
    worker.start()
    while len(began) < 6:
        time.sleep(0.01)
    worker.stop()
    expected = [0.0, 0.1, 0.3, 0.7, 1.5, 2.5]
    drift = [at - began[0] - due for at, due in zip(began, expected, strict=True)]
    table.add(
        "retries at 0, 0.1, 0.3, 0.7, 1.5, 2.5 s; late by",
        ", ".join(seconds(max(one, 0.0)) for one in drift[1:]),
        "",
        "",
    )
    table.add("median of that", seconds(max(0.0, median(drift[1:]))), "", "")
    return table
