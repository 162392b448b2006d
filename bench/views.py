"""What the views' performance claims rest on: `python -m bench.views [--rows 1000000] [--seconds 5]`.

One run on one throw-away PostgreSQL and one Valkey: refreshes through the daemon beside the same statements by
psql, skips, readers during a refresh, reads in-process and over HTTP. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from bisect import bisect
from datetime import UTC, datetime
from http.client import HTTPConnection
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from alert_refresh.credential import Credential
from alert_refresh.engine import Deadline, RefreshSettings, Request, SystemClock, Trigger
from alert_refresh.views import Settings
from alert_refresh.views.source import PostgresSource
from tests.postgres import BIN, HIERARCHY, VIEWS, Server
from tests.process.program import Program
from tests.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.postgres import Database

ENTITIES = 100_000
"""Entities of the Zipf load."""
ZIPF = 1.1
EMPTY_VIEW = """
import flask
app = flask.Flask("empty")
@app.get("/")
def empty(): return {}
"""


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def table(*titles: str) -> None:
    print()
    row(*titles)
    row(*("---" for _ in titles))


def rows_for(database: Database, rows: int) -> int:
    """Fill the hierarchy until the first view has about so many rows; returns how many it has."""
    database.run(HIERARCHY.read_text())
    entities = 100
    while True:
        database.run(f"select generate_entities({entities})", "analyze entities")
        database.run("refresh materialized view mv_entity_ancestors")
        found: int = database.value("select count(*) from mv_entity_ancestors")
        if found >= rows * 0.97:
            break
        entities = int(entities * rows / found * 0.995) if found > 1000 else entities * 10
        database.run("truncate entities restart identity")
    database.run(*(f"refresh materialized view {view}" for view in VIEWS[1:]), "vacuum analyze")
    return found


def by_psql(database: Database) -> float:
    """Seconds that psql takes for the three statements, in one session."""
    statements = "".join(f"refresh materialized view concurrently {view};\n" for view in VIEWS)
    started = time.perf_counter()
    subprocess.run(
        [str(BIN / "psql"), database.dsn(), "-q", "-v", "ON_ERROR_STOP=1"],
        input=statements, text=True, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - started


def by_daemon(program: Program) -> tuple[float, float]:
    """Seconds until the daemon has answered a POST with success, and those not spent on the REFRESH statements."""
    started = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", program.port, timeout=600)
    connection.request("POST", "/api/entities/refresh")
    response = connection.getresponse()
    body = json.loads(response.read())
    taken = time.perf_counter() - started
    assert response.status == 200 and body["status"] == "success", body
    views = program.get("/api/entities/refresh/status")[2]["views"]
    return taken, taken - sum(view["duration_ms"] for view in views.values()) / 1000


def daemon(database: Database, valkey: Valkey | None = None, **env: str) -> Program:
    settings = {
        "VIEWS_DATABASE_URL": database.dsn(),
        "VIEWS_REFRESH_ENABLED": "false",
        "ALERT_REFRESH_LOG_LEVEL": "INFO",
        **({} if valkey is None else {"REDIS_URL": valkey.url}),
    }
    return Program(env=settings | env)


def refreshes(database: Database, times: int) -> None:
    """The same three statements by psql and through the daemon, in turns; nothing else runs."""
    psql, own, around = [], [], []
    with daemon(database) as program:
        by_psql(database), by_daemon(program)
        for _ in range(times):
            psql.append(by_psql(database))
            taken, rest = by_daemon(program)
            own.append(taken)
            around.append(rest)
        program.stop()
    over = [100 * (a / b - 1) for a, b in zip(own, psql, strict=True)]
    table("three views refreshed CONCURRENTLY", "best", "median")
    row("psql, one session", f"{min(psql):.3f} s", f"{statistics.median(psql):.3f} s")
    row("POST to the daemon, until its answer", f"{min(own):.3f} s", f"{statistics.median(own):.3f} s")
    row("of that, not the REFRESH statements", f"{min(around):.3f} s", f"{statistics.median(around):.3f} s")
    row("over psql", f"{100 * (min(own) / min(psql) - 1):+.1f} %", f"{statistics.median(over):+.1f} % of pairs")


def source_of(database: Database, valkey: Valkey | None = None, size: int = ENTITIES) -> PostgresSource:
    settings = Settings(
        RefreshSettings(timeout=960),
        Credential(database.dsn()),
        VIEWS,
        redis=Credential(valkey.url) if valkey else None,
        cache_size=size,
    )
    return PostgresSource(settings, SystemClock())


def skips(database: Database, times: int = 50) -> None:
    """Scheduled refreshes of views of which nothing changed, one attempt each, connecting included."""
    clock = SystemClock()
    source = source_of(database)
    snapshot = source.refresh(None, Request(Trigger.STARTUP), Deadline(clock, 960))
    real, ahead = clock.monotonic, 120.0
    clock.monotonic = lambda: real() + ahead  # type: ignore[method-assign]
    source.clock = clock
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        snapshot = source.refresh(snapshot, Request(Trigger.PERIODIC), Deadline(clock, 960))
        taken.append((time.perf_counter() - started) * 1000 / len(VIEWS))
        assert not any(state.refreshed for state in snapshot.items.values())
    source.close()
    table("unchanged views skipped", "per view, mean", "per view, worst")
    row(f"{times} attempts of {len(VIEWS)} views", f"{statistics.fmean(taken):.2f} ms", f"{max(taken):.2f} ms")


def during_a_refresh(database: Database, valkey: Valkey) -> None:
    """Readers of two daemons and of the view itself, while one daemon adds a row and refreshes, five times."""
    one, two = source_of(database, valkey), source_of(database, valkey)
    clock = SystemClock()
    snapshots: list[Any] = [None, None]
    published = [database.value("select descendant_count from mv_descendant_counts where entity_path = 'e1'")]
    stop, refreshing = threading.Event(), threading.Event()
    waits: dict[str, list[float]] = {"through the tiers": [], "SELECT on the 1st view": []}
    wrong: list[int] = []
    rng = random.Random(1)

    def through(source: PostgresSource) -> None:
        while not stop.is_set():
            known = published[-1]
            started = time.perf_counter()
            body = source.resolver.descendants("e1")
            source.resolver.ancestors(f"e1.e{rng.randint(2, 11)}")
            taken = time.perf_counter() - started
            if refreshing.is_set():
                waits["through the tiers"].append(taken)
            if json.loads(body or b"{}")["descendant_count"] < known:
                wrong.append(known)
            time.sleep(0.0005)

    def select() -> None:
        with database.connect() as connection:
            while not stop.is_set():
                started = time.perf_counter()
                connection.execute("select count(*) from mv_entity_ancestors where entity_path = 'e1.e2'").fetchone()
                if refreshing.is_set():
                    waits["SELECT on the 1st view"].append(time.perf_counter() - started)
                time.sleep(0.002)

    for source in (one, two):
        snapshots[0] = source.refresh(None, Request(Trigger.MANUAL), Deadline(clock, 960))
    threads = [threading.Thread(target=through, args=(source,)) for source in (one, two)]
    threads.append(threading.Thread(target=select))
    for thread in threads:
        thread.start()
    refreshing.set()
    for n in range(5):
        database.run(f"insert into entities (name, kind, path) values ('new', 'service', 'e1.bench{n}')")
        source = (one, two)[n % 2]
        snapshots[n % 2] = source.refresh(snapshots[n % 2], Request(Trigger.MANUAL), Deadline(clock, 960))
        published.append(published[-1] + 1)
    refreshing.clear()
    stop.set()
    for thread in threads:
        thread.join()
    table("reads while the views are refreshed, 5 times", "reads", "p99", "longest", "stale")
    for name, taken in waits.items():
        p99 = statistics.quantiles(taken, n=100)[98]
        row(
            name,
            len(taken),
            f"{p99 * 1000:.1f} ms",
            f"{max(taken) * 1000:.1f} ms",
            len(wrong) if "tiers" in name else "",
        )
    print(
        f"\nThe lock timeout is {one.settings.lock_timeout:g} s. Stale: answers older than a refresh that said success."
    )
    one.close()
    two.close()


def zipf(count: int, seed: int, paths: Sequence[str]) -> list[str]:
    """`count` draws by Zipf's law, the most popular path first."""
    total = list(accumulate(1 / rank**ZIPF for rank in range(1, len(paths) + 1)))
    rng = random.Random(seed)
    return [paths[bisect(total, rng.random() * total[-1])] for _ in range(count)]


