"""Clients that send without reading, or fast and in pieces, and a failing loop, against the real server."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import threading
import time
from collections import deque
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.server.server import QUICK_SECONDS
from tests.faults.test_h_server import gauge, parts
from tests.process.program import PATIENCE, SOON, Program, eventually, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

THREADS = 4
SLOW_MACHINE = 15.0
TARGETS = "/api/v2/publishing/targets"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HANG = b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n"
VITAL = ("/healthz", "/readyz", "/metrics", f"{TARGETS}/status")


@pytest.fixture
def program() -> Iterator[Program]:
    with Program("tests.process.scripted", '["ok"]', "20", env={"ALERT_REFRESH_THREADS": str(THREADS)}) as one:
        one.wait_for("Serving")
        one.wait_for("Targets refreshed")
        yield one


def occupy(program: Program, stack: ExitStack) -> None:
    """Make every thread hang."""
    for request in [HANG] * THREADS + [HANG.replace(b"/hang", b"/hang/status")]:
        stack.enter_context(program.connect()).sendall(request)
    program.wait_for("Hanging", THREADS - 1)


def statuses(answers: bytes) -> list[int]:
    """The status of each answer."""
    return [int(one) for one in re.findall(rb"HTTP/1\.[01] (\d+) ", answers)]


def send_in_cuts(client: socket.socket, data: bytes, cuts: list[int]) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        client.sendall(data[start:end])


@pytest.mark.parametrize("cuts", [0, 1, 40])
def test_h26_nine_hundred_concurrent_requests_are_answered_though_every_thread_is_busy(
    program: Program, cuts: int
) -> None:
    sent = GET * 899 + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    choose = random.Random(cuts)
    with ExitStack() as stack:
        occupy(program, stack)
        client = stack.enter_context(program.connect())
        send_in_cuts(client, sent, sorted(choose.sample(range(1, len(sent)), cuts)))
        assert statuses(read_all(client)) == [200] * 900
        assert program.get("/healthz")[0] == 200
        program.send(signal.SIGQUIT)
    assert program.wait() == 0


def test_h26_many_concurrent_pipelines_leave_no_client_waiting(program: Program) -> None:
    with ExitStack() as stack:
        occupy(program, stack)
        clients = [stack.enter_context(program.connect()) for _ in range(20)]
        for client in clients:
            client.sendall(GET * 200)
        assert program.get("/healthz")[0] == 200
        for client in clients:
            answers = b""
            while len(statuses(answers)) < 200 or not answers.endswith(b"}"):
                answers += client.recv(65536)
            assert statuses(answers) == [200] * 200
        program.send(signal.SIGQUIT)


KINDS = {
    "alive": (GET, 200),
    "ready": (b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "status": (b"GET /api/v2/publishing/targets/status HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "head": (b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "list": (b"GET /api/v2/publishing/targets HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "big": (b"GET /big?bytes=3000000 HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "body": (b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 200),
    "chunked": (b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 200),
    "nothing": (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "empty line": (b"\r\n" + GET, 200),
}
WHILE_BUSY = ("alive", "empty line")


@pytest.mark.parametrize("busy", [False, True])
def test_h26_random_pipelines_in_random_pieces_are_answered_one_for_one_in_order(program: Program, busy: bool) -> None:
    choose = random.Random(26)
    with ExitStack() as stack:
        if busy:
            occupy(program, stack)
        for _ in range(30):
            names = choose.choices(WHILE_BUSY if busy else list(KINDS), k=choose.randint(1, 60))
            sent = b"".join(KINDS[name][0] for name in names) + GET.replace(b"x\r\n", b"x\r\nConnection: close\r\n")
            cuts = sorted(choose.sample(range(1, len(sent)), min(len(sent) - 1, choose.choice([0, 3, 20]))))
            with program.connect() as client:
                sender = threading.Thread(target=send_in_cuts, args=(client, sent, cuts))
                sender.start()
                answers = read_all(client)
                sender.join()
            expected = [KINDS[name][1] for name in names] + [200]
            assert statuses(answers) == expected, names
        assert program.get("/healthz")[0] == 200
        program.send(signal.SIGQUIT)
    assert program.wait() == 0


# H27


def many_targets(folder: Path) -> None:
    """A list of about 4 MB."""
    for file in range(10):
        objects = []
        for number in range(file * 200, file * 200 + 200):
            config: dict[str, Any] = {
                "name": f"t{number}",
                "type": "webhook",
                "url": "https://example.com/",
                "format": "webhook",
            }
            config["filter_config"] = {"labels": {"x": "y" * 2000}}
            metadata = {"name": f"s{number}", "labels": {"publishing-target": "true"}}
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
            objects.append(json.dumps(secret | {"stringData": {"config": json.dumps(config)}}))
        (folder / f"{file}.yaml").write_text("\n---\n".join(objects))


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("targets")
    many_targets(folder)
    with Program(env={"TARGET_DIRECTORY": str(folder)}) as one:
        one.wait_for("Serving")
        assert one.wait_for("Targets refreshed")["target_count"] == 2000
        yield one


def pipeline(program: Program, stack: ExitStack, path: str) -> socket.socket:
    """A client that requests a long response repeatedly, and does not read."""
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", program.port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 20)
    return client


@pytest.mark.parametrize("path", [TARGETS, f"{TARGETS}?type=webhook", f"{TARGETS}?enabled=true&type=webhook"])
def test_h27_clients_that_pipeline_the_list_and_do_not_read_take_nothing_away(listing: Program, path: str) -> None:
    with ExitStack() as stack:
        for _ in range(64):
            pipeline(listing, stack, path)
        assert eventually(lambda: gauge(listing, "http_connections") > 10)
        rounds = 0
        while rounds < 10 and gauge(listing, "http_connections") > 10:  # the server gives up such clients in the end
            for vital in VITAL:
                began = time.monotonic()
                assert listing.get(vital)[0] == 200
                assert time.monotonic() - began < SLOW_MACHINE
            rounds += 1
        assert rounds, "the attack is over before it began"
        assert len(listing.get(path)[2]["targets"]) == 2000
    assert eventually(lambda: gauge(listing, "http_connections") == 1)
    assert eventually(lambda: gauge(listing, "http_threads_busy") == 1)


def test_h27_other_long_answers_that_no_client_reads_occupy_no_thread(program: Program) -> None:
    with ExitStack() as stack:
        for _ in range(64):
            pipeline(program, stack, "/big?bytes=9000000")
        for vital in VITAL * 3:
            assert program.get(vital)[0] == 200
        assert eventually(lambda: gauge(program, "http_threads_busy") == 1), "a thread still writes"
        assert eventually(lambda: gauge(program, "http_connections") < 32), "more is kept than the budget allows"
        resident = re.search(r"VmRSS:\s+(\d+) kB", program.proc("status"))
        assert resident
        assert int(resident[1]) < 250_000
        assert program.stop() < 5 + SLOW_MACHINE
    assert program.process.returncode == 0


def test_a_slow_reader_that_makes_progress_gets_a_long_answer_whole_while_others_do_not_read(program: Program) -> None:
    size, taken = 5_000_000, 0
    with ExitStack() as stack:
        slow = pipeline(program, stack, f"/big?bytes={size}")
        for turn in range(60):
            if turn < 30:
                pipeline(program, stack, "/big?bytes=9000000")
            part = slow.recv(40_000, socket.MSG_WAITALL)
            taken += len(part)
            threading.Event().wait(0.01)
        answer = b"x" * taken
        while len(answer) < size + 1000:
            part = slow.recv(100_000)
            assert part, "the answer broke off"
            answer += part
        assert eventually(lambda: gauge(program, "http_threads_busy") == 1)


@pytest.mark.parametrize("pieces", [1, 30, 300])
def test_an_answer_in_many_pieces_arrives_whole_and_in_order(program: Program, pieces: int) -> None:
    body = program.get(f"/stream?pieces={pieces}")[2]
    assert body == b"".join(b"%9d\n" % number * 10_000 for number in range(pieces))


def test_a_reader_of_an_answer_in_many_pieces_that_stalls_is_cut_off_and_its_thread_is_free() -> None:
    env = {"ALERT_REFRESH_THREADS": str(THREADS)}
    with Program("tests.process.scripted", '["ok"]', "2", env=env) as program, ExitStack() as stack:
        for _ in range(2 * THREADS):
            pipeline(program, stack, "/stream?pieces=10000")
        assert eventually(lambda: gauge(program, "http_threads_busy") == 1)
        assert eventually(lambda: gauge(program, "http_connections") == 1)


def test_a_client_that_reads_too_slowly_is_disconnected_in_the_end() -> None:
    env = {"ALERT_REFRESH_THREADS": str(THREADS)}
    with Program("tests.process.scripted", '["ok"]', "2", env=env) as program, ExitStack() as stack:
        slow = pipeline(program, stack, "/big?bytes=20000000")
        assert eventually(lambda: gauge(program, "http_connections") == 1)
        with pytest.raises(ConnectionError):
            deque(iter(lambda: slow.recv(1 << 20), b""), maxlen=0)


def test_an_answer_that_breaks_off_closes_its_connection_and_nothing_else(program: Program) -> None:
    for _ in range(3):
        with program.connect() as client:
            client.sendall(b"GET /torn HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_all(client).endswith(b"4\r\nsome\r\n"), "no last chunk that makes it look complete"
    assert eventually(lambda: gauge(program, "http_connections") == 1)
    assert eventually(lambda: gauge(program, "http_threads_busy") == 1)
    assert "canary" not in "".join(program.lines)


def test_unread_answers_do_not_delay_the_end(program: Program) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            pipeline(program, stack, "/big?bytes=9000000")
        assert eventually(lambda: gauge(program, "http_connections") == 6)
        assert eventually(lambda: gauge(program, "http_threads_busy") == 1)
        assert program.stop() < 2 + SLOW_MACHINE
        assert program.process.returncode == 0
        assert program.log[-1]["message"] == "shutdown_clean"


def test_a_long_answer_that_is_being_read_arrives_whole_though_the_program_stops(program: Program) -> None:
    with program.connect() as client:
        client.sendall(b"GET /big?bytes=30000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        head = client.recv(1)
        program.send(signal.SIGTERM)
        answer = head + read_all(client)
        assert len(parts(answer)[2]) == 30_000_000
    assert program.wait() == 0


# H28


@pytest.mark.parametrize("error", ["RuntimeError", "MemoryError", "OSError"])
@pytest.mark.parametrize("busy", [False, True])
def test_h28_a_loop_that_fails_is_logged_and_ends_the_process_with_1(error: str, busy: bool) -> None:
    with Program("tests.process.scripted", '["ok", "hang"]') as program, ExitStack() as stack:
        program.wait_for("Serving")
        program.wait_for("Targets refreshed")
        if busy:
            for _ in range(3):
                stack.enter_context(program.connect()).sendall(HANG)
            program.wait_for("Hanging", 3)
            program.send(signal.SIGHUP)
            program.wait_for("Attempt 2: hang")
        with suppress(OSError):
            program.get(f"/break?error={error}")
        began = time.monotonic()
        assert program.wait() == 1, program.stderr
        assert time.monotonic() - began < 5 + SLOW_MACHINE
        (died,) = program.find(f"Thread died of {error}")
        assert "sweep" in died["stack"]
        assert died["level"] == "ERROR"
        assert program.find("The server failed")
        assert "canary" not in "".join(program.lines) + program.stderr


# H30


@pytest.mark.parametrize("milliseconds", [5, 50, 100, 200, 290])
def test_h30_a_request_on_a_kept_connection_soon_after_sigterm_is_answered(program: Program, milliseconds: int) -> None:
    with ExitStack() as stack:
        kept = [stack.enter_context(program.connect()) for _ in range(3)]
        for client in kept:
            client.sendall(GET)
            answer = b""
            while not answer.endswith(b"}"):
                answer += client.recv(65536)
        stack.enter_context(program.connect())
        began = program.send(signal.SIGTERM)
        threading.Event().wait(max(0.0, began + milliseconds / 1000 - time.monotonic()))
        for client in kept:
            client.sendall(GET)
        if time.monotonic() - began >= QUICK_SECONDS:
            pytest.skip("this machine had no time for the client to ask in time")
        for client in kept:
            status, headers, body = parts(read_all(client))
            assert (status, headers["connection"]) == (200, "close")
            assert json.loads(body) == {"status": "ok"}
    assert program.wait() == 0
    assert program.log[-1]["message"] == "shutdown_clean"


# Random bytes

PIECES = [
    *[request for request, _ in KINDS.values()],
    b"GET ",
    b" HTTP/1.1\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\x00",
    b"Host: x\r\n",
    b"Host:\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    b"X" * 9000,
]


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_never_end_the_process_nor_cost_a_thread(seed: int) -> None:
    choose = random.Random(seed)
    env = {"ALERT_REFRESH_THREADS": str(THREADS)}
    with Program("tests.process.scripted", '["ok"]', "20", env=env) as program:
        program.wait_for("Serving")
        for _ in range(60):
            with program.connect() as client, suppress(ConnectionError):
                pieces = choose.choices(PIECES, k=choose.randint(1, 12))
                noise = bytes(choose.randrange(256) for _ in range(choose.choice([0, 0, 5, 200])))
                client.sendall(b"".join(pieces) + noise)
                if choose.random() < 0.5:
                    client.shutdown(socket.SHUT_WR)
                client.settimeout(0.05)
                with suppress(TimeoutError):
                    while client.recv(65536):
                        pass
        assert eventually(lambda: gauge(program, "http_connections") == 1)
        assert eventually(lambda: gauge(program, "http_threads_busy") == 1)
        assert program.get("/healthz")[0] == 200
        assert not [line for line in program.log if line["level"] in ("ERROR", "CRITICAL")]
        assert program.stop() < SOON
        assert program.process.returncode == 0
