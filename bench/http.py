"""The real program over HTTP, with 20 Secrets in a folder."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from bench.client import Client
from bench.samples import manifests
from bench.table import Table, median, quantile, seconds, spread
from tests.process.program import Program

if TYPE_CHECKING:
    from pathlib import Path

TARGETS = "/api/v2/publishing/targets"
STATUS = f"{TARGETS}/status"
EMPTY = "/api/v2/publishing/empty/status"
RATIO = 1.15


def over_http(folder: Path) -> Table:
    table = Table("Over HTTP", note="The program as it is run, log lines on; one client on a connection kept alive.")
    env = {"TARGET_DIRECTORY": str(manifests(folder / "http", 20)), "TARGET_REFRESH_RATE_LIMIT": "0s"}
    with Program(env=env) as program, Client(program.port) as client:
        program.wait_for("Targets refreshed successfully")
        asked = []
        for _ in range(200):
            asked.append(client.timed(f"{TARGETS}/refresh", "POST", expect=202))
            while client.request(f"{TARGETS}/refresh?wait=10s", "POST")[0] != 200:
                time.sleep(0.001)
            time.sleep(0.002)
        table.promise("POST refresh, to its 202", spread(asked), "< 50 ms", kept=quantile(asked, 0.99) < 0.05)
        whole = []
        for _ in range(200):
            whole.append(client.timed(f"{TARGETS}/refresh?wait=10s", "POST"))
            time.sleep(0.002)
        table.promise("POST refresh?wait, 20 Secrets refreshed", spread(whole), "< 3 s", kept=max(whole) < 3)
        alone = [client.timed(STATUS) for _ in range(3000)]
        table.promise("GET status", spread(alone), "< 5 ms", kept=quantile(alone, 0.99) < 0.005)
        for threads in (4, 16):
            samples, rate = concurrent(program.port, threads, 6000 // threads)
            table.add(f"GET status, {threads} connections at once, {rate:.0f}/s in all", spread(samples), "", "")
        listing = [client.timed(TARGETS) for _ in range(300)]
        table.add("GET targets (20)", spread(listing), "", "")
        table.add("GET /metrics", spread([client.timed("/metrics") for _ in range(100)]), "", "")
    return table


def concurrent(port: int, threads: int, each: int) -> tuple[list[float], float]:
    """Every request's seconds, and requests per second."""
    samples: list[float] = []

    def ask() -> None:
        with Client(port) as client:
            samples.extend([client.timed(STATUS) for _ in range(each)])

    asking = [threading.Thread(target=ask) for _ in range(threads)]
    began = time.perf_counter()
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    return samples, len(samples) / (time.perf_counter() - began)


def beside_an_empty_view(folder: Path, pairs: int = 6000) -> Table:
    """GET status beside a view of the same app that answers `{}`: pairs, one after the other, in changing order."""
    table = Table("GET status beside an empty view of the same app", note=f"{pairs} interleaved pairs over HTTP.")
    env = {"TARGET_DIRECTORY": str(manifests(folder / "pairs", 20))}
    with Program("bench.variant", "--empty-view", env=env) as program, Client(program.port) as client:
        program.wait_for("Targets refreshed successfully")
        status, empty, ratios = [], [], []
        for number in range(pairs):
            if number % 2:
                one, other = client.timed(STATUS), client.timed(EMPTY)
            else:
                other, one = client.timed(EMPTY), client.timed(STATUS)
            if number >= pairs // 10:  # the first ones warm up
                status.append(one)
                empty.append(other)
                ratios.append(one / other)
    table.add("empty view", spread(empty), "", "")
    table.add("GET status", spread(status), "", "")
    ratio = median(status) / median(empty)
    table.promise("ratio of the medians", f"{ratio:.3f}", f"<= {RATIO}", kept=ratio <= RATIO)
    table.add("median of the pairs' ratios", f"{median(ratios):.3f}", "", "")
    table.add("difference of the medians", seconds(max(0.0, median(status) - median(empty))), "", "")
    return table
