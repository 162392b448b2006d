"""Clients that stall, send invalid data or hang, against the real server."""

from __future__ import annotations

import json
import re
import resource
import selectors
import signal
import socket
import threading
import time
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.process.program import Program, eventually, raw, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 2.0
"""Seconds a client has to send a request where a test waits until they are over; it sends its own within them."""
PLENTY = 60.0
"""The same where no test waits for their end."""
THREADS = 4
SLOW_MACHINE = 12.0


@contextmanager
def serving(seconds: float) -> Iterator[Program]:
    env = {"ALERT_REFRESH_THREADS": str(THREADS)}
    with Program("tests.process.scripted", '["ok"]', str(seconds), env=env) as one:
        one.wait_for("Serving")
        one.wait_for("Targets refreshed")
        yield one


@pytest.fixture
def program() -> Iterator[Program]:
    with serving(PLENTY) as one:
        yield one


@pytest.fixture
def strict() -> Iterator[Program]:
    """A program that waits `SECONDS` for a client."""
    with serving(SECONDS) as one:
        yield one


@pytest.fixture(scope="module")
def lasting() -> Iterator[Program]:
    """One program for all tests that do not change it."""
    with serving(PLENTY) as one:
        yield one


def gauge(program: Program, name: str) -> float:
    found = re.search(rf"^alert_refresh_{name} (\S+)$".encode(), program.get("/metrics")[2], re.MULTILINE)
    assert found
    return float(found[1])


def healthz_takes(program: Program) -> float:
    began = time.monotonic()
    status, _, body = program.get("/healthz")
    assert (status, body) == (200, {"status": "ok"})
    return time.monotonic() - began


def parts(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case) and body of the first answer in these bytes."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return int(line.split()[1]), headers, rest


GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /body HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"

SMUGGLING = {
    "TE and CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "CL and TE": POST + b"Content-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE unknown": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE with tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE without chunked": POST + b"Transfer-Encoding: gzip\r\n\r\n" + SMUGGLED,
    "TE in 1.0": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "CL twice": POST + b"Content-Length: 0\r\nContent-Length: 37\r\n\r\n" + SMUGGLED,
    "CL list": POST + b"Content-Length: 0, 37\r\n\r\n" + SMUGGLED,
    "CL signed": POST + b"Content-Length: +0\r\n\r\n" + SMUGGLED,
    "CL negative": POST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "CL hex": POST + b"Content-Length: 0x10\r\n\r\n" + SMUGGLED,
    "CL empty": POST + b"Content-Length: \r\n\r\n" + SMUGGLED,
    "CL superscript": POST + b"Content-Length: \xb2\r\n\r\n" + SMUGGLED,
    "folded": GET + b"X-A: 1\r\n b\r\n\r\n" + SMUGGLED,
    "folded TE": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "space before colon": POST + b"Content-Length : 0\r\n\r\n" + SMUGGLED,
    "space before colon TE": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "bare LF": b"GET /healthz HTTP/1.1\nHost: x\n\n" + SMUGGLED,
    "bare LF in headers": GET + b"X-A: 1\nX-B: 2\r\n\r\n" + SMUGGLED,
    "bare CR in headers": GET + b"X-A: 1\rX-B: 2\r\n\r\n" + SMUGGLED,
    "NUL in headers": GET + b"X-A: \x00\r\n\r\n" + SMUGGLED,
    "no colon": GET + b"X-A\r\n\r\n" + SMUGGLED,
    "empty name": GET + b": 1\r\n\r\n" + SMUGGLED,
    "underscore": POST + b"Content_Length: 37\r\n\r\n" + SMUGGLED,
    "Host twice": GET + b"Host: y\r\n\r\n" + SMUGGLED,
    "no version": b"GET /healthz\r\n\r\n" + SMUGGLED,
    "lower case method": b"get /healthz HTTP/1.1\r\n\r\n" + SMUGGLED,
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n" + SMUGGLED,
}


@pytest.mark.parametrize("case", SMUGGLING)
def test_h12_an_ambiguous_request_is_refused_and_the_connection_closed(lasting: Program, case: str) -> None:
    answer = raw(lasting, SMUGGLING[case])
    status, headers, body = parts(answer)
    assert status == 400, answer
    assert headers["connection"] == "close"
    assert answer.count(b"HTTP/1.1 ") == 1, "what followed was answered too"
    assert set(json.loads(body)) == {"error", "message", "request_id"}
    assert json.loads(body)["error"] == "invalid_request"


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcX\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_h12_a_broken_chunk_is_refused_and_the_connection_closed(lasting: Program, body: bytes) -> None:
    answer = raw(lasting, POST + b"Transfer-Encoding: chunked\r\n\r\n" + body + SMUGGLED)
    status, headers, _ = parts(answer)
    assert status == 400, answer
    assert headers["connection"] == "close"
    assert answer.count(b"HTTP/1.1 ") == 1


