"""A server without protobuf is read in JSON, and a body that does not match its content type is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import Result
from alert_refresh.targets.kubernetes.list import JSON_AGAIN, METADATA, PROTOBUF, JsonServers
from tests.fakes import FakeClock
from tests.faults.kubernetes import RETRIES, TOKEN, refresh_settings, world
from tests.faults.test_a_api import MIB, broken, peak_memory
from tests.kube import KubeServer, faults, fill, kubeconfig, protobuf
from tests.kube.negotiation import JSON
from tests.kube.negotiation import PROTOBUF as CONTENT_TYPE
from tests.kube.wire import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kube import Exchange, Request

ALL = RETRIES + 1
EMPTY_IN_JSON = b'{"kind":"SecretList","metadata":{"resourceVersion":"1"},"items":[]}'
ITEM = protobuf.field(1, protobuf.field(1, "n"))


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        yield server


def asks_for_protobuf(request: Request) -> bool:
    return CONTENT_TYPE in request.headers["accept"]


def accepts(kube: KubeServer) -> list[str]:
    return [one.headers["accept"] for one in kube.lists()]


def rewritten(edit: Callable[[bytes], bytes], content_type: str = CONTENT_TYPE) -> Callable[[Exchange], bool]:
    """The right answer in protobuf, its body changed."""

    def act(exchange: Exchange) -> bool:
        body = edit(exchange.compute(CONTENT_TYPE).body())
        return exchange.wire.respond(Response(200, [body], {"Content-Type": content_type}))

    return act


class TestFallback:
    def test_protobuf_is_asked_for_and_answered(self, kube: KubeServer, tmp_path: Path) -> None:
        with world(tmp_path, kube) as it:
            it.heals()
            assert accepts(kube) == [PROTOBUF, METADATA, PROTOBUF]

    def test_a40_after_a_406_the_same_attempt_requests_json_and_later_ones_do_so_immediately(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        with world(tmp_path, kube) as it:
            kube.requests.clear()
            with broken(it, faults.status(406), when=asks_for_protobuf) as rule:
                assert len(it.heals()) == 1
                it.heals()
            assert rule.fired == 1 and accepts(kube) == [METADATA, JSON, JSON]

    def test_a40_a_406_for_json_too_is_an_error_of_the_api(self, kube: KubeServer, tmp_path: Path) -> None:
        with world(tmp_path, kube) as it:
            with broken(it, faults.status(406)) as rule:
                it.fails("k8s_api", attempts=1, rule=rule)
            assert rule.fired == 2
            it.heals()

    def test_a40_an_answer_in_json_is_used_and_remembered(self, kube: KubeServer, tmp_path: Path) -> None:
        kube.protobuf = False
        with world(tmp_path, kube) as it:
            it.heals()
            it.heals()
            assert accepts(kube) == [PROTOBUF, JSON, JSON]

    def test_a40_another_server_is_asked_for_protobuf(self, kube: KubeServer, tmp_path: Path) -> None:
        kube.protobuf = False
        with world(tmp_path, kube) as it, KubeServer() as other:
            fill(other.store, 10)
            kubeconfig(it.file, other.url, user={"token": TOKEN})
            it.refresh()
            assert accepts(other) == [PROTOBUF]
            kubeconfig(it.file, kube.url, user={"token": TOKEN})
            it.heals()
            assert accepts(kube) == [PROTOBUF, JSON]

    def test_a_server_is_asked_for_protobuf_again_after_an_hour(self) -> None:
        clock = FakeClock()
        servers = JsonServers(clock)
        assert "a" not in servers
        servers.add("a")
        assert "a" in servers and "b" not in servers
        clock.advance(JSON_AGAIN)
        assert "a" not in servers

    @pytest.mark.parametrize(
        "edit",
        [
            pytest.param(lambda body: b"K8S\0" + body[4:], id="magic"),
            pytest.param(lambda body: body[:-1], id="tail"),
            pytest.param(lambda body: body[: len(body) // 2], id="half"),
            pytest.param(lambda body: body[:10], id="envelope"),
            pytest.param(lambda body: b"", id="empty"),
            pytest.param(lambda body: body + b"\xff" * 20, id="more-behind"),
            pytest.param(
                lambda body: b'{"kind":"SecretList","metadata":{"resourceVersion":"1"},"items":[]}', id="json"
            ),
        ],
    )
    def test_a40_a_body_that_is_not_protobuf_is_a_parse_error_and_the_retry_asks_for_json(
        self, kube: KubeServer, tmp_path: Path, edit: Callable[[bytes], bytes]
    ) -> None:
        with world(tmp_path, kube) as it:
            kube.requests.clear()
            with broken(it, rewritten(edit), when=asks_for_protobuf) as rule:
                outcomes = it.heals()
            assert rule.fired == 1 and accepts(kube) == [METADATA, JSON]
            assert [(one.result, one.error_type) for one in outcomes] == [
                (Result.FAILED, "parse"),
                (Result.SUCCESS, None),
            ]


class TestFaults:
    def test_a40_protobuf_under_the_content_type_of_json_is_a_parse_error(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        with world(tmp_path, kube) as it:
            with broken(it, rewritten(bytes, JSON)) as rule:
                it.fails("parse", attempts=ALL, rule=rule)
            it.heals()

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(protobuf.wrap("v1", "Status", protobuf.field(2, "Success")), id="status"),
            pytest.param(protobuf.document(kind=("v1", "PodList")), id="pods"),
            pytest.param(protobuf.document(version=""), id="no-version"),
            pytest.param(protobuf.document(b""), id="item-without-metadata"),
            pytest.param(protobuf.document(ITEM), id="item-without-uid"),
        ],
    )
    def test_a40_what_is_not_a_list_of_secrets_is_a_parse_error_and_never_no_targets(
        self, kube: KubeServer, tmp_path: Path, body: bytes
    ) -> None:
        with world(tmp_path, kube) as it:
            with broken(it, faults.page(body, f"{CONTENT_TYPE};charset=x")) as rule:
                it.fails("parse", attempts=1, rule=rule)
            it.heals()

    def test_a40_unknown_fields_change_nothing(self, kube: KubeServer, tmp_path: Path) -> None:
        def more(body: bytes) -> bytes:
            return body + protobuf.field(77, "x" * 5000)

        with world(tmp_path, kube) as it:
            with broken(it, rewritten(more)) as rule:
                assert len(it.heals()) == 1
            assert rule.fired == 1

    def test_a40_a_hundred_megabytes_of_empty_items_end_at_the_first(self, kube: KubeServer, tmp_path: Path) -> None:
        head = protobuf.list_metadata({"resourceVersion": "7"})
        items = b"\x12\x00" * (MIB // 2)

        def act(exchange: Exchange) -> bool:
            size = len(head) + 100 * len(items)
            blocks: list[Any] = [protobuf.begin("v1", "SecretList", size) + head, *[items] * 100]
            exchange.wire.respond(Response(200, blocks, {"Content-Type": CONTENT_TYPE}), chunk=MIB)
            return False

        with world(tmp_path, kube, refresh=refresh_settings(timeout=30)) as it, peak_memory() as peak:
            with broken(it, act) as rule:
                it.fails("parse", attempts=1, rule=rule)
            assert peak() < 100 * MIB
            it.heals()

    def test_a40_a_large_list_in_protobuf_ends_at_the_byte_cap(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("alert_refresh.targets.kubernetes.body.MAX_BYTES", 2 * MIB)
        with world(tmp_path, kube) as it:
            fill(kube.store, 6, 500_000, prefix="large")
            it.fails("too_large", attempts=1)
            monkeypatch.setattr("alert_refresh.targets.kubernetes.body.MAX_BYTES", 8 * MIB)
            it.heals()
