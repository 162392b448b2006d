"""Targets come from a cluster's Secrets: all namespaces, all pages, parsed only where they changed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import (
    AttemptError,
    Deadline,
    Partial,
    Permanent,
    Request,
    Snapshot,
    SystemClock,
    Transient,
    Trigger,
    Worker,
)
from alert_refresh.env import Env
from alert_refresh.targets import KIND, build, read
from alert_refresh.targets.kubernetes import client as kube_client
from alert_refresh.targets.kubernetes import official
from alert_refresh.targets.kubernetes.errors import HINTS
from alert_refresh.targets.kubernetes.snapshot import Memo
from alert_refresh.targets.kubernetes.source import KubernetesSource
from alert_refresh.targets.secret.parse import parse
from tests.fakes import START, FakeClock, FakeSource
from tests.faults.kubernetes import refresh_settings, target_settings
from tests.kube import (
    Authority,
    KubeServer,
    faults,
    fill,
    kubeconfig,
    raw_secret,
    secret,
    service_account,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from alert_refresh.targets.target import Target
    from tests.kube import Exchange

NOW = START


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        fill(server.store, 3)
        yield server


class Cluster:
    """A source on the stand-in, refreshed by the test; `last` is what it returned last."""

    def __init__(self, folder: Path, kube: KubeServer, *, file: Path | str | None = None, **settings: Any) -> None:
        self.clock = FakeClock()
        self.file = kubeconfig(folder / "kubeconfig", kube.url) if file is None else file
        self.source = KubernetesSource(target_settings(self.file, **settings), self.clock)
        self.last: Snapshot[Target] | None = None
        self.seconds = 60.0

    def refresh(self) -> Snapshot[Target]:
        request = Request(Trigger.MANUAL)
        self.last = self.source.refresh(self.last, request, Deadline(self.clock, self.seconds))
        return self.last

    def partly(self) -> tuple[Snapshot[Target], AttemptError]:
        """A refresh of which a part fails: what is published, and the cause."""
        with pytest.raises(Partial) as raised:
            self.refresh()
        self.last = raised.value.snapshot
        return self.last, raised.value.cause

    def fails(self, error: type[AttemptError], error_type: str) -> str:
        with pytest.raises(error) as raised:
            self.refresh()
        assert raised.value.error_type == error_type
        return str(raised.value)


@pytest.fixture
def cluster(tmp_path: Path, kube: KubeServer) -> Iterator[Callable[..., Cluster]]:
    made: list[Cluster] = []

    def make(**settings: Any) -> Cluster:
        made.append(Cluster(tmp_path, kube, **settings))
        return made[-1]

    yield make
    for one in made:
        one.source.close()


class TestLists:
    def test_every_secret_becomes_a_target(self, kube: KubeServer, cluster: Callable[..., Cluster]) -> None:
        snapshot = cluster().refresh()
        assert list(snapshot.items) == ["target-00000", "target-00001", "target-00002"]
        target = snapshot.items["target-00001"]
        assert (target.namespace, target.secret, target.type) == ("default", "target-00001", "webhook")
        assert snapshot.taken_at == START
        assert snapshot.stats["secrets_valid"] == 3 and snapshot.stats["secrets_invalid"] == 0

    def test_a_bad_secret_is_rejected_and_the_others_are_served(
        self, kube: KubeServer, cluster: Callable[..., Cluster]
    ) -> None:
        kube.store.create(raw_secret("bad", "default", {"config": b"[]"}))
        kube.store.create({"metadata": {"name": "bare", "labels": {"publishing-target": "true"}}})
        kube.store.create({"metadata": {"name": "list", "labels": {"publishing-target": "true"}}, "data": [1]})
        snapshot = cluster().refresh()
        assert len(snapshot.items) == 3
        assert {one.origin["secret"] for one in snapshot.rejected} == {"bad", "bare", "list"}
        assert snapshot.stats["secrets_invalid"] == 3

    def test_a_list_asks_for_the_label_in_protobuf_and_nothing_else(
        self, kube: KubeServer, cluster: Callable[..., Cluster]
    ) -> None:
        cluster(label_selector="publishing-target=true,team in (a, b)").refresh()
        (request,) = kube.requests
        assert request.path == "/api/v1/namespaces/default/secrets"
        assert request.query == {"labelSelector": "publishing-target=true,team in (a, b)"}
        assert request.headers["accept"] == "application/vnd.kubernetes.protobuf, application/json"
        assert request.headers["accept-encoding"] == "identity"
        assert "authorization" not in request.headers

    def test_a_refresh_imports_nothing_since_that_would_count_towards_its_time(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        file = kubeconfig(tmp_path / "kubeconfig", kube.url)
        code = f"""
