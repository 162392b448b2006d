"""How soon a client of the change feed hears of a change, and what many of them cost a publication."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from bench.table import Table, median, quantile, seconds, spread
from tests.process.following import EVENTS, Reader
from tests.process.program import Program, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 10_000
FOLLOWERS, READERS = 100, 200
TARGETS = "/api/v2/publishing/targets"
PAUSE = 0.02
"""Seconds between two publications."""
HEARD, COST, ANSWERED = 0.008, 0.005, 0.1
"""Seconds promised: until a client hears of a change, what the followers add to a publication, and an answer."""


def feed(rounds: int) -> Table:
    """The change feed of the program as it is run; `rounds` of publications each without and with followers."""
    note = f"The program as it is run, with {COUNT:,} targets, of which one changes; clients in another process."
    table = Table("The change feed", note=note)
    env = {"ALERT_REFRESH_THREADS": "250", "ALERT_REFRESH_LOG_LEVEL": "WARNING"}
    with Program(
        "tests.process.publishing", str(COUNT), env=env | {"ALERT_REFRESH_BIND": "127.0.0.1:18099"}
    ) as program:
        program.fixed_port = 18099
        assert eventually(lambda: program.answers() and program.get("/readyz")[0] == 200)
        delays = heard(program, 100 * rounds)
        told = median(delays) <= HEARD
        table.promise("from the change to a following client", spread(delays), f"median <= {seconds(HEARD)}", kept=told)
        alone, beside = [], []
        for _ in range(rounds):
            alone += published(program, 25)
            with followers(program):
                beside += published(program, 25)
        table.add("a publication, with all its listeners", spread(alone), "", "")
        table.add(f"the same while {FOLLOWERS} clients follow", spread(beside), "", "")
        cost = median(beside) - median(alone)
        what = f"what {FOLLOWERS} clients add to the median"
        table.promise(what, seconds(max(cost, 1e-9)), f"<= {seconds(COST)}", kept=cost <= COST)
    with Program("tests.process.publishing") as program:
        assert eventually(lambda: program.get("/readyz")[0] == 200)
        program.fixed_port = program.port
        took = beside_readers(program, 20 * rounds)
        what = f"status, health, readiness and metrics beside {READERS} that wait, with 32 threads"
        table.promise(what, spread(took), f"p99 < {seconds(ANSWERED)}", kept=quantile(took, 0.99) < ANSWERED)
    return table


def beside_readers(program: Program, rounds: int) -> list[float]:
    """The seconds of requests for status, health, readiness and metrics while many others follow or wait."""
    generation = program.get(f"{TARGETS}/status")[2]["generation"]
    paths = (EVENTS, f"{TARGETS}?generation={generation}&wait=60s")
    with ExitStack() as stack:
        for number in range(READERS):
            client = stack.enter_context(program.connect())
            client.sendall(f"GET {paths[number % 2]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.5)
        took = []
        for _ in range(rounds):
            for path in (f"{TARGETS}/status", "/healthz", "/readyz", "/health", "/metrics"):
                began = time.perf_counter()
                assert program.get(path)[0] == 200
                took.append(time.perf_counter() - began)
    return took


def heard(program: Program, count: int) -> list[float]:
    """The seconds between a change and the moment at which a client has its event, for so many changes."""
    delays = []
    with Reader(program.port) as reader:
        reader.read_until("sync")
        for _ in range(count):
            arrived: list[float] = []

            def read(into: list[float] = arrived) -> None:
                reader.read_until("published")
                into.append(time.perf_counter())

            thread = threading.Thread(target=read)
            thread.start()
            began = program.get("/publish?count=1")[2]["began"][0]
            thread.join()
            delays.append(arrived[0] - began)
            time.sleep(PAUSE)
    return delays


def published(program: Program, count: int) -> list[float]:
    """The seconds that so many publications took, one by one."""
    took = []
    for _ in range(count):
        took.append(program.get("/publish?count=1")[2]["took"][0])
        time.sleep(PAUSE)
    return took


@contextmanager
def followers(program: Program) -> Iterator[None]:
    """Many clients that read what comes."""
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(program.port)) for _ in range(FOLLOWERS)]
        ending = threading.Event()
        thread = threading.Thread(target=_drain, args=(readers, ending))
        thread.start()
        time.sleep(0.5)
        yield
        ending.set()
        thread.join()


def _drain(readers: list[Reader], ending: threading.Event) -> None:
    """Read what has arrived on any stream, in one thread, which needs less of the machine than one for each."""
    import selectors

    with selectors.DefaultSelector() as selector:
        for reader in readers:
            sock = reader._connection.sock
            assert sock is not None
            selector.register(sock, selectors.EVENT_READ, sock)
        while not ending.is_set():
            for key, _ in selector.select(0.1):
                key.data.recv(65536)
