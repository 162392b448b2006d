"""Event streams and blocking queries of the real program: many of them, clients that leave, proxies, a stop."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.web.feed.events import HEARTBEAT
from tests.process.following import EVENTS, Reader, connection_to
from tests.process.program import PATIENCE, ROOT, SOON, Program, eventually, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("unmeasured")

TARGETS = "/api/v2/publishing/targets"
PUBLISHING = "tests.process.publishing"
STREAMS = "alert_refresh_http_streams"
PREFIX = "/alert-refresh"


@pytest.fixture
def served() -> Iterator[Program]:
    with Program(PUBLISHING) as program:
        assert eventually(lambda: program.get("/readyz")[0] == 200)
        yield program


def gauge(program: Program, name: str) -> float:
    text = program.get("/metrics")[2].decode()
    [value] = [line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(value)


def publish(program: Program, count: int = 1) -> dict[str, Any]:
    status, _, body = program.get(f"/publish?count={count}")
    assert status == 200
    found: dict[str, Any] = body
    return found


def generation(program: Program) -> int:
    found: int = program.get(f"{TARGETS}/status")[2]["generation"]
    return found


def test_an_event_reaches_a_client_that_follows(served: Program) -> None:
    with Reader(served.port) as reader:
        assert reader.read_until("sync").data["generations"]["targets"] == generation(served)
        first = publish(served)["first"]
        event = reader.read_until("published")
        assert (event.data["generation"], event.data["changed_count"]) == (first, 1)


def test_a_stop_ends_streams_and_blocking_queries_at_once_and_completely(served: Program) -> None:
    with Reader(served.port) as reader, served.connect() as waiting:
        reader.read_until("sync")
        waiting.sendall(f"GET {TARGETS}?generation={generation(served)}&wait=60s HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert eventually(lambda: gauge(served, STREAMS) == 2)
        assert served.stop() < SOON
        while (event := reader.read()) is not None:
            assert event.name == "", "a heartbeat, of a machine that is slow"
        answer = read_all(waiting)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close" in answer
    assert served.find("shutdown_clean")
    assert served.process.returncode == 0


def test_a_client_that_never_reads_does_not_delay_a_stop(served: Program) -> None:
    with ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", served.port))
            client.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        reader = stack.enter_context(Reader(served.port))
        reader.read_until("sync")
        assert eventually(lambda: gauge(served, STREAMS) == 5)
        last = publish(served, 20_000)["last"]
        while reader.read_until("published").data["generation"] < last:
            pass
        assert gauge(served, STREAMS) == 5, "they are stuck"
        assert served.stop() < SOON


def test_a_byte_behind_a_stream_does_not_hold_its_events_back(served: Program) -> None:
    with served.connect() as client:
        client.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        got = b""
        while b"event: sync" not in got:
            got += client.recv(65536)
        client.sendall(b"\r\n")
        last = publish(served, 8_000)["last"]
        wanted = f'"generation":{last},'.encode()
        began = time.monotonic()
        tail = b""
        while wanted not in tail:
            tail = tail[-1000:] + client.recv(2000)
        assert time.monotonic() - began < HEARTBEAT - 1, "it came with the heartbeat"


def test_a_client_that_leaves_gives_its_thread_back_at_once(served: Program) -> None:
    for _ in range(3):
        with ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(Reader(served.port)).read_until("sync")
            waiting = stack.enter_context(served.connect())
            path = f"{TARGETS}/status?generation={generation(served)}&wait=60s"
            waiting.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert eventually(lambda: gauge(served, STREAMS) == 9)
        assert eventually(lambda: gauge(served, STREAMS) == 0)
        assert eventually(lambda: gauge(served, "alert_refresh_http_threads_busy") == 1), "the one that reads it"


def test_a_client_that_sends_more_while_it_waits_is_answered_in_order(served: Program) -> None:
    now = generation(served)
    with served.connect() as client:
        client.sendall(f"GET {TARGETS}/status?generation={now}&wait=60s HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert eventually(lambda: gauge(served, STREAMS) == 1)
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        publish(served)
        answers = b""
        while part := client.recv(65536):
            answers += part
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.index(b'"status":"success"') < answers.index(b'{"status":"ok"}')


def test_a_client_of_http_1_0_gets_the_stream_without_chunks(served: Program) -> None:
    with served.connect() as client:
        client.sendall(f"GET {EVENTS} HTTP/1.0\r\n\r\n".encode())
        got = b""
        while b"event: sync" not in got:
            got += client.recv(65536)
    assert b"Transfer-Encoding" not in got
    assert b"\r\n\r\nretry: 2000\n\nid: " in got


def test_a_client_that_never_reads_is_dropped_and_harms_nobody(served: Program) -> None:
    with socket.socket() as client, Reader(served.port) as reader:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        client.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        reader.read_until("sync")
        assert eventually(lambda: gauge(served, STREAMS) == 2)
        last = publish(served, 3000)["last"]
        while reader.read_until("published").data["generation"] < last:
            pass
        assert served.get("/healthz")[0] == 200


def test_200_blocking_readers_and_streams_leave_room_for_status_health_and_metrics(served: Program) -> None:
    now = generation(served)
    paths = [EVENTS, f"{TARGETS}?generation={now}&wait=60s", f"{TARGETS}/status?generation={now}&w%61it=60s"]
    with ExitStack() as stack:
        clients = [stack.enter_context(served.connect()) for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(f"GET {paths[number % 3]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert eventually(lambda: gauge(served, STREAMS) == 16)
        slowest = 0.0
        for _ in range(10):
            for path in (f"{TARGETS}/status", "/healthz", "/readyz", "/health", "/metrics", TARGETS):
                began = time.monotonic()
                assert served.get(path)[0] == 200
                slowest = max(slowest, time.monotonic() - began)
        assert slowest < PATIENCE
        assert eventually(lambda: gauge(served, "alert_refresh_http_threads_busy") <= 17)
        assert eventually(lambda: sum(is_refused(client) for client in clients) >= 200 - 16)
        refused = [client for client in clients if is_refused(client)]
        assert len(refused) == 200 - 16
        assert all(b"Retry-After: 5\r\n" in arrived(client) for client in refused)
        assert eventually(lambda: all(b"too_many_streams" in arrived(client) for client in refused))
    assert eventually(lambda: gauge(served, STREAMS) == 0)


def arrived(client: socket.socket) -> bytes:
    """What has arrived so far, left where it is."""
    client.setblocking(False)
    try:
        return client.recv(4096, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


def is_refused(client: socket.socket) -> bool:
    return arrived(client).startswith(b"HTTP/1.1 503")


@contextmanager
def proxied(kind: str, port: int, folder: Path) -> Iterator[Path]:
    """nginx or Caddy before the program, on a Unix socket, with the example's configuration."""
    binary = found(kind)
    sock = folder / "proxy.sock"
    if kind == "nginx":
        server = (ROOT / "config/examples/nginx.conf").read_text().replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        paths = "".join(f"{name}_temp_path {folder}/{name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
        file = folder / "nginx.conf"
        file.write_text(
            f"pid {folder}/nginx.pid; error_log {folder}/error.log; daemon off; worker_processes 1;\n"
            f"events {{}}\nhttp {{ access_log off; client_body_temp_path {folder}/body; {paths}\n"
            f"server {{ listen unix:{sock};\n{server}\n}} }}\n"
        )
        command = [binary, "-c", str(file), "-p", str(folder), "-e", f"{folder}/error.log"]
    else:
        site = (ROOT / "config/examples/Caddyfile").read_text().replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        file = folder / "Caddyfile"
        file.write_text(site.replace(":8000 {", f"http:// {{\n\tbind unix/{sock}", 1))
        command = [binary, "run", "--adapter", "caddyfile", "--config", str(file)]
    env = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "proxy.log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        assert eventually(lambda: sock.exists() and healthy(sock)), (folder / "proxy.log").read_text()
        yield sock
    finally:
        # Caddy would wait for streams to end; a worker of nginx would outlive a main process that is killed.
        process.send_signal(signal.SIGTERM if kind == "nginx" else signal.SIGKILL)
        process.wait(PATIENCE)


def healthy(sock: Path) -> bool:
    try:
        connection = connection_to(sock)
        connection.request("GET", f"{PREFIX}/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def found(kind: str) -> str:
    """The program of this name, from the machine or from `make tools`."""
    place = ROOT / ".cache" / kind / ("usr/sbin" if kind == "nginx" else "usr/bin")
    binary = shutil.which(kind) or shutil.which(kind, path=f"/usr/sbin:{place}")
    if binary is None:
        pytest.skip(f"{kind} is not here")
    return binary


@pytest.mark.parametrize("kind", ["direct", "nginx", "caddy"])
def test_readers_that_come_again_at_random_miss_nothing_and_see_nothing_twice(
    served: Program, kind: str, tmp_path: Path
) -> None:
    count = 10_000
    with ExitStack() as stack:
        address: int | Path = served.port
        prefix = ""
        if kind != "direct":
            address, prefix = stack.enter_context(proxied(kind, served.port, tmp_path)), PREFIX
        kept: list[list[int]] = [[] for _ in range(4)]
        ready = threading.Barrier(len(kept) + 1)
        threads = [
            threading.Thread(target=follow, args=(address, prefix, count, into, ready, random.Random(seed)))
            for seed, into in enumerate(kept)
        ]
        for thread in threads:
            thread.start()
        ready.wait(PATIENCE)
        first = publish(served, count)["first"]
        for thread in threads:
            thread.join(4 * PATIENCE)
        assert kept == [list(range(first, first + count))] * len(kept)
        assert eventually(lambda: gauge(served, STREAMS) == 0)


def follow(
    address: int | Path, prefix: str, count: int, into: list[int], ready: threading.Barrier, chance: random.Random
) -> None:
    """Read `count` generations, leaving and coming again at random."""
    reader = Reader(address, prefix=prefix)
    reader.read_until("sync")
    ready.wait(PATIENCE)
    while len(into) < count:
        with reader:
            for _ in range(chance.randrange(1, 400)):
                into.append(reader.read_until("published").data["generation"])
                if len(into) == count:
                    return
        reader = Reader(address, prefix=prefix, after=reader.id)
        assert reader.response.status == 200


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
def test_a_proxy_passes_events_queries_and_etags_on_below_a_prefix(served: Program, kind: str, tmp_path: Path) -> None:
    with proxied(kind, served.port, tmp_path) as sock, Reader(sock, prefix=PREFIX) as reader:
        reader.read_until("sync")
        waiting = connection_to(sock)
        waiting.request("GET", f"{PREFIX}{TARGETS}?generation={generation(served)}&wait=60s")
        assert eventually(lambda: gauge(served, STREAMS) == 2)
        last = publish(served)["last"]
        assert reader.read_until("published").data["generation"] == last
        answer = waiting.getresponse()
        etag = answer.headers["ETag"]
        answer.read()
        waiting.request("GET", f"{PREFIX}{TARGETS}", headers={"If-None-Match": etag, "Accept-Encoding": "gzip"})
        again = waiting.getresponse()
        assert (again.status, again.read()) == (304, b"")
        waiting.close()


def test_a_query_that_waits_takes_no_reserved_thread() -> None:
    """With four threads there is one for streams, one for lists and one in reserve."""
    with Program(PUBLISHING, env={"ALERT_REFRESH_THREADS": "4"}) as program, ExitStack() as stack:
        assert eventually(lambda: program.get("/readyz")[0] == 200)
        now = generation(program)
        for path in (f"{TARGETS}/status?generation={now}&wait=60s", f"{TARGETS}/status?generation={now}&w%61it=60s"):
            client = stack.enter_context(program.connect())
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert eventually(lambda: gauge(program, STREAMS) == 1)
        assert program.get(TARGETS)[0] == 200
        assert program.answers()
