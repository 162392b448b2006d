"""One request against a real server: what counts as delivered, what may be sent again, and what is never shown."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.credential import Credential
from alert_refresh.engine import AttemptError, Permanent, Transient
from alert_refresh.engine.threads import Call, spawn
from alert_refresh.observe.notify.exchange import ALERTS_PATH, Exchange
from tests.fakes import START, FakeClock
from tests.kube.certs import Authority, only_tls_1_0
from tests.observe.notify.hooks import CANARY, PATH, Hook, drip, hang, huge, leave, nonsense
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = json.dumps({"kind": "targets"}).encode()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def exchange(url: str, timeout: float = 30.0, path: str = "") -> Exchange:
    return Exchange(lambda: Credential(url), BODY, FakeClock(), timeout, path)


def error_of(one: Exchange) -> AttemptError:
    """How a request fails."""
    with pytest.raises(AttemptError) as caught:
        one.run()
    assert CANARY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_status_of_success_is_delivered(status: int) -> None:
    with Hook(status) as hook:
        exchange(hook.url).run()
        post = hook.wait_for(1)
    assert (post.method, post.path, post.body) == ("POST", PATH, {"kind": "targets"})
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["User-Agent"].startswith("alert-refresh/")
    assert post.headers["Host"] == f"127.0.0.1:{hook.port}"
    assert "Authorization" not in post.headers


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_a_status_that_may_pass_is_tried_again(status: int) -> None:
    with Hook(status) as hook:
        error = error_of(exchange(hook.url))
    assert isinstance(error, Transient)
    assert str(error) == f"it answered {status}"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413])
def test_a_refusal_is_not_tried_again(status: int) -> None:
    with Hook(status) as hook:
        assert isinstance(error_of(exchange(hook.url)), Permanent)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with Hook() as elsewhere, Hook((status, {"Location": elsewhere.url})) as hook:
        error = error_of(exchange(hook.url))
        assert elsewhere.posts == []
        assert len(hook.posts) == 1
    assert isinstance(error, Permanent)
    assert str(error) == f"it answered {status}, and redirects are not followed"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("17", 17.0), ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0), ("Mon, 13 Nov 2023 00:00:00 GMT", None), ("soon", None)],
)
def test_the_wait_that_a_server_asks_for_is_known(header: str, seconds: float | None) -> None:
    assert START == 1_700_000_000, "that is Tue, 14 Nov 2023 22:13:20 GMT"
    with Hook((429, {"Retry-After": header})) as hook:
        error = error_of(exchange(hook.url))
    assert isinstance(error, Transient)
    assert error.retry_after == seconds


def test_the_body_of_an_answer_is_not_waited_for() -> None:
    with Hook(huge) as hook:
        exchange(hook.url).run()


@pytest.mark.parametrize("action", [leave, nonsense])
def test_what_may_have_arrived_is_not_sent_again(action: Any) -> None:
    with Hook(action) as hook:
        error = error_of(exchange(hook.url))
    assert isinstance(error, Permanent)
    assert str(error) == "it ended the connection without a valid answer"


def test_a_server_that_is_not_there_is_tried_again() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = error_of(exchange(f"http://127.0.0.1:{unused.getsockname()[1]}{PATH}"))
    assert isinstance(error, Transient)
    assert (str(error), error.error_type) == ("it refused the connection", "network")


def test_a_name_that_does_not_resolve_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, CANARY)

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = error_of(exchange(f"http://nowhere.example{PATH}"))
    assert isinstance(error, Transient)
    assert (str(error), error.error_type) == ("its host name cannot be resolved", "dns")


@pytest.mark.parametrize("action", [hang, drip])
@pytest.mark.parametrize("tls", [False, True])
def test_a_request_that_hangs_or_drips_can_be_cut(
    action: Any, tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = None
    if tls:
        authority = Authority.create(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        context = authority.server()
    with Hook(action, tls=context) as hook:
        one = exchange(hook.url)
        call = Call(one.run)
        thread = spawn("notify-request", call.run)
        hook.wait_for(1)
        one.cut()
        thread.join(10)
        assert not thread.is_alive()
        with pytest.raises(Permanent):
            call.result()


def test_a_tls_handshake_that_never_ends_can_be_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = exchange(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        call = Call(one.run)
        thread = spawn("notify-request", call.run)
        silent, _ = listener.accept()
        with silent:
            assert silent.recv(1) == b"\x16", "the client has begun the handshake"
            one.cut()
            thread.join(10)
        assert not thread.is_alive()
        with pytest.raises(Transient):
            call.result()


def test_a_tls_handshake_that_takes_too_long_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        error = error_of(exchange(f"https://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.05))
    assert isinstance(error, Transient)
    assert (str(error), error.error_type) == ("it cannot be reached in time", "timeout")


def test_a_url_that_http_cannot_carry_is_not_tried_again() -> None:
    with Hook() as hook:
        error = error_of(exchange(f"{hook.url}é"))
        assert hook.posts == []
    assert isinstance(error, Permanent)
    assert (str(error), error.error_type) == ("its URL cannot be used", "config")


def test_what_was_cut_before_it_was_connected_sends_nothing() -> None:
    with Hook() as hook:
        one = exchange(hook.url)
        one.cut()
        assert isinstance(error_of(one), Transient)
        assert hook.posts == []


def test_with_tls_a_certificate_that_fits_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority.create(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    with Hook(tls=authority.server()) as hook:
        exchange(hook.url).run()
        assert hook.wait_for(1).path == PATH


@pytest.mark.parametrize("wrong", ["unknown", "other name", "ended"])
def test_a_certificate_that_does_not_fit_gets_nothing(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.create(tmp_path / "one")
    trusted = Authority.create(tmp_path / "other") if wrong == "unknown" else authority
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.ca))
    san = "DNS:elsewhere.example" if wrong == "other name" else "IP:127.0.0.1"
    context = authority.server(san=san, days=-1 if wrong == "ended" else 30)
    with Hook(tls=context) as hook:
        error = error_of(exchange(hook.url))
        assert hook.posts == []
    assert isinstance(error, Permanent)
    assert (str(error), error.error_type) == ("its certificate is not trusted", "tls")


def test_old_tls_is_refused(tmp_path: Path) -> None:
    with Hook(tls=only_tls_1_0(Authority.create(tmp_path).server())) as hook:
        error = error_of(exchange(hook.url))
    assert isinstance(error, Permanent)
    assert error.error_type == "tls"


def test_user_name_and_password_become_a_header() -> None:
    with Hook() as hook:
        exchange(hook.url.replace("://", "://me:p%40ss@")).run()
        post = hook.wait_for(1)
    assert post.headers["Authorization"] == "Basic bWU6cEBzcw=="
    assert "@" not in post.headers["Host"] + post.path


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("", ALERTS_PATH),
        ("/", ALERTS_PATH),
        ("/prefix/", f"/prefix{ALERTS_PATH}"),
        (f"/prefix{ALERTS_PATH}", f"/prefix{ALERTS_PATH}"),
        ("/prefix?x=1", f"/prefix{ALERTS_PATH}?x=1"),
    ],
)
def test_the_path_of_alertmanager_is_added_if_it_is_missing(given: str, asked: str) -> None:
    with Hook() as hook:
        exchange(f"http://127.0.0.1:{hook.port}{given}", path=ALERTS_PATH).run()
        assert hook.wait_for(1).path == asked


class Tunnel:
    """A proxy that passes on what CONNECT names to one port here."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.asked = ""
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://me:secret@127.0.0.1:{self.listener.getsockname()[1]}"

    def _run(self) -> None:
        client, _ = self.listener.accept()
        while not self.asked.endswith("\r\n\r\n"):
            self.asked += client.recv(1).decode()
        server = socket.create_connection(("127.0.0.1", self.port))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        ends = (client, server)
        pumps = [threading.Thread(target=_pump, args=pair, daemon=True) for pair in (ends, ends[::-1])]
        for one in pumps:
            one.start()
        for one in pumps:
            one.join(10)
        for end in (*ends, self.listener):
            end.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    authority = Authority.create(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    with Hook(tls=authority.server()) as hook:
        yield hook


def test_https_goes_through_the_proxy_of_the_environment_in_a_tunnel(
    secure: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tunnel = Tunnel(secure.port)
    monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
    exchange(f"https://localhost:9999{PATH}").run()
    post = secure.wait_for(1)
    assert tunnel.asked.startswith("CONNECT localhost:9999 HTTP/1.")
    assert "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in tunnel.asked
    assert CANARY not in tunnel.asked
    assert (post.headers["Host"], post.path) == ("localhost:9999", PATH)
    eventually(lambda: tunnel.listener.fileno() < 0)


def test_no_proxy_is_honoured(secure: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    exchange(secure.url).run()
    assert len(secure.posts) == 1


def test_a_plain_http_url_never_passes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Hook() as hook:
        exchange(hook.url).run()
        assert len(hook.posts) == 1


def test_a_proxy_of_another_kind_is_refused(secure: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    assert str(error_of(exchange(secure.url))) == "HTTPS_PROXY names no http proxy"
