"""Measure, print tables, and with `--save` keep them in bench/README.md. Exit status 1: a promise is not kept."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench import alertmanager, delivery, engine, feed, http, keep, load, memory, page, rules, swaps
from bench.where import where

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.table import Table

README = Path(__file__).parent / "README.md"

HEAD = """# Benchmarks

`make bench` prints these tables; `python -m bench --save` writes them here. They show whether what users were
promised holds, on one machine and one day. Compare numbers of one run only.

Two have pages of their own: [Kubernetes](kubernetes.md) beside the official client's typed list and k8s-sidecar's way
(`python -m bench.kubernetes`, and `python -m bench.before` beside an earlier version of itself), and the
[views](views.md) on a real PostgreSQL (`make bench-views`).

"""


def sections(folder: Path, quick: bool) -> dict[str, Callable[[], Table]]:
    return {
        "verbs": lambda: engine.verbs(folder),
        "cycles": engine.cycles,
        "http": lambda: http.over_http(folder),
        "ratio": lambda: http.beside_an_empty_view(folder),
        "memory": lambda: memory.memory(folder),
        "rules-load": lambda: rules.loading(folder),
        "rules-post": lambda: rules.event_path(folder),
        "rules-get": rules.reading,
        "rules-match": rules.matching,
        "rules-swap": swaps.swapping,
        "keep-write": lambda: keep.writing(folder),
        "keep-restore": lambda: keep.restoring(folder),
        "alertmanager-render": alertmanager.rendering,
        "feed": lambda: feed.feed(2 if quick else 8),
        "alertmanager-delivery": delivery.delivering,
        "alertmanager-end-to-end": delivery.end_to_end,
        "page": lambda: page.in_a_browser(folder),
        "load": lambda: load.status_under_load(folder, 2 if quick else 8),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="verbs, cycles, http, ratio, memory, rules-load, keep-write, ...; default all",
    )
    parser.add_argument("--quick", action="store_true", help="shorter runs under load")
    parser.add_argument("--save", action="store_true", help="keep the tables in bench/README.md")
    options = parser.parse_args()
    text, kept = where("bench"), True
    print(text)
    with tempfile.TemporaryDirectory() as folder:
        known = sections(Path(folder), options.quick)
        if unknown := set(options.names) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}")
        for name in options.names or known:
            table = known[name]()
            print(table, flush=True)
            text += f"\n{table}"
            kept &= table.kept
    if options.save:
        README.write_text(HEAD + text)
    if not kept:
        sys.exit("A promise is not kept.")


main()