def test_requests_sent_in_one_go_are_answered_in_order(lasting: Program) -> None:
    sent = POST + b"Content-Length: 3\r\n\r\nabc" + GET + b"\r\n" + GET + b"Connection: close\r\n\r\n"
    answer = raw(lasting, sent)
    assert [json.loads(body) for body in re.findall(rb"\{.*?\}", answer)] == [{"length": 3}] + [{"status": "ok"}] * 2


@pytest.mark.parametrize("size", [1, 3, 7])
def test_a_request_that_comes_in_pieces_is_one_request(lasting: Program, size: int) -> None:
    sent = POST + b"Content-Length: 3\r\nConnection: close\r\n\r\nabc"
    with lasting.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(sent), size):
            client.sendall(sent[start : start + size])
        assert parts(read_all(client))[2] == b'{"length": 3}'


def test_a_chunked_body_is_read(lasting: Program) -> None:
    sent = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert parts(raw(lasting, sent))[2] == b'{"length": 5}'


def test_a_client_that_expects_100_continue_gets_it(lasting: Program) -> None:
    with lasting.connect() as client:
        client.sendall(POST + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 100")
        client.sendall(b"abc")
        assert parts(read_all(client))[2] == b'{"length": 3}'


REFUSED = {
    "long request line": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "endless request line": (b"GET /" + b"a" * 65536, 414),
    "long header": (GET + b"X-A: " + b"a" * 9000 + b"\r\n\r\n", 431),
    "many headers": (GET + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n", 431),
    "endless headers": (GET + b"X-A: 1\r\n" * 10000, 431),
    "expectation": (POST + b"Expect: miracles\r\nContent-Length: 0\r\n\r\n", 417),
    "version 2": (b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n" + SMUGGLED, 505),
    "version 3": (b"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n" + SMUGGLED, 505),
    "version 0.9": (b"GET /healthz HTTP/0.9\r\n\r\n" + SMUGGLED, 505),
    "bad method": (b"{}@! /healthz HTTP/1.1\r\n\r\n", 400),
}


@pytest.mark.parametrize("case", REFUSED)
def test_h15_what_the_server_refuses_has_the_applications_shape(lasting: Program, case: str) -> None:
    sent, expected = REFUSED[case]
    with lasting.connect() as client:
        with suppress(ConnectionError):
            client.sendall(sent)
        answer = read_all(client)
    status, headers, body = parts(answer)
    assert status == expected, answer
    fields = json.loads(body)
    assert set(fields) == {"error", "message", "request_id"}
    assert fields["request_id"] == headers["x-request-id"]
    _, usual, _ = lasting.get("/no-such-route")
    ours = {name.lower(): value for name, value in usual.items()}
    for name in (
        "content-type",
        "x-content-type-options",
        "x-frame-options",
        "content-security-policy",
        "cache-control",
    ):
        assert headers[name] == ours[name]
    assert headers["server"] == ours["server"] == "alert-refresh"
    assert int(headers["content-length"]) == len(body)


@pytest.mark.parametrize("path", ["/leave", "/header"])
def test_h15_a_500_of_the_server_does_not_reveal_its_cause(lasting: Program, path: str) -> None:
    status, headers, body = lasting.get(path)
    assert status == 500
    assert body["error"] == "internal_error"
    assert headers["X-Request-ID"] == body["request_id"]
    assert lasting.wait_for("A request failed with")
    assert "canary" not in "".join(lasting.lines)
    assert "canary" not in json.dumps(body)


@pytest.mark.parametrize("clients", [4, 16, 64])
def test_h19_clients_stalled_in_a_header_occupy_no_thread_and_get_a_408(strict: Program, clients: int) -> None:
    base = strict.threads()
    with ExitStack() as stack:
        stalled = [stack.enter_context(strict.connect()) for _ in range(clients)]
        for client in stalled:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        assert healthz_takes(strict) < SECONDS + SLOW_MACHINE
        for client in stalled:
            status, _, body = parts(read_all(client))
            assert (status, json.loads(body)["error"]) == (408, "request_timeout")
    assert eventually(lambda: gauge(strict, "http_connections") == 1)
    assert eventually(lambda: strict.threads() <= base + 2)


def test_h19_a_client_that_drips_is_cut_off_in_time(strict: Program) -> None:
    with strict.connect() as client:
        began = time.monotonic()
        sent = 0
        client.settimeout(0.2)
        answer = b""
        while not answer and sent < 200:
            client.sendall(b"G"[:1] if sent == 0 else b"E")
            sent += 1
            try:
                answer = client.recv(4096)
            except TimeoutError:
                continue
        assert parts(answer)[0] == 408
        assert sent > 1
        assert time.monotonic() - began < SECONDS + SLOW_MACHINE


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Content-Length: 50000", b"Transfer-Encoding: chunked"])
def test_h19_clients_stalled_in_a_body_are_cut_off_in_time(strict: Program, framing: bytes) -> None:
    with ExitStack() as stack:
        stalled = [stack.enter_context(strict.connect()) for _ in range(2 * THREADS)]
        for client in stalled:
            client.sendall(POST + framing + b"\r\n\r\n4")
        assert healthz_takes(strict) < SECONDS + SLOW_MACHINE
        for client in stalled:
            answer = read_all(client)
            assert parts(answer)[0] in (400, 408, 413), answer
    assert eventually(lambda: gauge(strict, "http_threads_busy") == 1)


def test_h19_readers_that_do_not_read_are_cut_off_in_time(strict: Program) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(strict.connect()) for _ in range(2 * THREADS)]
        for client in slow:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET /big?bytes=50000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert healthz_takes(strict) < SECONDS + SLOW_MACHINE
        assert eventually(lambda: gauge(strict, "http_threads_busy") == 1), "a thread still writes"
        # A client that reads makes progress, so it begins only after the server has abandoned the others.
        assert eventually(lambda: gauge(strict, "http_connections") == 1), "a connection is still open"
        with pytest.raises(ConnectionResetError):
            deque(iter(lambda: slow[0].recv(1 << 20), b""), maxlen=0)


def test_h20_vital_signs_are_answered_while_every_other_thread_hangs_and_the_metric_shows_it(program: Program) -> None:
    with ExitStack() as stack:
        for _ in range(2 * THREADS):
            stack.enter_context(program.connect()).sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        assert eventually(lambda: gauge(program, "http_threads_busy") == 2 * THREADS + 1)
        waiting = stack.enter_context(program.connect())
        waiting.sendall(b"GET /api/v2/publishing/targets/one HTTP/1.1\r\nHost: x\r\n\r\n")
        for path in ("/readyz", "/health", "/metrics", "/api/v2/publishing/targets/status", "/api/v2/rules/status"):
            for method in ("GET", "HEAD"):
                assert program.get(path, method)[0] == 200
        for _ in range(20):
            assert healthz_takes(program) < 0.1 + SLOW_MACHINE
        assert program.get("/healthz", method="HEAD")[0] == 200
        waiting.settimeout(0.2)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        program.send(signal.SIGQUIT)


def test_h20_liveness_answers_while_the_reserved_threads_hang_too(program: Program) -> None:
    with ExitStack() as stack:
        for path in [b"/hang"] * THREADS + [b"/hang/status"] * 2:
            stack.enter_context(program.connect()).sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        program.wait_for("Hanging", THREADS - 1)
        waiting = stack.enter_context(program.connect())
        waiting.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(20):
            assert healthz_takes(program) < 0.1 + SLOW_MACHINE
        assert program.get("/healthz", method="HEAD")[0] == 200
        waiting.settimeout(0.2)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        program.send(signal.SIGQUIT)


def test_h20_liveness_is_correct_while_every_thread_hangs() -> None:
    env = {
        "ALERT_REFRESH_THREADS": str(THREADS),
        "TARGET_REFRESH_TIMEOUT": "10ms",
        "TARGET_REFRESH_BASE_BACKOFF": "10ms",
        "TARGET_REFRESH_MAX_BACKOFF": "10ms",
        "ALERT_REFRESH_SHUTDOWN_TIMEOUT": "1s",
    }
    with Program("tests.process.scripted", '["hang"]', str(SECONDS), env=env) as program, ExitStack() as stack:
        program.wait_for("Serving")
        for _ in range(THREADS):
            stack.enter_context(program.connect()).sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        assert program.get("/healthz")[0] == 200
        program.wait_for("Refresh failed, retrying", 2)
        assert eventually(lambda: program.get("/healthz")[0] == 503)
        assert "targets-attempt" in json.dumps(program.get("/healthz")[2])


def answer_times(program: Program) -> list[float]:
    """The seconds that each of 100 requests took."""
    took = []
    for _ in range(100):
        began = time.monotonic()
        assert program.get("/api/v2/publishing/targets/status")[0] == 200
        took.append(time.monotonic() - began)
    return took


def test_h21_silent_connections_do_not_slow_answers_down(program: Program) -> None:
    silent_connections(program, 200)


@pytest.mark.soak
def test_h21_nine_hundred_silent_connections_do_not_slow_answers_down(program: Program) -> None:
    silent_connections(program, 900)


def silent_connections(program: Program, count: int) -> None:
    allow_files(count)
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(program.connect())
        assert eventually(lambda: gauge(program, "http_connections") > count / 2), "before the server closes them"
        took = answer_times(program)
        assert sorted(took)[98] < 0.1 + SLOW_MACHINE
    assert eventually(lambda: gauge(program, "http_connections") == 1)


def test_h21_clients_that_connect_and_leave_do_not_slow_answers_down(program: Program) -> None:
    done = threading.Event()
    left = 0

    def come_and_go() -> None:
        nonlocal left
        while not done.wait(0.002):
            program.connect().close()
            left += 1

    visitor = threading.Thread(target=come_and_go)
    visitor.start()
    try:
        assert eventually(lambda: left > 20), "they come and go before, and while, answers are timed"
        took = answer_times(program)
    finally:
        done.set()
        visitor.join()
    assert sorted(took)[98] < 0.1 + SLOW_MACHINE
    assert eventually(lambda: gauge(program, "http_connections") == 1)


def test_h22_idle_connections_do_not_delay_the_end(program: Program) -> None:
    idle_connections(program, 100)


@pytest.mark.soak
def test_h22_a_thousand_idle_connections_do_not_delay_the_end(program: Program) -> None:
    idle_connections(program, 1000)


def idle_connections(program: Program, count: int) -> None:
    allow_files(count)
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(program.connect())
            client.sendall(GET + b"\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert program.sockets() > count
        took = program.stop()
    assert took < 3.5 + SLOW_MACHINE
    assert program.process.returncode == 0
    assert program.log[-1]["message"] == "shutdown_clean"


def test_more_connections_than_allowed_push_out_those_that_wait_longest(program: Program) -> None:
    soft = program.fds() + 40
    resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, (soft, soft))
    with ExitStack() as stack:
        clients = [stack.enter_context(program.connect()) for _ in range(80)]
        assert eventually(lambda: bool(program.find("No file descriptor is left")))
        assert eventually(program.answers), "a client that is slow to ask may be closed as well"
        selector = selectors.DefaultSelector()
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        assert selector.select(20), "no connection was closed"
        selector.close()
    assert eventually(lambda: gauge(program, "http_connections") == 1)


def test_without_any_free_file_clients_wait_in_the_queue_until_there_is_one(program: Program) -> None:
    assert eventually(lambda: gauge(program, "http_connections") == 1)
    limits = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)
    assert eventually(lambda: program.sockets() == 1)
    resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, (program.fds(), limits[1]))
    with program.connect() as client:
        client.sendall(GET + b"Connection: close\r\n\r\n")
        program.wait_for("No file descriptor is left")
        program.wait_for("No file descriptor is left", 2)
        resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, limits)
        assert parts(read_all(client))[0] == 200
    assert len(program.find("No file descriptor is left")) < 20


