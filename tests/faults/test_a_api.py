"""A failing, misbehaving or silent API server: the targets are still served, and the cause is reported."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from alert_refresh.engine import Result, Worker, attempt_threads
from alert_refresh.targets.kubernetes import body as kube_reader
from alert_refresh.targets.kubernetes import client as kube_client
from alert_refresh.targets.kubernetes import list as kube_list
from alert_refresh.targets.kubernetes.errors import HINTS
from tests.fakes import START, FakeClock
from tests.faults.kubernetes import RETRIES, TIMEOUT, TOKEN, World, at_page, refresh_settings, target_settings, world
from tests.kube import (
    Authority,
    KubeServer,
    faults,
    fill,
    kubeconfig,
    only_tls_1_0,
    secret,
    service_account,
)
from tests.stage import eventually

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from tests.kube import Exchange, Rule

LIST = "/api/v1/namespaces/default/secrets"
MIB = 1 << 20
ALL = RETRIES + 1
ONCE = refresh_settings(max_retries=0)


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("tls") / "trusted")


@contextlib.contextmanager
def broken(it: World, action: Callable[[Any], bool], **how: Any) -> Iterator[Rule]:
    """A fault for the time being."""
    rule = it.kube.fault(action, **how)
    yield rule
    it.kube.faults.clear()


class TestConnection:
    def test_a01_a_refused_connection_is_a_network_error_and_heals(self, kube: KubeServer, tmp_path: Path) -> None:
        with world(tmp_path, kube) as it:
            kube.close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", kube.port))
            it.fails("network", attempts=ALL)
            kube.open()
            it.heals()

    def test_a02_a_name_that_does_not_resolve_is_a_dns_error(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[object] = []
        real = socket.getaddrinfo

        def fails(host: str, *rest: Any, **more: Any) -> Any:
            if host != "api.test":
                return real(host, *rest, **more)
            asked.append(host)
            raise socket.gaierror(socket.EAI_NONAME, "canary")

        monkeypatch.setattr(socket, "getaddrinfo", fails)
        with world(tmp_path, kube) as it:
            kubeconfig(it.file, f"http://api.test:{kube.port}", user={"token": TOKEN})
            it.fails("dns", attempts=ALL)
            assert len(asked) == ALL
            kubeconfig(it.file, kube.url, user={"token": TOKEN})
            it.heals()

    def test_a02_a_resolver_that_blocks_is_abandoned(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attempt_threads, "ABANDON_AFTER", 0.2)
        blocked, release = threading.Event(), threading.Event()
        real = socket.getaddrinfo

        def blocks(host: str, *rest: Any, **more: Any) -> Any:
            if host == "api.test":
                blocked.set()
                release.wait(60)
                raise socket.gaierror(socket.EAI_AGAIN, "too late")
            return real(host, *rest, **more)

        monkeypatch.setattr(socket, "getaddrinfo", blocks)
        try:
            with world(tmp_path, kube, refresh=ONCE) as it:
                kubeconfig(it.file, f"http://api.test:{kube.port}", user={"token": TOKEN})
                began = time.monotonic()
                with it.soon_out_of_time():
                    it.fails("timeout", attempts=1)
                assert time.monotonic() - began < 15.0
                assert blocked.is_set()
                kubeconfig(it.file, kube.url, user={"token": TOKEN})
                it.heals()
        finally:
            release.set()

    def test_a18_resets_are_network_errors(self, kube: KubeServer, tmp_path: Path) -> None:
        with world(tmp_path, kube) as it:
            for stage in ("request", "headers", "body"):
                with broken(it, faults.reset(stage)) as rule:
                    it.fails("network", attempts=ALL, rule=rule)
                    assert rule.fired == ALL
                it.heals()

    def test_a18_a_reset_inside_the_tls_handshake_is_a_network_error(
        self, tmp_path: Path, authority: Authority
    ) -> None:
        with KubeServer(tls=authority.server()) as kube, world(tmp_path, kube, ca=authority.ca) as it:
            kube.cut()
            with broken(it, faults.reset_connection, stage="connect") as rule:
                it.fails("network", attempts=ALL, rule=rule)
                assert rule.fired == ALL
            it.heals()

    @pytest.mark.parametrize("action", [faults.silence, faults.headers_then_silence])
    def test_a19_a_server_that_never_answers_is_a_timeout_after_one_request(
        self, kube: KubeServer, tmp_path: Path, action: Callable[[Exchange], bool]
    ) -> None:
        with world(tmp_path, kube, refresh=ONCE) as it:
            kube.cut()
            connections, requests = kube.connections, len(kube.requests)
            with broken(it, action) as rule, it.soon_out_of_time(1.5):
                (outcome,) = it.fails("timeout", attempts=1, rule=rule)
            assert 1.5 <= outcome.duration < 15.0 and "abandoned" not in str(outcome.error)
            assert (kube.connections - connections, len(kube.requests) - requests) == (1, 1)
            it.heals()

    def test_a19_the_time_before_the_headers_counts_too(self, kube: KubeServer, tmp_path: Path) -> None:
        def late(exchange: Exchange) -> bool:
            exchange.wire.wait(3.0)
            return faults.headers_then_silence(exchange)

        with world(tmp_path, kube, refresh=ONCE) as it:
            # If it did not count the end would come 7 s after the request.
            with broken(it, late) as rule, it.soon_out_of_time(4.0):
                (outcome,) = it.fails("timeout", attempts=1, rule=rule)
            assert 4.0 <= outcome.duration < 7.0
            it.heals()

    def test_a19_a_connection_that_is_accepted_and_left_is_a_timeout(
        self, tmp_path: Path, authority: Authority
    ) -> None:
        with KubeServer(tls=authority.server()) as kube, world(tmp_path, kube, ca=authority.ca, refresh=ONCE) as it:
            kube.cut()
            connections = kube.connections
            with broken(it, faults.silent_connection, stage="connect") as rule, it.soon_out_of_time():
                it.fails("timeout", attempts=1, rule=rule)
            assert kube.connections - connections == 1
            it.heals()


class TestTls:
    def test_a03_another_authority_is_a_tls_error_and_hears_nothing(self, tmp_path: Path, authority: Authority) -> None:
        other = Authority.create(tmp_path / "other")
        good = authority.server()
        with KubeServer(tls=good) as kube, world(tmp_path, kube, ca=authority.ca) as it:
            kube.tls = other.server()
            kube.cut()
            connections, requests = kube.connections, len(kube.requests)
            it.fails("tls", attempts=1)
            assert kube.connections == connections + 1, "the fault did not fire"
            assert len(kube.requests) == requests, "something was sent to an untrusted server"
            kube.tls = good
            kube.cut()
            it.heals()

    @pytest.mark.parametrize("what", ["expired", "wrong name", "TLS 1.0 only", "no TLS"])
    def test_a04_tls_that_does_not_fit_is_a_tls_error(self, tmp_path: Path, authority: Authority, what: str) -> None:
        good = authority.server()
        with KubeServer(tls=good) as kube, world(tmp_path, kube, ca=authority.ca) as it:
            contexts: dict[str, Callable[[], ssl.SSLContext | None]] = {
                "expired": lambda: authority.server("expired", days=-1),
                "wrong name": lambda: authority.server("wrong", san="DNS:elsewhere.test"),
                "TLS 1.0 only": lambda: only_tls_1_0(authority.server("old")),
                "no TLS": lambda: None,
            }
            kube.tls = contexts[what]()
            kube.cut()
            connections, requests = kube.connections, len(kube.requests)
            it.fails("tls", attempts=1)
            assert kube.connections == connections + 1, "the fault did not fire"
            assert len(kube.requests) == requests
            kube.tls = good
            kube.cut()
            it.heals()


@contextlib.contextmanager
def pod(
    folder: Path, kube: KubeServer, authority: Authority, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> Iterator[tuple[World, Path]]:
    """A world inside a pod, and its token file."""
    account = service_account(folder / "account", token=TOKEN, ca=authority.ca)
    monkeypatch.setattr(kube_client, "SERVICE_ACCOUNT", account)
    with world(folder, kube, pod_server=kube.url, namespaces=(), **changes) as it:
        yield it, account / "token"


class TestAuth:
    def test_a05_a_token_replaced_on_disk_is_read_again_once(
        self, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (
            KubeServer(tls=authority.server()) as kube,
            pod(tmp_path, kube, authority, monkeypatch) as (it, token),
        ):
            kube.tokens = {"canary-new"}
            requests = len(kube.requests)
            it.fails("auth", attempts=1)
            assert len(kube.requests) - requests == 2
            token.write_text("canary-new")
            it.heals()

    def test_a05_a_token_replaced_while_it_is_refused_serves_the_same_attempt(
        self, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (
            KubeServer(tls=authority.server()) as kube,
            pod(tmp_path, kube, authority, monkeypatch) as (it, token),
        ):

            def rotate(exchange: Exchange) -> bool:
                kube.tokens = {"canary-new"}
                token.write_text("canary-new")
                return exchange.answer()

            requests = len(kube.requests)
            with broken(it, rotate, times=1) as rule:
                it.heals()
            assert rule.fired == 1
            # The list that is refused, the list, and the Secret that is new.
            assert [one.headers["authorization"] for one in kube.requests[requests:]] == [
                f"Bearer {TOKEN}",
                *["Bearer canary-new"] * 2,
            ]

    def test_a05_the_token_file_of_a_kubeconfig_is_read_again_too(self, kube: KubeServer, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text(TOKEN + "\n")
        file = kubeconfig(tmp_path / "kubeconfig", kube.url, user={"tokenFile": str(token)})
        with world(tmp_path, kube, file=file) as it:
            kube.tokens = {"canary-new"}
            it.fails("auth", attempts=1)
            token.write_text("canary-new")
            requests = len(kube.requests)
            it.heals()
            used = {one.headers["authorization"] for one in kube.requests[requests:]}
            assert used == {"Bearer canary-new"}, "a permanent failure has already dropped the old token"

            def rotate(exchange: Exchange) -> bool:
                kube.tokens = {"canary-newer"}
                token.write_text("canary-newer")
                return exchange.answer()

            with broken(it, rotate, times=1) as rule:
                it.heals()
            assert rule.fired == 1

    def test_a06_a_permanent_401_causes_two_requests(
        self, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with KubeServer(tls=authority.server()) as kube, pod(tmp_path, kube, authority, monkeypatch) as (it, _):
            requests = len(kube.requests)
            with broken(it, faults.status(401)) as rule:
                it.fails("auth", attempts=1, rule=rule)
                assert rule.fired == 2
            assert len(kube.requests) - requests == 2
            it.heals()

    @pytest.mark.parametrize(
        "content",
        [None, "", "\n", "x" * MIB, "two words", "k\x00", "caf\xe9"],
        ids=["missing", "empty", "blank", "huge", "words", "nul", "latin"],
    )
    def test_a06_a_token_file_without_a_token_is_an_auth_error_and_sends_nothing(
        self, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, content: str | None
    ) -> None:
        with (
            KubeServer(tls=authority.server()) as kube,
            pod(tmp_path, kube, authority, monkeypatch) as (it, token),
        ):
            token.unlink()
            if content is not None:
                token.write_text(content, encoding="latin-1")
            requests = len(kube.requests)
            it.fails("auth", attempts=1)
            assert len(kube.requests) == requests
            token.write_text(TOKEN)
            it.heals()

    @pytest.mark.parametrize("ending", ["\n", "\r\n"])
    def test_a06_a_line_end_is_not_part_of_the_token(
        self, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, ending: str
    ) -> None:
        with (
            KubeServer(tls=authority.server()) as kube,
            pod(tmp_path, kube, authority, monkeypatch) as (it, token),
        ):
            token.write_bytes((TOKEN + ending).encode())
            it.heals()
            assert kube.requests[-1].headers["authorization"] == f"Bearer {TOKEN}"
            with broken(it, faults.status(401)) as rule:
                it.fails("auth", attempts=1, rule=rule)

    def test_a07_403_is_an_auth_error_until_the_right_is_back(self, kube: KubeServer, tmp_path: Path) -> None:
        with world(tmp_path, kube) as it:
            kube.denied = {("list", "default")}
            requests = len(kube.requests)
            it.fails("auth", attempts=1)
            assert len(kube.requests) - requests == 1
            kube.denied = set()
            it.heals()


class TestStatus:
    def test_a08_500_twice_and_then_an_answer_is_a_success_on_the_third_attempt(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        with world(tmp_path, kube) as it:
            name = it.change()
            with broken(it, faults.status(500), times=2) as rule:
                outcomes = it.refresh()
            assert rule.fired == 2
            assert [(one.attempt, one.result, one.error_type) for one in outcomes] == [
                (1, Result.FAILED, "k8s_api"),
                (2, Result.FAILED, "k8s_api"),
                (3, Result.SUCCESS, None),
            ]
            assert name in it.served.items and it.worker.get_status().consecutive_failures == 0

    @pytest.mark.parametrize(("code", "attempts"), [(503, ALL), (502, ALL), (408, ALL), (404, 1), (400, 1), (409, 1)])
    def test_a08_a09_statuses_are_retried_or_not(
        self, kube: KubeServer, tmp_path: Path, code: int, attempts: int
    ) -> None:
        with world(tmp_path, kube) as it:
            with broken(it, faults.status(code)) as rule:
                outcomes = it.fails("k8s_api", attempts=attempts, rule=rule)
            assert rule.fired == attempts
            assert outcomes[0].error == f"the API server answered {code}{HINTS.get(code, '')}"
            it.heals()

    @pytest.mark.parametrize(
        ("value", "waits"),
        [
            ("1", [1.0, 1.0, 1.0]),
            ("3600", [1.6, 1.6, 1.6]),
            ("9" * 31, [1.6, 1.6, 1.6]),
            ("-1", [0.2, 0.4, 0.8]),
            ("abc", [0.2, 0.4, 0.8]),
            ("1.5", [0.2, 0.4, 0.8]),
            ("", [0.2, 0.4, 0.8]),
            ("in a minute", [1.6, 1.6, 1.6]),
            ("a minute ago", [0.2, 0.4, 0.8]),
        ],
    )
    @pytest.mark.parametrize("code", [429, 503])
    def test_a10_retry_after_lengthens_the_wait_up_to_the_cap(
        self, kube: KubeServer, tmp_path: Path, value: str, waits: list[float], code: int
    ) -> None:
        dates = {"in a minute": START + 60, "a minute ago": START - 60}
        if value in dates:
            value = format_datetime(datetime.fromtimestamp(dates[value], UTC), usegmt=True)
        clock = FakeClock()
        settings = refresh_settings(base_backoff=0.2, max_backoff=1.6)
        with world(tmp_path, kube, clock=clock, refresh=settings) as it:
            rule = kube.fault(faults.status(code, {"Retry-After": value}))
            request = it.worker.refresh_now()
            for number, seconds in enumerate(waits):
                outcome = it.wait_for_outcomes(number + 2)[-1]
                assert outcome.retry_in == pytest.approx(seconds)
                assert outcome.error_type == "k8s_api"
                clock.wait_for_sleeper(seconds)
                clock.advance(seconds)
            assert request.done.wait(TIMEOUT)
            assert rule.fired == ALL <= 5

    def test_a10_stop_ends_a_wait_that_the_server_asked_for(self, kube: KubeServer, tmp_path: Path) -> None:
        with world(tmp_path, kube, refresh=refresh_settings(base_backoff=30, max_backoff=300)) as it:
            rule = kube.fault(faults.status(429, {"Retry-After": "200"}))
            it.worker.refresh_now()
            assert it.wait_for_outcomes(2)[-1].retry_in == 200
            it.worker.stop(TIMEOUT)
            assert rule.fired == 1

    @pytest.mark.parametrize("code", [204, 206])
    def test_a22_other_2xx_statuses_are_not_lists(self, kube: KubeServer, tmp_path: Path, code: int) -> None:
        with world(tmp_path, kube) as it:
            with broken(it, faults.recoded(206) if code == 206 else faults.status(204, body=b"")) as rule:
                it.fails("parse", attempts=ALL, rule=rule)
            it.heals()

    def test_a22_redirects_are_not_followed(self, kube: KubeServer, tmp_path: Path) -> None:
        with KubeServer() as elsewhere, world(tmp_path, kube) as it:
            for location in (f"{elsewhere.url}{LIST}", f"{kube.url}{LIST}"):
                requests = len(kube.requests)
                with broken(it, faults.redirect(location)) as rule:
                    it.fails("parse", attempts=ALL, rule=rule)
                assert len(kube.requests) - requests == ALL
                it.heals()
            assert elsewhere.connections == 0


class TestPages:
    @pytest.fixture(autouse=True)
    def four_pages(self, kube: KubeServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pages are those of JSON: a server that answers in JSON is asked for pages from the second list on."""
        kube.protobuf = False
        monkeypatch.setattr(kube_list, "PAGE", 3)

    def test_every_page_is_read(self, kube: KubeServer, tmp_path: Path) -> None:
        with world(tmp_path, kube) as it:
            it.heals()
            assert [request.query.get("limit") for request in kube.lists()] == [None] + ["3"] * 4

    def test_a12_a_list_never_asks_for_any_version(self, kube: KubeServer, tmp_path: Path) -> None:
        with world(tmp_path, kube) as it:
            stale = faults.edited(lambda document: document["items"].clear())
            rule = kube.fault(stale, when=lambda request: request.query.get("resourceVersion") == "0")
            it.heals()
            assert rule.fired == 0 and not any("resourceVersion" in one.query for one in kube.lists())
            kube.fault(stale)
            it.refresh()
            found = it.worker.current()
            assert found is not None and not found.items, "the old content would have been used"

    def test_a13_an_expired_list_is_restarted_once(self, kube: KubeServer, tmp_path: Path) -> None:
        def expire(exchange: Exchange) -> bool:
            kube.store.replace(secret("target-00009", namespace="default"))
            kube.store.compact()
            return exchange.answer()

        with world(tmp_path, kube) as it:
            requests = len(kube.requests)
            with broken(it, expire, when=lambda request: "continue" in request.query, times=1) as rule:
                it.heals()
            assert rule.fired == 1
            asked = [at.query.get("continue") for at in kube.requests[requests:]]
            assert [token is None for token in asked] == [True, False, True, False, False, False]
            with broken(it, expire, when=lambda request: "continue" in request.query) as rule:
                it.fails("k8s_api", attempts=ALL, rule=rule)
            assert rule.fired == 2 * ALL
            it.heals()

    def test_a14_a_page_that_fails_publishes_nothing(self, kube: KubeServer, tmp_path: Path) -> None:
        with world(tmp_path, kube) as it:
            # The change of `fails` comes first in the list, so the third page begins here.
            with broken(it, faults.status(500), when=at_page("target-00005")) as rule:
                it.fails("k8s_api", attempts=ALL, rule=rule)
            assert rule.fired == ALL
            it.heals()

    @pytest.mark.parametrize("tokens", [["again"], ["there", "back"]])
    def test_a14_a_list_with_a_loop_of_continue_tokens_is_a_parse_error(
        self, kube: KubeServer, tmp_path: Path, tokens: list[str]
    ) -> None:
        with world(tmp_path, kube) as it:
            asked: list[str] = []

            def circle(exchange: Exchange) -> bool:
                asked.append(exchange.request.query.get("continue", ""))
                token = tokens[len(asked) % len(tokens)]
                page = {"kind": "SecretList", "metadata": {"resourceVersion": "1", "continue": token}, "items": []}
                return faults.page(json.dumps(page).encode())(exchange)

            with broken(it, circle) as rule:
                it.fails("parse", attempts=ALL, rule=rule)
            assert rule.fired == ALL * (len(tokens) + 1)
            it.heals()

    def test_a14_there_is_a_last_page(self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with world(tmp_path, kube) as it:
            monkeypatch.setattr(kube_list, "MAX_PAGES", 3)
            requests = len(kube.requests)
            it.fails("too_large", attempts=1)
            assert len(kube.requests) - requests == 3
            monkeypatch.setattr(kube_list, "MAX_PAGES", 4)
            it.heals()


class TestBodies:
    @pytest.mark.parametrize("close", [False, True])
    def test_a15_a_drip_ends_with_the_attempt(self, kube: KubeServer, tmp_path: Path, close: bool) -> None:
        with world(tmp_path, kube, refresh=ONCE) as it:
            threads = threading.active_count()
            with broken(it, faults.drip(0.1, close=close)) as rule, it.soon_out_of_time():
                (outcome,) = it.fails("timeout", attempts=1, rule=rule)
            assert 1.5 <= outcome.duration < 15.0 and "abandoned" not in str(outcome.error)
            kube.cut()
            eventually(lambda: threading.active_count() <= threads, "the end of what was started")
            it.heals()

    @pytest.mark.parametrize("how", ["length", "no-length", "chunked"])
    def test_a16_a_body_that_ends_early_is_a_parse_error(self, kube: KubeServer, tmp_path: Path, how: str) -> None:
        with world(tmp_path, kube) as it:
            with broken(it, faults.truncated(how)) as rule:
                outcomes = it.fails("parse", attempts=ALL, rule=rule)
            assert {one.error for one in outcomes} == {"the API server's answer ends early"}
            it.heals()

    @pytest.mark.parametrize("how", ["garbage", "plain"])
    def test_a17_what_is_not_packed_as_it_says_is_a_parse_error(
        self, kube: KubeServer, tmp_path: Path, how: str
    ) -> None:
        with world(tmp_path, kube) as it:
            with broken(it, faults.encoded(how)) as rule:
                it.fails("parse", attempts=ALL, rule=rule)
            assert kube.requests[-1].headers["accept-encoding"] == "identity"
            it.heals()

    def test_a17_a_bomb_is_too_large_and_is_never_unpacked_whole(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kube_reader, "MAX_BYTES", 16 * MIB)
        with world(tmp_path, kube, refresh=refresh_settings(timeout=60)) as it, peak_memory() as peak:
            with broken(it, faults.encoded("bomb", 1024 * MIB)) as rule:
                it.fails("too_large", attempts=1, rule=rule)
            assert peak() < (16 + 32) * MIB
            it.heals()

    @pytest.mark.parametrize(
        ("body", "attempts"),
        [
            (b"<!DOCTYPE html><title>Log in</title>", ALL),
            (b"", ALL),
            (b"{}", 1),
            (b"null", 1),
            (b"[]", 1),
            (b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}', 1),
            (b'{"kind":"SecretList","metadata":{"resourceVersion":"1"},"items":null}', 1),
            (b'{"kind":"SecretList","metadata":{"resourceVersion":""},"items":[]}', 1),
            (b'{"kind":"SecretList","metadata":{},"items":[]}', 1),
            (b'{"kind":"SecretList","metadata":{"resourceVersion":"1"},"items":[{}]}', 1),
            (b'{"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[]}', 1),
            (b'{"kind":"Table","metadata":{"resourceVersion":"1"},"rows":[]}', 1),
            (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ALL),
        ],
        ids=["html", "empty", "object", "null", "array", "status", "null items", "no version", "no metadata",
             "no uid", "pods", "table", "deep"],
    )  # fmt: skip
    def test_a21_what_is_not_a_list_of_secrets_is_a_parse_error_and_never_no_targets(
        self, kube: KubeServer, tmp_path: Path, body: bytes, attempts: int
    ) -> None:
        with world(tmp_path, kube) as it:
            with broken(it, faults.page(body)) as rule:
                it.fails("parse", attempts=attempts, rule=rule)
            it.heals()


@contextlib.contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """A function that returns the maximum growth of this process in bytes, sampled every few milliseconds."""
    process, ended = psutil.Process(), threading.Event()
    before = most = process.memory_info().rss

    def look() -> None:
        nonlocal most
        while not ended.wait(0.005):
            most = max(most, process.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: most - before
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def kube_process(folder: Path, *options: str) -> Iterator[Path]:
    """The stand-in as a process of its own; its kubeconfig."""
    file = folder / "kubeconfig-process"
    command = [sys.executable, "-m", "tests.kube", "--kubeconfig", str(file), "--token", TOKEN, *options]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            assert process.stdout is not None and process.stdout.readline()
            yield file
        finally:
            process.terminate()


class TestSizes:
    def test_a23_a_secret_of_the_largest_size_is_handled_while_status_answers(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        with world(tmp_path, kube) as it:
            # As large as the API takes them: 1 MiB of data in base64.
            kube.store.create(secret("large", filter_config={"padding": "x" * (MIB * 3 // 4 - 600)}))
            request = it.worker.refresh_now()
            slowest = 0.0
            while not request.done.is_set():
                began = time.perf_counter()
                it.worker.get_status()
                slowest = max(slowest, time.perf_counter() - began)
                request.done.wait(0.001)
            assert it.outcomes[-1].result is Result.SUCCESS
            assert slowest < 15.0
            rejected = {one.origin["secret"]: one.faults for one in it.served.rejected}
            assert "large" in it.served.items or rejected["large"]
            assert len(it.served.items) >= 10

    def test_a24_what_the_selector_leaves_out_is_not_read(self, kube: KubeServer, tmp_path: Path) -> None:
        fill(kube.store, 40, 500_000, prefix="helm", labels={"owner": "helm"})
        fill(kube.store, 10)
        with world(tmp_path, kube):
            kube.close()
            assert 5_000 < kube.sent < MIB
        kube.open()
        with world(tmp_path, kube, label_selector="owner=helm", served=40):
            kube.close()
            assert kube.sent > 40 * 500_000

    def test_a25_ten_thousand_secrets_are_a_matter_of_seconds(self, tmp_path: Path) -> None:
        with (
            KubeServer() as kube,
            world(tmp_path, kube, refresh=refresh_settings(timeout=60)) as it,
            kube_process(tmp_path, "--fill", "10000", "--cost", "0", "--size", "160") as file,
            peak_memory() as peak,
        ):
            it.file.write_bytes(file.read_bytes())
            (outcome,) = it.refresh()
            assert outcome.result is Result.SUCCESS and len(it.served.items) == 10_000
            assert peak() < 100 * MIB

    def test_a25_a_promise_of_more_bytes_than_the_cap_is_not_read(self, kube: KubeServer, tmp_path: Path) -> None:
        def promise(exchange: Exchange) -> bool:
            exchange.wire.head(200, {"Content-Type": "application/json", "Content-Length": "9" * 30})
            return faults.silence(exchange)

        with world(tmp_path, kube) as it:
            with broken(it, promise) as rule:
                (outcome,) = it.fails("too_large", attempts=1, rule=rule)
            assert outcome.duration < TIMEOUT
            it.heals()

    def test_a25_more_bytes_than_the_cap_are_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kube_reader, "MAX_BYTES", 32 * MIB)
        with (
            KubeServer() as kube,
            world(tmp_path, kube, refresh=refresh_settings(timeout=60)) as it,
            kube_process(tmp_path, "--fill", "1000", "--cost", "0", "--size", "100000") as file,
            peak_memory() as peak,
        ):
            good = it.file.read_bytes()
            it.file.write_bytes(file.read_bytes())
            it.fails("too_large", attempts=1)
            assert peak() < (32 + 32) * MIB
            it.file.write_bytes(good)
            it.heals()


class TestTime:
    def test_a30_valid_lists_are_used_after_invalid_ones_and_the_same_content_is_no_new_generation(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        bad = faults.page(b"{}")
        with world(tmp_path, kube, refresh=ONCE) as it:
            generation = it.served.generation
            with broken(it, bad) as rule:
                it.fails("parse", attempts=1, rule=rule)
            it.heals()
            assert it.served.generation == generation + 1
            with broken(it, bad) as rule:
                it.fails("parse", attempts=1, rule=rule)
                it.fails("parse", attempts=1, rule=rule)
            it.heals()
            assert it.served.generation == generation + 2
            for _ in range(2):
                assert [one.changed for one in it.refresh()] == [False]
            assert it.served.generation == generation + 2

    def test_a31_after_half_an_hour_without_the_server_the_first_attempt_heals(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        clock = FakeClock()
        settings = refresh_settings(
            interval=300, warmup=30, max_retries=5, base_backoff=30, max_backoff=300, rate_limit=60, timeout=30
        )
        with world(tmp_path, kube, clock=clock, refresh=settings) as it:
            kube.close()
            waits: list[float] = []
            while clock.monotonic() < 1800:
                waits.append(next_attempt(it.worker, clock))
                clock.wait_for_sleeper(waits[-1])
                clock.advance(waits[-1])
                assert it.wait_for_outcomes(len(waits) + 1)[-1].error_type == "network"
            # The tick at 30 s, and then cycles of six attempts, each wait at least a backoff.
            assert waits[:8] == [30, 30, 60, 120, 240, 300, 150, 30]
            assert min(waits) >= 30
            assert it.worker.get_status().consecutive_failures == len(waits)
            assert len(it.served.items) == 10
            kube.open()
            name = it.change()
            seconds = next_attempt(it.worker, clock)
            clock.wait_for_sleeper(seconds)
            clock.advance(seconds)
            assert it.wait_for_outcomes(len(waits) + 2)[-1].result is Result.SUCCESS
            assert name in it.served.items and it.worker.get_status().consecutive_failures == 0


def next_attempt(worker: Worker[Any], clock: FakeClock) -> float:
    """Seconds until the worker tries again, once it waits."""
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        status = worker.get_status()
        last = status.last
        if not status.in_progress and status.pending is None and last is not None:
            at = status.next_attempt if last.retry_in is not None else status.next_due
            if at is not None and at > clock.monotonic():
                return at - clock.monotonic()
        threading.Event().wait(0.001)
    raise AssertionError(f"the worker waits for nothing: {worker.get_status()}")


class TestProxies:
    @pytest.fixture(autouse=True)
    def no_proxies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in list(os.environ):
            if name.lower().endswith("_proxy"):
                monkeypatch.delenv(name)

    def test_a34_a_plain_http_server_is_contacted_directly_in_spite_of_proxy_variables(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with KubeServer() as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url)
            with world(tmp_path, kube) as it:
                it.heals()
            assert proxy.connections == 0

    def test_a34_a_proxy_that_the_kubeconfig_names_is_used(self, kube: KubeServer, tmp_path: Path) -> None:
        with KubeServer() as proxy, world(tmp_path, kube) as it:
            kubeconfig(it.file, kube.url, user={"token": TOKEN}, cluster={"proxy-url": proxy.url})
            requests = len(kube.requests)
            it.refresh()
            assert proxy.requests and len(kube.requests) == requests

    def test_a34_for_tls_the_proxy_gets_a_tunnel_and_no_token(
        self, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (
            KubeServer() as proxy,
            KubeServer(tls=authority.server()) as kube,
            world(tmp_path, kube, ca=authority.ca, refresh=ONCE) as it,
        ):
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            # A changed file is read again, and with it the environment.
            it.file.write_text(it.file.read_text() + "\n")
            it.fails("network", attempts=1)
            (request,) = proxy.requests
            assert request.method == "CONNECT" and "authorization" not in request.headers
            assert TOKEN not in str(request)
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            it.file.write_text(it.file.read_text() + "\n")
            it.heals()
            assert len(proxy.requests) == 1

    def test_a34_so_does_the_proxy_of_a_pod(
        self, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (
            KubeServer() as proxy,
            KubeServer(tls=authority.server()) as kube,
            pod(tmp_path, kube, authority, monkeypatch, refresh=ONCE) as (it, token),
        ):
            authorities = token.parent / "ca.crt"
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            authorities.write_text(authorities.read_text() + "\n")
            it.fails("network", attempts=1)
            (request,) = proxy.requests
            assert request.method == "CONNECT" and TOKEN not in str(request)
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            authorities.write_text(authorities.read_text() + "\n")
            it.heals()
            assert len(proxy.requests) == 1


def test_the_world_would_notice_a_canary(kube: KubeServer, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="canary"), world(tmp_path, kube) as it:
        it.outcomes.append(it.outcomes[0].__class__(**_fields(it.outcomes[0]) | {"error": TOKEN}))


def _fields(outcome: Any) -> dict[str, Any]:
    return {name: getattr(outcome, name) for name in outcome.__slots__}


def test_a_world_is_the_profile(tmp_path: Path) -> None:
    assert target_settings(tmp_path).refresh.max_retries == RETRIES
