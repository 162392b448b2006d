"""A Kubernetes API stand-in as a process: `python -m bench.cluster --fill 10000 --kubeconfig FILE [--changing]`.

With `--changing` every list finds every Secret under another resourceVersion, so that all are parsed each time.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kube import KubeServer, fill, kubeconfig
from tests.kube.store import Store

if TYPE_CHECKING:
    from tests.kube.store import Stored


class ChangingStore(Store):
    """Two versions of everything, listed in turn."""

    def settle(self) -> None:
        """Make the second version of what is there."""
        first, later = self.version, self.version + len(self.objects)
        ordered = [self.objects[key] for key in sorted(self.objects)]
        self._kept: dict[int, tuple[Stored, ...]] = {
            first: tuple(ordered),
            later: tuple(one.at(first + number + 1) for number, one in enumerate(ordered)),
        }
        self._newest = later

    def at(self, version: int | None = None) -> tuple[int, tuple[Stored, ...]] | None:
        if version is None:
            version = self._newest = next(one for one in self._kept if one != self._newest)
        return (version, self._kept[version]) if version in self._kept else None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("--fill", type=int, required=True)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--changing", action="store_true")
    options = parser.parse_args()
    server = KubeServer()
    store = ChangingStore()
    fill(store, options.fill)
    store.settle()
    if options.changing:
        server.store = store
    else:
        server.store.version, server.store.objects = store.version, store.objects
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with server:
        kubeconfig(options.kubeconfig, server.url)
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