def in_process(database: Database, valkey: Valkey, seconds: float) -> None:
    """Reads in this process: hits of the first tier, and a Zipf load from empty caches."""
    paths = [path for (path,) in database.rows("select path::text from entities order by id limit %s", ENTITIES)]
    random.Random(7).shuffle(paths)
    source = source_of(database)
    source.refresh(None, Request(Trigger.MANUAL), Deadline(SystemClock(), 960))
    ancestors = source.resolver.ancestors
    ancestors(paths[0])
    taken, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        ancestors(paths[0])
        taken.append(time.perf_counter() - started)
    started, reads, until = time.perf_counter(), 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        for _ in range(1000):
            ancestors(paths[0])
        reads += 1000
    rate = reads / (time.perf_counter() - started)
    source.close()
    table("ancestor reads in-process", "measured", "contract's")
    row("first-tier hit, mean", f"{statistics.fmean(taken) * 1000:.4f} ms", "1.25 ms")
    row("first-tier hit, p95", f"{statistics.quantiles(taken, n=20)[18] * 1000:.4f} ms", "1.87 ms")
    row("reads per second, one thread", f"{rate:,.0f}", "42,726")
    for size, count in ((ENTITIES, 5_000_000), (ENTITIES, 1_000_000), (10_000, 1_000_000)):
        source = source_of(database, valkey, size)
        source.refresh(None, Request(Trigger.MANUAL), Deadline(SystemClock(), 960))
        draws = zipf(count, 11, paths)
        started = time.perf_counter()
        for path in draws:
            source.resolver.ancestors(path)
        spent = time.perf_counter() - started
        metrics = source.resolver.metrics()
        first, overall = metrics["l1_cache"]["hit_ratio"], metrics["overall"]["hit_ratio"]
        name = f"hit rate, Zipf({ZIPF}) over {len(paths):,}, {count:,} reads, first tier of {size:,}"
        row(name, f"{overall:.2%} ({first:.2%} in memory), {count / spent:,.0f} reads/s", "99.2 %")
        if count == 5_000_000:
            more = zipf(1_000_000, 13, paths)
            before = (metrics["overall"]["hits"], metrics["overall"]["requests"])
            for path in more:
                source.resolver.ancestors(path)
            after = source.resolver.metrics()["overall"]
            rate = (after["hits"] - before[0]) / (after["requests"] - before[1])
            row("the next 1,000,000 reads", f"{rate:.2%}", "99.2 %")
        source.close()


