"""GET status while 10,000 Secrets are refreshed back to back, and what the switch interval is worth."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from bench.client import Client
from bench.http import STATUS, TARGETS
from bench.stand_in import stand_in
from bench.table import Table, median, quantile, seconds
from tests.process.program import Program

if TYPE_CHECKING:
    from pathlib import Path

SECRETS = 10_000
RATE = 50
LIMIT = 0.02
ROUNDS = 3


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


VARIANTS: dict[str, tuple[str, ...]] = {
    "as it is": (),
    "switch interval 0.5 ms": ("--switch-interval", "0.0005"),
    "switch interval 5 ms (the default)": ("--switch-interval", "0.005"),
    "full collections as often as by default": ("--collect", "10"),
}


def status_under_load(folder: Path, duration: float) -> Table:
    """Variants take turns, so that a busy moment of the machine does not fall on one alone."""
    table = Table(
        "GET status while 10,000 Secrets are refreshed back to back",
        ("Secrets", "the program", "p50", "p95", "p99", "max", "refresh, median", "p99 < 20 ms"),
        note=f"{RATE} requests a second, {ROUNDS} x {duration:g} s; client and API stand-in are other processes.",
    )
    for changing in (False, True):
        samples: dict[str, list[float]] = {name: [] for name in VARIANTS}
        refreshes: dict[str, list[float]] = {name: [] for name in VARIANTS}
        how = ["--changing"] * changing
        with stand_in("bench.cluster", folder / f"kubeconfig-{changing}", SECRETS, *how) as file:
            for _ in range(ROUNDS):
                for name, options in VARIANTS.items():
                    some, others = under_load(file, duration, *options)
                    samples[name] += some
                    refreshes[name] += others
        for name, options in VARIANTS.items():
            good = quantile(samples[name], 0.99) < LIMIT
            if not options:
                table.kept &= good
            table.add(
                "all changed each time" if changing else "unchanged",
                name if options else f"**{name}**",
                *(seconds(quantile(samples[name], share)) for share in (0.5, 0.95, 0.99, 1.0)),
                seconds(median(refreshes[name])),
                "yes" if good else "no" if options else "**NO**",
            )
    return table