def test_a_low_limit_of_open_files_is_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        with Program("tests.process.scripted", '["ok"]') as program:
            program.wait_for("Serving")
            assert resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)[0] == min(4096 + 128, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_refused_client_that_keeps_sending_is_cut_off(program: Program) -> None:
    with program.connect() as client, pytest.raises(ConnectionError):
        client.sendall(b"garbage\n" + b"x" * 100_000_000)
    assert eventually(lambda: gauge(program, "http_connections") == 1)


def test_h23_wrong_tokens_do_not_lock_out_the_right_one() -> None:
    wrong_tokens(requests=300)


@pytest.mark.soak
def test_h23_ten_thousand_wrong_tokens_do_not_lock_out_the_right_one() -> None:
    wrong_tokens(requests=10_000)


def wrong_tokens(requests: int) -> None:
    env = {"ALERT_REFRESH_ADMIN_TOKEN": "right", "TARGET_REFRESH_RATE_LIMIT": "0s"}
    path = "/api/v2/publishing/targets/refresh"
    with Program("tests.process.scripted", '["ok"]', env=env) as program:
        program.wait_for("Targets refreshed")
        bad = POST.replace(b"/body", path.encode()) + b"Content-Length: 0\r\nAuthorization: Bearer wrong\r\n\r\n"
        refused = 0

        def attack() -> None:
            nonlocal refused
            with program.connect() as client:
                for _ in range(requests):
                    client.sendall(bad)
                    answer = b""
                    while not answer.endswith(b"}"):
                        answer += client.recv(4096)
                    refused += answer.startswith(b"HTTP/1.1 401")

        attacker = threading.Thread(target=attack)
        attacker.start()
        took = []
        while attacker.is_alive():
            began = time.monotonic()
            assert program.get("/api/v2/publishing/targets/status")[0] == 200
            took.append(time.monotonic() - began)
        attacker.join()
        assert refused == requests
        assert program.get(path, "POST", Authorization="Bearer right")[0] == 202
        assert sorted(took)[int(len(took) * 0.99) - 1] < 0.2 + SLOW_MACHINE


def allow_files(count: int) -> None:
    """Let this process open `count` connections, and a program it starts too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 200, hard), hard))
