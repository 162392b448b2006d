"""One request to an Alertmanager: what comes of every way to answer, and not to."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from alert_refresh.alertmanager.running.client import Access, Answer, Request, judge
from alert_refresh.engine import AttemptError, Deadline, Permanent, SystemClock, Transient
from tests.alertmanager.server import Server, closed_port
from tests.kube.certs import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "canary-77aa"


class Echo(Server):
    """Answers with the path and the token."""

    def handle_one(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        return 200, f"{method} {path} {headers.get('Authorization')}".encode()


class Raw:
    """A server that answers each connection with these bytes, and then keeps it open unless told to close it."""

    def __init__(self, data: bytes, *, close: bool) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._data, self._close = data, close
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.recv(65536)
            connection.sendall(self._data)
            if self._close:
                connection.close()
            else:
                self._open.append(connection)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)  # it may be about to add the last one
        for connection in self._open:
            connection.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as one:
        yield one


def ask(access: Access, timeout: float = 30.0, largest: int = 1000) -> Answer:
    clock = SystemClock()
    return Request(access, "GET", "/metrics", clock, largest).run(Deadline(clock, timeout))


def refused(access: Access, timeout: float = 30.0, largest: int = 1000) -> AttemptError:
    with pytest.raises(AttemptError) as raised:
        ask(access, timeout, largest)
    assert CANARY not in str(raised.value)
    return raised.value


def test_a_base_url_may_have_a_path(echo: Echo) -> None:
    assert ask(Access(echo.url)).body == b"GET /metrics None"
    assert ask(Access(f"{echo.url}/alertmanager/")).body == b"GET /alertmanager/metrics None"


def test_the_token_is_that_of_the_file(echo: Echo, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" abc\n")
    assert ask(Access(echo.url, tmp_path / "token")).body == b"GET /metrics Bearer abc"


@pytest.mark.parametrize("content", ["", " \n", f"{CANARY} two", f"{CANARY}\u00e9", None])
def test_a_file_without_a_token_is_an_error_of_authentication(echo: Echo, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    error = refused(Access(echo.url, tmp_path / "token"))
    assert isinstance(error, Permanent) and error.error_type == "auth"


def test_nobody_listens() -> None:
    error = refused(Access(f"http://127.0.0.1:{closed_port()}"))
    assert isinstance(error, Transient) and error.error_type == "network"


def test_the_host_is_not_known() -> None:
    error = refused(Access("http://nowhere.invalid"))
    assert isinstance(error, Transient) and error.error_type == "dns"


@pytest.mark.parametrize(
    ("data", "close", "error_type"),
    [
        (b"", True, "network"),
        (b"nonsense\r\n\r\n", True, "network"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", True, "network"),
        (b"", False, "timeout"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", False, "timeout"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + 2000 * b"x", True, "too_large"),
    ],
)
def test_answers_that_are_none(data: bytes, close: bool, error_type: str) -> None:
    server = Raw(data, close=close)
    try:
        timeout = 0.5 if error_type == "timeout" else 30.0
        assert refused(Access(server.url), timeout).error_type == error_type
    finally:
        server.stop()


def test_a_server_without_tls_is_not_trusted(echo: Echo) -> None:
    error = refused(Access(echo.url.replace("http:", "https:")))
    assert isinstance(error, Permanent) and error.error_type == "tls"


def test_a_file_of_certificates_that_is_missing_is_said_to_be(echo: Echo, tmp_path: Path) -> None:
    error = refused(Access(echo.url.replace("http:", "https:"), ca_file=tmp_path / "none.pem"))
    assert isinstance(error, Permanent) and "file of certificates" in str(error)
    (tmp_path / "bad.pem").write_text("no certificate")
    error = refused(Access(echo.url.replace("http:", "https:"), ca_file=tmp_path / "bad.pem"))
    assert isinstance(error, Permanent) and error.error_type == "tls"


def test_a_request_can_be_cut() -> None:
    server, clock = Raw(b"", close=False), SystemClock()
    request = Request(Access(server.url), "GET", "/", clock, 10)
    request.cut()
    errors: list[AttemptError] = []

    def run() -> None:
        try:
            request.run(Deadline(clock, 30))
        except AttemptError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        while not errors:
            request.cut()
            thread.join(0.01)
    finally:
        thread.join(10)
        server.stop()
    assert errors[0].error_type == "network"


@pytest.mark.parametrize(
    ("status", "error_type", "transient"),
    [
        (401, "auth", False),
        (403, "auth", False),
        (404, "config", False),
        (405, "config", False),
        (302, "config", False),
        (400, "api", False),
        (408, "api", True),
        (429, "api", True),
        (500, "api", True),
        (503, "api", True),
    ],
)
def test_what_a_status_means(status: int, error_type: str, transient: bool) -> None:
    with pytest.raises(AttemptError) as raised:
        judge(Answer(status, CANARY.encode(), 7.0))
    assert raised.value.error_type == error_type and CANARY not in str(raised.value)
    assert isinstance(raised.value, Transient) is transient
    if isinstance(raised.value, Transient):
        assert raised.value.retry_after == 7.0


def test_success_is_no_error() -> None:
    judge(Answer(200, b""))


def test_the_certificates_of_the_file_are_trusted_and_no_others(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    with Echo() as echo:
        echo.socket = authority.server().wrap_socket(echo.socket, server_side=True)
        secure = echo.url.replace("http:", "https:")
        assert ask(Access(secure, ca_file=authority.ca)).status == 200
        error = refused(Access(secure))
    assert isinstance(error, Permanent) and error.error_type == "tls" and "not trusted" in str(error)


def test_a_connection_that_is_reset_is_a_network_error() -> None:
    import struct

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset() -> None:
            connection, _ = listener.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        thread = threading.Thread(target=reset)
        thread.start()
        error = refused(Access(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join(10)
    assert isinstance(error, Transient) and error.error_type == "network"