def _hammer(port: int, path: str, seconds: float, connections: int, answer: Any) -> None:
    """Keep `connections` connections busy from one thread, one request at a time on each; puts answers a second."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    for client in clients:
        client.sendall(request)
    done, until = 0, time.perf_counter() + seconds
    started = time.perf_counter()
    while time.perf_counter() < until:
        for client in clients:
            data = client.recv(65536)
            head, _, body = data.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
            while len(body) < length:
                body += client.recv(65536)
            done += 1
            client.sendall(request)
    answer.put(done / (time.perf_counter() - started))
    for client in clients:
        client.close()


def hammered(port: int, path: str, seconds: float) -> float:
    """Requests per second, the client in a process of its own with 8 connections."""
    answer: Any = multiprocessing.Queue()
    client = multiprocessing.Process(target=_hammer, args=(port, path, seconds, 8, answer))
    client.start()
    rate: float = answer.get(timeout=seconds + 60)
    client.join()
    return rate


def over_http(database: Database, valkey: Valkey, seconds: float) -> None:
    """Reads over HTTP beside an empty Flask view under gunicorn's own gthread worker, both with one process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["-k", "gthread", "--threads", "32", "-b", f"127.0.0.1:{port}", "--log-level", "error", "empty:app"]
    program = f"""
import sys, types
module = types.ModuleType("empty")
exec({EMPTY_VIEW!r}, module.__dict__)
sys.modules["empty"] = module
sys.argv = ["gunicorn", *{options!r}]
from gunicorn.app.wsgiapp import run
run()
"""
    command = [sys.executable, "-c", program]
    results: dict[str, list[float]] = {
        "an empty Flask view, gunicorn gthread": [],
        "the daemon, no access log": [],
        "the daemon": [],
    }
    empty = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    quiet, loud = daemon(database, valkey, ALERT_REFRESH_LOG_LEVEL="WARNING"), daemon(database, valkey)
    try:
        loud_port = loud.port
        quiet_port = _listening(quiet)
        for one in (loud_port, quiet_port):
            connection = HTTPConnection("127.0.0.1", one)
            connection.request("POST", "/api/entities/refresh")
            assert connection.getresponse().status == 200
        wait_for_port(port)
        for _ in range(3):
            results["an empty Flask view, gunicorn gthread"].append(hammered(port, "/", seconds))
            results["the daemon, no access log"].append(hammered(quiet_port, "/api/entities/e1.e2/ancestors", seconds))
            results["the daemon"].append(hammered(loud_port, "/api/entities/e1.e2/ancestors", seconds))
    finally:
        empty.terminate()
        empty.wait()
        quiet.stop()
        loud.stop()
    table("reads per second over HTTP, 8 connections", "median of 3", "of the empty view")
    base = statistics.median(results["an empty Flask view, gunicorn gthread"])
    for name, rates in results.items():
        row(name, f"{statistics.median(rates):,.0f}", f"{statistics.median(rates) / base:.0%}")


