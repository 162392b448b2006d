"""Run the stand-in as a process: prints its address on the first line and serves until a signal."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tests.kube import Authority, KubeServer, fill, kubeconfig
from tests.kube.api import BLOCK


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kube", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", action="append", help="a bearer token it knows; without any, everyone is let in")
    parser.add_argument("--tls", type=Path, metavar="FOLDER", help="serve TLS; the folder gets ca.crt")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="write a kubeconfig for it")
    parser.add_argument("--fill", type=int, default=0, metavar="N", help="begin with N targets")
    parser.add_argument("--size", type=int, default=1200, help="bytes of each of them")
    parser.add_argument("--namespace", default="default", help="where they are")
    parser.add_argument("--cost", type=float, default=12.0, help="microseconds a Secret of a list in JSON takes")
    parser.add_argument("--chunk", type=int, default=32768, help="bytes of a chunk")
    parser.add_argument("--bookmarks", type=float, default=60.0, help="seconds between bookmarks")
    options = parser.parse_args()
    authority = Authority.create(options.tls) if options.tls else None
    server = KubeServer(
        port=options.port,
        tokens=set(options.token) if options.token else None,
        tls=authority.server() if authority else None,
        cost=options.cost * BLOCK / 1e6,
        chunk=options.chunk,
        bookmark_interval=options.bookmarks,
    )
    fill(server.store, options.fill, options.size, namespace=options.namespace)
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with server:
        if options.kubeconfig:
            user = {"token": options.token[0]} if options.token else None
            kubeconfig(options.kubeconfig, server.url, ca=authority.ca if authority else None, user=user)
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        signal.sigwait(signals)


main()
