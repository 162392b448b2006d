"""GET status while 10,000 Secrets are refreshed back to back, and what page size and switch interval are worth."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.client import Client
from bench.http import STATUS, TARGETS
from bench.table import Table, median, quantile, seconds
from tests.process.program import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRETS = 10_000
RATE = 50
LIMIT = 0.02


@contextmanager
def cluster(folder: Path, *, changing: bool) -> Iterator[Path]:
    """The kubeconfig of a stand-in with 10,000 Secrets, in a process of its own."""
    file = folder / f"kubeconfig-{changing}"
    command = [sys.executable, "-m", "bench.cluster", "--fill", str(SECRETS), "--kubeconfig", str(file)]
    process = subprocess.Popen(
        command + ["--changing"] * changing, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("http")
        yield file
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def under_load(file: Path, duration: float, *options: str) -> tuple[list[float], list[float]]:
    """Seconds of every GET status at 50 a second, and of every refresh that ran meanwhile."""
    env = {"KUBECONFIG": str(file), "TARGET_REFRESH_RATE_LIMIT": "0s", "K8S_NAMESPACE": "default"}
    with Program("bench.variant", *options, env=env) as program:
        assert program.wait_for("Targets refreshed successfully")["target_count"] == SECRETS
        refreshes: list[float] = []
        over = threading.Event()

        def refresh() -> None:
            with Client(program.port) as client:
                while not over.is_set():
                    refreshes.append(client.timed(f"{TARGETS}/refresh?wait=30s", "POST"))

        refreshing = threading.Thread(target=refresh)
        refreshing.start()
        samples = []
        with Client(program.port) as client:
            began = time.perf_counter()
            for number in range(round(duration * RATE)):
                at = began + number / RATE
                if (left := at - time.perf_counter()) > 0:
                    time.sleep(left)
                # From when it was due: one that had to wait for the one before waited too.
                client.timed(STATUS)
                samples.append(time.perf_counter() - at)
        over.set()
        refreshing.join()
    return samples, refreshes


def status_under_load(folder: Path, duration: float) -> Table:
    table = Table(
        "GET status while 10,000 Secrets are refreshed back to back",
        ("Secrets", "page", "switch interval", "status p50", "p99", "max", "refresh, median", "p99 < 20 ms"),
        note=f"{RATE} requests a second for {duration:g} s each; client and API stand-in are processes of their own.",
    )
    for changing in (False, True):
        with cluster(folder, changing=changing) as file:
            for page, interval in ((None, None), (2000, 0.005), (500, 0.0005), (5000, 0.0005), (0, 0.0005), (0, 0.005)):
                options = () if page is None else ("--page", str(page), "--switch-interval", str(interval))
                samples, refreshes = under_load(file, duration, *options)
                p99 = quantile(samples, 0.99)
                ours = page is None
                if ours:
                    table.kept &= p99 < LIMIT
                table.add(
                    "all changed" if changing else "unchanged",
                    "**ours** (2,000)" if ours else "all" if page == 0 else f"{page:,}",
                    "**ours** (0.5 ms)" if interval is None else seconds(interval),
                    seconds(median(samples)),
                    seconds(p99),
                    seconds(max(samples)),
                    seconds(median(refreshes)),
                    ("yes" if p99 < LIMIT else "**NO**") if ours else ("yes" if p99 < LIMIT else "no"),
                )
    return table