def _listening(program: Program) -> int:
    """The port of a program that logs nothing of it: the one its process listens on."""
    import psutil

    until = time.monotonic() + 30
    while time.monotonic() < until:
        family = [psutil.Process(program.process.pid), *psutil.Process(program.process.pid).children(recursive=True)]
        for process in family:
            for one in process.net_connections(kind="tcp"):
                if one.status == psutil.CONN_LISTEN:
                    return int(one.laddr.port)
        time.sleep(0.05)
    raise AssertionError("it does not listen")


def wait_for_port(port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("nobody listens")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", default="refreshes,skips,during,reads,http")
    options = parser.parse_args(arguments)
    server = Server(shared_buffers="512MB", work_mem="64MB", maintenance_work_mem="256MB", max_wal_size="8GB").create()
    server.start()
    try:
        with Valkey() as valkey:
            database = server.database()
            found = rows_for(database, options.rows)
            version = database.value("show server_version")
            print(
                f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, CPython {platform.python_version()}, {os.cpu_count()} cores,"
            )
            print(f"PostgreSQL {version} (fsync off), {found:,} rows in mv_entity_ancestors.")
            parts: dict[str, Callable[[], None]] = {
                "refreshes": lambda: refreshes(database, options.times),
                "skips": lambda: skips(database),
                "during": lambda: during_a_refresh(database, valkey),
                "reads": lambda: in_process(database, valkey, options.seconds),
                "http": lambda: over_http(database, valkey, options.seconds),
            }
            for name in options.only.split(","):
                parts[name]()
    finally:
        server.remove()


if __name__ == "__main__":
    main()
