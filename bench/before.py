"""This program beside an earlier one, `python -m bench.before FOLDER`: FOLDER is a checkout of it.

Both serve the Secrets of the cluster that KUBECONFIG names, in turns, with the packages that are installed here.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.client import Client
from bench.kubernetes import TARGETS, ours, propagation, serve, start, version_of
from bench.table import Table, median, quantile, seconds
from bench.where import where
from tests.process.program import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

RATE = 50
"""GET status a second."""


def first_refresh(file: Path, root: Path) -> float:
    """Seconds of the first refresh of a cold process, as it tells itself."""
    with serve(file, root) as program:
        program.wait_for("Targets refreshed successfully")
        with Client(program.port) as client:
            return float(client.json(f"{TARGETS}/status")[1]["refresh_duration_ms"]) / 1000


def status_beside_refreshes(file: Path, root: Path, duration: float) -> list[float]:
    """Seconds of each GET status, counted from when it was due, while refreshes follow each other."""
    over = threading.Event()
    with serve(file, root) as program, Client(program.port) as client:
        program.wait_for("Targets refreshed successfully")

        def refresh() -> None:
            with Client(program.port) as asker:
                while not over.is_set():
                    asker.request(f"{TARGETS}/refresh?wait=60s", "POST")

        refreshing = threading.Thread(target=refresh)
        refreshing.start()
        samples, began = [], time.perf_counter()
        for number in range(round(duration * RATE)):
            at = began + number / RATE
            if (left := at - time.perf_counter()) > 0:
                time.sleep(left)
            client.request(f"{TARGETS}/status")
            samples.append(time.perf_counter() - at)
        over.set()
        refreshing.join()
    return samples


def compare(file: Path, before: Path, rounds: int) -> Table:
    count = len(ours(file)(None).items)
    table = Table(
        f"Beside an earlier version, {count:,} Secrets",
        ("what", "before", "now", "now : before"),
        note=f"Both in turns, {rounds} rounds; the least of all where nothing else is said.",
    )
    taken: dict[str, dict[Path, list[float]]] = {}

    def note(what: str, root: Path, *values: float) -> None:
        taken.setdefault(what, {}).setdefault(root, []).extend(values)

    for _ in range(rounds):
        for root in (before, ROOT):
            took, peak = start(file, count, root)
            note("start to served", root, took)
            note("peak memory until then, MB", root, peak / 1000)
            note("first refresh", root, first_refresh(file, root))
            note("GET status beside refreshes, p99", root, *status_beside_refreshes(file, root, 4))
            note("write to served, median", root, *propagation(file, 20, busy=False, root=root))
    chosen: dict[str, Callable[[list[float]], float]] = {"p99": lambda some: quantile(some, 0.99), "median": median}
    for what, found in taken.items():
        one, other = (chosen.get(what.rpartition(" ")[2], min)(found[root]) for root in (before, ROOT))
        show = f"{one:.0f}", f"{other:.0f}"
        table.add(what, *(show if what.endswith("MB") else map(seconds, (one, other))), f"{other / one:.2f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.before", description=__doc__)
    parser.add_argument("before", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    file = Path(os.environ["KUBECONFIG"])
    print(where("bench.before"))
    print(f"The API server is {version_of(file)}.\n")
    print(compare(file, options.before.absolute(), options.rounds))


if __name__ == "__main__":
    main()
