"""One deadline for all of a connection, however slowly a server sends what it sends."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.cli.remote import connection as module
from alert_refresh.cli.remote.client import Client, Failed
from alert_refresh.cli.remote.connection import Connection, Received, remaining
from alert_refresh.cli.remote.server_url import ServerUrl, parse
from tests.cli.stub import Asked, Stub, answer
from tests.kube.certs import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = answer({"status": "ok"})
BODY = GOOD.index(b"\r\n\r\n") + 4


def dripping(text: bytes, stopped: threading.Event, whole: int = 0) -> Any:
    """Sends the first `whole` bytes at once, and each other one after a while."""

    def script(_: Asked) -> Iterator[bytes]:
        yield text[:whole]
        for one in text[whole:]:
            stopped.wait(0.3)
            yield bytes((one,))

    return script


@pytest.mark.parametrize(
    ("whole", "said"), [(0, "did not answer within 2 s"), (BODY, "did not end in time")], ids=["head", "body"]
)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_server_that_drips_is_given_up_in_time(
    whole: int, said: str, tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = threading.Event()
    context = None
    if tls:
        authority = Authority.create(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        context = authority.server()
    with Stub(dripping(GOOD, stopped, whole), tls=context) as stub:
        try:
            with pytest.raises(Failed, match=said) as failed:
                Client(parse(stub.url)).get("/healthz", dict, timeout=2)
        finally:
            stopped.set()
    assert failed.value.exit_code == 3


def test_a_health_check_of_a_server_that_drips_is_a_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_refresh.cli.status.HEALTH_SECONDS", 0.35)
    stopped = threading.Event()
    with Stub(dripping(GOOD, stopped)) as stub:
        found = stub.run("healthcheck")
        stopped.set()
    assert found.exit_code == 1 and "did not answer within 0.35 s" in found.stderr


def test_the_addresses_of_a_host_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first refuses, the second answers; and where all refuse it is the error of the last."""
    with Stub(lambda _: GOOD) as stub, socket.create_server(("127.0.0.1", 0)) as free:
        right, wrong = (("127.0.0.1", int(stub.url.rpartition(":")[2])), free.getsockname())
        free.close()
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", one) for one in (wrong, right)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        client = Client(ServerUrl("two", 80))
        assert client.get("/", dict).fields == {"status": "ok"}
        found.pop()
        with pytest.raises(Failed, match="Cannot connect to http://two: Connection refused"):
            client.get("/", dict)
        found.clear()
        with pytest.raises(Failed, match="Cannot connect to http://two"):
            client.get("/", dict)


def test_what_is_left_of_the_time_is_what_a_read_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 7.0))
    assert remaining(9.5) == 2.5
    with pytest.raises(TimeoutError):
        remaining(7.0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        received = Received(ours, 9.5)
        theirs.sendall(b"ab")
        assert received.readinto(bytearray(1)) == 1 and ours.gettimeout() == 2.5
        received.silence, received.until = 1.5, float("inf")
        assert received.readinto(bytearray(1)) == 1 and ours.gettimeout() == 1.5


def test_a_connection_that_cannot_be_made_is_closed() -> None:
    late = Connection(ServerUrl("127.0.0.1", 1), None, time.monotonic() - 1)
    with pytest.raises(TimeoutError):
        late.connect()
    assert late.sock.fileno() == -1


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://x", "x"), ("http://x:443", "x:443"), ("https://x", "x"), ("https://[::1]:80", "[::1]:80")],
)
def test_the_host_header_has_a_port_that_is_not_the_usual_one(url: str, host: str) -> None:
    found = parse(url)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(found, ssl.create_default_context() if found.tls else None, time.monotonic() + 20)
        connection.sock = ours
        theirs.sendall(GOOD)
        connection.ask("GET", "/", {}, None)[0].close()
        assert f"Host: {host}\r\n".encode() in theirs.recv(65536)