import sys
from alert_refresh.env import Env
from alert_refresh.engine import Deadline, Request, SystemClock, Trigger
from alert_refresh.targets import build, read
source = build(read(Env({{"KUBECONFIG": {str(file)!r}}})), SystemClock(), {{}})
before = set(sys.modules)
snapshot = source.refresh(None, Request(Trigger.STARTUP), Deadline(SystemClock(), 60))
source.close()
print(len(snapshot.items), sorted(set(sys.modules) - before))
"""
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
        assert run.stdout == "3 []\n"

    def test_refreshes_share_one_connection_until_it_is_closed(
        self, kube: KubeServer, cluster: Callable[..., Cluster]
    ) -> None:
        it = cluster()
        for _ in range(3):
            it.refresh()
        assert kube.connections == 1
        it.source.close()
        it.refresh()
        assert kube.connections == 2

    def test_a_refused_request_does_not_use_up_the_pool(
        self, kube: KubeServer, cluster: Callable[..., Cluster]
    ) -> None:
        it = cluster()
        kube.fault(faults.status(503), times=30)
        for _ in range(30):
            it.fails(Transient, "k8s_api")
        it.refresh()
        connections = kube.connections
        it.refresh()
        assert kube.connections == connections

    def test_an_empty_first_list_is_a_warning_and_a_later_one_is_not(
        self, kube: KubeServer, cluster: Callable[..., Cluster], caplog: pytest.LogCaptureFixture
    ) -> None:
        it = cluster(namespaces=("nowhere",))
        it.refresh()
        (line,) = [line for line in caplog.records if line.levelno >= logging.WARNING]
        assert (line.levelno, line.name) == (logging.WARNING, "alert_refresh.targets.kubernetes.source")
        assert vars(line)["namespace"] == "nowhere" and "namespace nowhere" in vars(line)["error"]
        caplog.clear()
        it.refresh()
        assert not [line for line in caplog.records if line.levelno >= logging.WARNING]

    @pytest.mark.parametrize(
        ("namespaces", "named"),
        [
            (("default", "nowhere"), ["nowhere"]),
            (("nowhere", "default", "none"), ["nowhere", "none"]),
            (("default",), []),
            (("*",), []),
        ],
    )
    def test_of_several_namespaces_each_empty_one_is_named_once(
        self,
        kube: KubeServer,
        cluster: Callable[..., Cluster],
        caplog: pytest.LogCaptureFixture,
        namespaces: tuple[str, ...],
        named: list[str],
    ) -> None:
        it = cluster(namespaces=namespaces)
        for _ in range(2):
            it.refresh()
        found = [vars(line)["namespace"] for line in caplog.records if line.getMessage() == "No Secret was found"]
        assert found == named

    def test_a_namespace_that_is_empty_once_it_can_be_listed_is_named_then(
        self, kube: KubeServer, cluster: Callable[..., Cluster], caplog: pytest.LogCaptureFixture
    ) -> None:
        it = cluster(namespaces=("default", "nowhere"))
        kube.denied = {("list", "nowhere")}
        it.partly()
        assert "No Secret was found" not in caplog.text
        kube.denied = set()
        it.refresh()
        assert caplog.text.count("No Secret was found") == 1

    def test_everywhere_without_any_secret_is_a_warning(
        self, kube: KubeServer, cluster: Callable[..., Cluster], caplog: pytest.LogCaptureFixture
    ) -> None:
        cluster(namespaces=("*",), label_selector="nobody=has-it").refresh()
        (line,) = [line for line in caplog.records if line.levelno >= logging.WARNING]
        assert vars(line)["error"] == "no Secret matches the label selector in all namespaces"

    def test_there_is_no_watch_if_it_is_off(self, cluster: Callable[..., Cluster]) -> None:
        assert not cluster(watch=False).source.watches(Worker(KIND, FakeSource(), refresh_settings()))

    def test_the_name_of_a_secret_changes_nothing(self, kube: KubeServer, cluster: Callable[..., Cluster]) -> None:
        kube.store.create(secret("slack-401"))
        kube.fault(faults.status(503, body=b"slack-401 Unauthorized forbidden certificate timeout"))
        it = cluster()
        message = it.fails(Transient, "k8s_api")
        assert "slack-401" not in message


class TestMemo:
    @pytest.fixture
    def parsed(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The names of Secrets, in the order they are parsed."""
        names: list[str] = []
        real = parse

        def counted(*args: Any, secret: str, **more: Any) -> Any:
            names.append(secret)
            return real(*args, secret=secret, **more)

        monkeypatch.setattr("alert_refresh.targets.kubernetes.list.parse", counted)
        return names

    def test_only_what_changed_is_parsed_again(
        self, kube: KubeServer, cluster: Callable[..., Cluster], parsed: list[str]
    ) -> None:
        it = cluster()
        first = it.refresh()
        assert len(parsed) == 3
        second = it.refresh()
        assert len(parsed) == 3 and second.digest == first.digest
        assert second.items["target-00000"] is first.items["target-00000"]
        kube.store.replace(secret("target-00001", enabled=False))
        third = it.refresh()
        assert parsed[3:] == ["target-00001"] and not third.items["target-00001"].enabled
        assert third.digest != second.digest

    def test_a_recreated_secret_with_the_same_name_is_parsed_again(
        self, kube: KubeServer, cluster: Callable[..., Cluster], parsed: list[str]
    ) -> None:
        it = cluster()
        it.refresh()
        kube.store.delete("default", "target-00000")
        kube.store.create(secret("target-00000", enabled=False))
        assert not it.refresh().items["target-00000"].enabled
        assert parsed[3:] == ["target-00000"]

    def test_a_deleted_secret_is_forgotten(self, kube: KubeServer, cluster: Callable[..., Cluster]) -> None:
        it = cluster()
        it.refresh()
        kube.store.delete("default", "target-00000")
        snapshot = it.refresh()
        assert len(snapshot.items) == 2
        assert isinstance(snapshot.memo, Memo) and len(snapshot.memo.known["default"].known) == 2

    def test_the_state_of_a_failed_namespace_is_kept(
        self, kube: KubeServer, cluster: Callable[..., Cluster], parsed: list[str]
    ) -> None:
        kube.store.create(secret("other", "b"))
        it = cluster(namespaces=("default", "b"))
        first = it.refresh()
        kube.denied = {("list", "default")}
        it.partly()
        kube.denied = set()
        healed = it.refresh()
        assert len(parsed) == 4
        assert healed.items["target-00000"] is first.items["target-00000"]

    def test_parsing_counts_towards_the_deadline(
        self, cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        it = cluster()

        def slow(*_: object, **__: object) -> tuple[()]:
            it.clock.advance(it.seconds / 2)
            return ()

        monkeypatch.setattr("alert_refresh.targets.kubernetes.list.parse", slow)
        it.fails(Transient, "timeout")

    def test_a_snapshot_without_a_memo_is_parsed_whole(
        self, kube: KubeServer, cluster: Callable[..., Cluster], parsed: list[str]
    ) -> None:
        it = cluster()
        first = it.refresh()
        it.last = Snapshot(items=first.items, digest=first.digest)
        assert it.refresh().digest == first.digest
        assert len(parsed) == 6


class TestNamespaces:
    @pytest.fixture(autouse=True)
    def three(self, kube: KubeServer) -> None:
        for namespace in ("a", "b"):
            kube.store.create(secret(f"in-{namespace}", namespace))

    @pytest.mark.parametrize(
        ("namespaces", "found"),
        [
            (("a",), {"in-a"}),
            (("a", "b", "a"), {"in-a", "in-b"}),
            (("*",), {"in-a", "in-b", "target-00000", "target-00001", "target-00002"}),
            (("a", "*"), {"in-a", "in-b", "target-00000", "target-00001", "target-00002"}),
        ],
    )
    def test_one_several_or_all(
        self, kube: KubeServer, cluster: Callable[..., Cluster], namespaces: tuple[str, ...], found: set[str]
    ) -> None:
        assert set(cluster(namespaces=namespaces).refresh().items) == found
        paths = [request.path for request in kube.requests]
        assert len(paths) == len(set(paths)), "a namespace is listed twice"
        assert paths == ["/api/v1/secrets"] or "*" not in namespaces

    def test_one_that_fails_keeps_its_targets_stale_and_the_others_are_published(
        self, kube: KubeServer, cluster: Callable[..., Cluster]
    ) -> None:
        it = cluster(namespaces=("a", "b"))
        first = it.refresh()
        kube.denied = {("list", "a")}
        kube.store.create(secret("new", "b"))
        it.clock.advance(60)
        snapshot, cause = it.partly()
        assert cause.error_type == "auth" and isinstance(cause, Permanent)
        assert set(snapshot.items) == {"in-a", "in-b", "new"}
        stale = snapshot.items["in-a"]
        assert stale.stale_since == START + 60
        assert [fault.field for fault in stale.faults] == ["namespace"]
        assert "403" in stale.faults[0].message
        assert snapshot.items["in-b"] is first.items["in-b"]
        again, _ = it.partly()
        assert again.digest == snapshot.digest, "the same failure is not a change"
        kube.denied = set()
        healed = it.refresh()
        assert healed.items["in-a"].stale_since is None and set(healed.items) == {"in-a", "in-b", "new"}

    def test_a_secret_deleted_meanwhile_is_removed_when_its_namespace_can_be_listed_again(
        self, kube: KubeServer, cluster: Callable[..., Cluster]
    ) -> None:
        it = cluster(namespaces=("a", "b"))
        it.refresh()
        kube.denied = {("list", "a")}
        kube.store.delete("a", "in-a")
        assert "in-a" in it.partly()[0].items
        kube.denied = set()
        assert set(it.refresh().items) == {"in-b"}

    def test_one_that_may_recover_makes_the_attempt_retried(
        self, kube: KubeServer, cluster: Callable[..., Cluster]
    ) -> None:
        it = cluster(namespaces=("a", "b", "default"))
        it.refresh()
        kube.denied = {("list", "a")}
        kube.fault(faults.status(429, {"Retry-After": "7"}), "/api/v1/namespaces/b/")
        _, cause = it.partly()
        assert isinstance(cause, Transient) and cause.retry_after == 7

    def test_all_namespaces_share_one_retry_after_a_401(
        self, kube: KubeServer, cluster: Callable[..., Cluster]
    ) -> None:
        rule = kube.fault(faults.status(401))
        cluster(namespaces=("a", "b")).fails(Permanent, "auth")
        assert rule.fired == 3

    def test_if_all_fail_nothing_is_published_and_all_are_named(
        self, kube: KubeServer, cluster: Callable[..., Cluster]
    ) -> None:
        it = cluster(namespaces=("a", "b"))
        it.refresh()
        kube.denied = {("list", "a"), ("list", "b")}
        assert it.fails(Permanent, "auth") == "namespace a, b: the API server answered 403" + HINTS[403]

    def test_those_that_fail_are_named_each_with_its_cause(
        self, kube: KubeServer, cluster: Callable[..., Cluster]
    ) -> None:
        it = cluster(namespaces=("a", "default", "b", "c"))
        kube.denied = {("list", "a"), ("list", "c")}
        kube.fault(faults.status(500), "/api/v1/namespaces/b/")
        _, cause = it.partly()
        denied = f"namespace a, c: the API server answered 403{HINTS[403]}"
        assert str(cause) == f"{denied}; namespace b: the API server answered 500"
        assert isinstance(cause, Transient) and cause.error_type == "k8s_api"

    def test_connecting_may_take_a_share_of_the_time_left_alone(self, tmp_path: Path) -> None:
        authority, clock = Authority.create(tmp_path / "tls"), SystemClock()
        with KubeServer(tls=authority.server()) as kube:
            rule = kube.fault(faults.silent_connection, stage="connect")
            file = kubeconfig(tmp_path / "silent", kube.url, ca=authority.ca)
            source = KubernetesSource(target_settings(file), clock)
            deadline = Deadline(clock, 8.0)
            with pytest.raises(Transient) as raised:
                source.refresh(None, Request(Trigger.MANUAL), deadline)
            assert raised.value.error_type == "timeout" and rule.fired == 1
            assert deadline.remaining() > 0, "the other namespaces have time left"

    def test_a_single_namespace_is_not_named(self, kube: KubeServer, cluster: Callable[..., Cluster]) -> None:
        kube.denied = {("list", "a")}
        assert cluster(namespaces=("a",)).fails(Permanent, "auth") == "the API server answered 403" + HINTS[403]

    def test_one_that_fails_from_the_start_has_no_earlier_targets(
        self, kube: KubeServer, cluster: Callable[..., Cluster]
    ) -> None:
        kube.denied = {("list", "a")}
        snapshot, _ = cluster(namespaces=("a", "b")).partly()
        assert set(snapshot.items) == {"in-b"}

    def test_one_that_hangs_leaves_time_for_the_others(
        self, kube: KubeServer, tmp_path: Path, cluster: Callable[..., Cluster]
    ) -> None:
        it = cluster(namespaces=("a", "b"))
        it.refresh()

        def hang(exchange: Exchange) -> bool:
            it.clock.advance(0.52 * it.seconds)
            return exchange.answer()

        kube.fault(hang, "/api/v1/namespaces/a/")
        kube.store.create(secret("new", "b"))
        snapshot, cause = it.partly()
        assert cause.error_type == "timeout"
        assert "new" in snapshot.items and snapshot.items["in-a"].stale_since is not None


class TestWhere:
    def test_without_a_setting_it_is_the_namespace_of_the_context(
        self, kube: KubeServer, tmp_path: Path, cluster: Callable[..., Cluster]
    ) -> None:
        file = kubeconfig(tmp_path / "other", kube.url, namespace="team")
        assert cluster(file=file, namespaces=()).refresh().items == {}
        assert kube.requests[-1].path == "/api/v1/namespaces/team/secrets"

    def test_without_one_there_either_it_is_default(self, kube: KubeServer, cluster: Callable[..., Cluster]) -> None:
        assert len(cluster(namespaces=()).refresh().items) == 3

    def test_in_a_pod_it_is_the_pods_own_and_its_token_is_sent(
        self, tmp_path: Path, cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority = Authority.create(tmp_path / "tls")
        with KubeServer(tls=authority.server(), tokens={"t"}) as kube:
            fill(kube.store, 2, namespace="mine")
            account = service_account(tmp_path / "account", token="t", ca=authority.ca, namespace="mine")
            monkeypatch.setattr(kube_client, "SERVICE_ACCOUNT", account)
            it = cluster(file="", pod_server=kube.url, namespaces=())
            assert len(it.refresh().items) == 2
            assert kube.requests[-1].headers["authorization"] == "Bearer t"
            (account / "namespace").unlink()
            it.source.close()
            assert it.refresh().items == {}
            assert kube.requests[-1].path == "/api/v1/namespaces/default/secrets"

    def test_several_kubeconfig_files_are_merged(
        self, kube: KubeServer, tmp_path: Path, cluster: Callable[..., Cluster]
    ) -> None:
        file = kubeconfig(tmp_path / "other", kube.url)
        paths = os.pathsep.join([str(tmp_path / "absent"), str(file)])
        assert len(cluster(file=paths).refresh().items) == 3

    def test_a_changed_kubeconfig_is_read_again(
        self, kube: KubeServer, tmp_path: Path, cluster: Callable[..., Cluster]
    ) -> None:
        it = cluster()
        it.refresh()
        with KubeServer() as other:
            fill(other.store, 7)
            kubeconfig(tmp_path / "kubeconfig", other.url)
            assert len(it.refresh().items) == 7

    def test_user_and_password_are_sent(
        self, kube: KubeServer, tmp_path: Path, cluster: Callable[..., Cluster]
    ) -> None:
        file = kubeconfig(tmp_path / "other", kube.url, user={"username": "u", "password": "p"})
        cluster(file=file).refresh()
        assert kube.requests[-1].headers["authorization"] == "Basic dTpw"


class TestConfiguration:
    @pytest.mark.parametrize(
        "content",
        ["", "{", "[]", "a: b", "\x00", "current-context: x\ncontexts: 1\nclusters: []\nusers: []"],
    )
    def test_a_kubeconfig_that_makes_no_sense_is_a_config_error(
        self, tmp_path: Path, cluster: Callable[..., Cluster], content: str
    ) -> None:
        file = tmp_path / "bad"
        file.write_text(content)
        assert "kubeconfig" in cluster(file=file).fails(Permanent, "config")

    def test_one_that_is_missing_or_a_folder_is_a_config_error(
        self, tmp_path: Path, cluster: Callable[..., Cluster]
    ) -> None:
        cluster(file=tmp_path / "absent").fails(Permanent, "config")
        cluster(file=tmp_path).fails(Permanent, "config")

    def test_a_server_that_is_not_an_address_is_a_config_error(
        self, tmp_path: Path, cluster: Callable[..., Cluster]
    ) -> None:
        cluster(file=kubeconfig(tmp_path / "bad", "http://[::1")).fails(Permanent, "config")
        cluster(file=kubeconfig(tmp_path / "bad", "ftp://x")).fails(Permanent, "config")

    def test_a_token_that_no_header_can_carry_is_an_auth_error(
        self, kube: KubeServer, tmp_path: Path, cluster: Callable[..., Cluster]
    ) -> None:
        file = kubeconfig(tmp_path / "other", kube.url, user={"token": "canary\r\nX: y"})
        message = cluster(file=file).fails(Permanent, "auth")
        assert "canary" not in message and not kube.requests

    @pytest.mark.parametrize(("name", "error_type"), [("ca.crt", "config"), ("token", "auth")])
    def test_a_pod_without_its_files_says_so(
        self,
        tmp_path: Path,
        cluster: Callable[..., Cluster],
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        error_type: str,
    ) -> None:
        ca = tmp_path / "ca"
        ca.write_text("x")
        account = service_account(tmp_path / "account", token="t", ca=ca)
        (account / name).unlink()
        monkeypatch.setattr(kube_client, "SERVICE_ACCOUNT", account)
        cluster(file="", pod_server="https://127.0.0.1:1").fails(Permanent, error_type)

    @pytest.mark.parametrize(
        ("raised", "expected", "error_type"),
        [(OSError(24, "EMFILE"), Transient, "storage"), (PermissionError(13, "no"), Permanent, "auth")],
    )
    def test_a_token_that_cannot_be_read_now_is_distinguished_from_one_without_permission(
        self, tmp_path: Path, raised: OSError, expected: type[AttemptError], error_type: str
    ) -> None:
        class File:
            def open(self, mode: str) -> Any:
                raise raised

        with pytest.raises(expected) as caught:
            kube_client._read_token(File())  # type: ignore[arg-type]  # a stand-in
        assert caught.value.error_type == error_type

    def test_files_that_cannot_be_read_now_are_retried(
        self, tmp_path: Path, cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: object, **__: object) -> None:
            raise OSError(24, "EMFILE")

        it = cluster()
        monkeypatch.setattr(official, "KubeConfigMerger", fails)
        it.fails(Transient, "storage")
        ca = tmp_path / "ca"
        ca.write_text("x")
        account = service_account(tmp_path / "account", token="t", ca=ca)
        monkeypatch.setattr(kube_client, "SERVICE_ACCOUNT", account)
        monkeypatch.setattr(kube_client, "_connections", fails)
        cluster(file="", pod_server="https://127.0.0.1:1").fails(Transient, "storage")

    @pytest.mark.parametrize(
        ("environment", "server"),
        [
            ({}, ""),
            ({"KUBERNETES_SERVICE_PORT": "443"}, ""),
            ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}, "https://10.0.0.1:6443"),
            ({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, "https://[fd00::1]:443"),
        ],
    )
    def test_the_server_of_a_pod_is_told_by_its_environment(self, environment: dict[str, str], server: str) -> None:
        assert read(Env(environment)).pod_server == server

    def test_settings_detect_a_pod_and_refuse_an_invalid_namespace(self) -> None:
        env = Env({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "K8S_NAMESPACE": "a, b-1,*"})
        settings = read(env)
        assert settings.pod_server == "https://10.0.0.1:443" and settings.source == "kubernetes" and not env.faults
        assert settings.namespaces == ("a", "b-1", "*")
        for name in ("..", "a/b", "A", "-a", "a" * 64):
            env = Env({"K8S_NAMESPACE": name})
            assert not read(env).pod_server
            assert [fault.field for fault in env.faults] == ["K8S_NAMESPACE"]

    def test_the_settings_name_this_source(self, tmp_path: Path) -> None:
        source = build(target_settings(tmp_path), FakeClock(), {})
        assert isinstance(source, KubernetesSource) and source.name == "kubernetes"
