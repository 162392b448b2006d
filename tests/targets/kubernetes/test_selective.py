"""One target is refreshed by reading its Secret alone, and ends as a list of everything would."""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alert_refresh.engine import (
    AttemptError,
    Deadline,
    Partial,
    Permanent,
    Request,
    Result,
    Snapshot,
    Transient,
    Trigger,
)
from alert_refresh.targets.bulkhead import Bulkhead
from alert_refresh.targets.kubernetes import body
from alert_refresh.targets.kubernetes.applier import Applier
from alert_refresh.targets.kubernetes.encoding.json_list import Metadata, Secret
from alert_refresh.targets.kubernetes.errors import HINTS
from alert_refresh.targets.kubernetes.events import WatchEvent
from alert_refresh.targets.kubernetes.list import METADATA, PROTOBUF, SINGLES
from alert_refresh.targets.kubernetes.snapshot import memo_of
from alert_refresh.targets.kubernetes.source import KubernetesSource
from tests.fakes import FakeClock, FakeSink
from tests.faults.kubernetes import TIMEOUT, World, refresh_settings, target_settings
from tests.kube import KubeServer, faults, fill, kubeconfig, raw_secret, secret
from tests.kube.store import Store
from tests.stage import eventually
from tests.targets.kubernetes.test_metadata import edit, names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from alert_refresh.targets.target import Target
    from tests.kube import Exchange
    from tests.kube import Request as Asked

SINGLE = "/api/v1/namespaces/default/secrets/"
JSON = "application/json"
BAD = {"config": b"[]"}


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        fill(server.store, 3)
        yield server


class Cluster:
    """A source on the stand-in, refreshed by hand over `sink`, which has what is served."""

    def __init__(self, file: Path, kube: KubeServer, **changes: Any) -> None:
        self.clock, self.kube, self.sink = FakeClock(), kube, FakeSink()
        self.file = kubeconfig(file, kube.url)
        self.source = KubernetesSource(target_settings(self.file, **changes), self.clock)
        self.applier = Applier(self.sink, self.clock, Bulkhead(), deny_private=False)

    def refresh(self, scope: str | None = None, request: Request | None = None) -> list[str]:
        """What was asked for: the Accept header of a list, its field selector, the name of a Secret read alone."""
        self.kube.requests.clear()
        self.publish(self.attempt(scope, request))
        return [asked(one) for one in self.kube.requests]

    def attempt(self, scope: str | None, request: Request | None = None) -> Snapshot[Target]:
        request = request or Request(Trigger.MANUAL, scope=scope)
        return self.source.refresh(self.sink.snapshot, request, Deadline(self.clock, 60.0))

    def publish(self, snapshot: Snapshot[Target]) -> None:
        """As the engine does after an attempt: rebased on what a watch published meanwhile."""
        self.sink.snapshot = snapshot

    def tell(self, name: str, version: int, *, uid: str | None = None, deleted: bool = False, **config: Any) -> None:
        """A watch tells of a Secret."""
        memo = memo_of(self.sink.snapshot)
        assert memo is not None
        document = secret(name, **config)
        uid = uid or self.uid(name)
        told = Secret(Metadata(name, uid, str(version), "default"), data=json_raw(document["data"]))
        self.applier._apply([WatchEvent("default", memo.known["default"].epoch, told, deleted, 0.0)])

    def uid(self, name: str) -> str:
        return str(self.kube.store.objects["default", name].document()["metadata"]["uid"])

    @property
    def served(self) -> Snapshot[Target]:
        assert self.sink.snapshot is not None
        return self.sink.snapshot

    @property
    def shown(self) -> dict[str, str]:
        """Each target: whether it is fresh."""
        return {name: "fresh" if one.stale_since is None else "stale" for name, one in self.served.items.items()}


def json_raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def called(secret_name: str, target: str, **changes: Any) -> Any:
    """A Secret with a target that is called something else."""
    config = {"name": target, "type": "slack", "format": "slack", "url": "https://example.com/canary-1"} | changes
    return raw_secret(secret_name, "default", {"config": json.dumps(config).encode()})


def asked(request: Asked) -> str:
    if request.path.startswith(SINGLE):
        return request.path.removeprefix(SINGLE)
    return request.query.get("fieldSelector") or request.headers["accept"]


@pytest.fixture
def cluster(tmp_path: Path, kube: KubeServer) -> Iterator[Cluster]:
    it = Cluster(tmp_path / "kubeconfig", kube)
    assert it.refresh() == [PROTOBUF]
    yield it
    it.source.close()


class TestOneSecret:
    def test_it_alone_is_read_and_whatever_else_changed_is_not(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.store.replace(secret("target-00001", enabled=False))
        kube.store.replace(secret("target-00002", enabled=False))
        kube.store.create(secret("new"))
        before = cluster.served
        assert cluster.refresh("target-00001") == ["target-00001"]
        assert [one.enabled for one in cluster.served.items.values()] == [True, False, True]
        assert cluster.served.digest != before.digest
        stats = cluster.served.stats
        assert (stats["secrets_valid"], stats["secrets_invalid"], stats["secrets_skipped"]) == (1, 0, 0)

    def test_what_has_not_changed_is_not_parsed_again(self, cluster: Cluster) -> None:
        before = cluster.served
        assert cluster.refresh("target-00001") == ["target-00001"]
        assert cluster.served.items is before.items and cluster.served.digest == before.digest

    def test_the_list_after_it_counts_every_secret_again(self, cluster: Cluster) -> None:
        cluster.refresh("target-00001")
        assert cluster.refresh() == [METADATA]
        assert cluster.served.stats["secrets_valid"] == 3

    @pytest.mark.parametrize("everywhere", [False, True])
    def test_it_is_found_in_its_namespace(self, tmp_path: Path, kube: KubeServer, everywhere: bool) -> None:
        kube.store.create(secret("elsewhere", "other"))
        kube.store.create(secret("third", "third"))
        it = Cluster(tmp_path / "other", kube, namespaces=("*",) if everywhere else ("default", "other"))
        try:
            it.refresh()
            kube.store.replace(secret("elsewhere", "other", enabled=False))
            it.refresh("elsewhere")
            assert [one.path for one in kube.requests] == ["/api/v1/namespaces/other/secrets/elsewhere"]
            assert not it.served.items["elsewhere"].enabled
        finally:
            it.source.close()

    def test_one_that_is_invalid_now_is_served_stale_and_then_well_again(
        self, cluster: Cluster, kube: KubeServer
    ) -> None:
        kube.store.replace(raw_secret("target-00001", "default", BAD))
        assert cluster.refresh("target-00001") == ["target-00001"]
        assert cluster.shown == {"target-00000": "fresh", "target-00001": "stale", "target-00002": "fresh"}
        assert cluster.served.stats["secrets_invalid"] == 1
        kube.store.replace(secret("target-00001", enabled=False))
        assert cluster.refresh("target-00001") == ["target-00001"]
        assert cluster.shown["target-00001"] == "fresh" and not cluster.served.items["target-00001"].enabled

    def test_a_rejected_one_is_asked_for_by_the_name_of_its_secret(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.store.create(raw_secret("bad", "default", BAD))
        cluster.refresh()
        assert len(cluster.served.rejected) == 1
        kube.store.replace(called("bad", "good-now"))
        assert cluster.refresh("bad") == ["bad"]
        assert "good-now" in cluster.served.items and not cluster.served.rejected

    def test_a_target_with_another_name_takes_the_place_of_the_old_one(
        self, cluster: Cluster, kube: KubeServer
    ) -> None:
        kube.store.replace(called("target-00001", "renamed"))
        assert cluster.refresh("target-00001") == ["target-00001"]
        assert list(cluster.served.items) == ["renamed", "target-00000", "target-00002"]
        kube.store.replace(called("target-00001", "renamed", enabled=False))
        assert cluster.refresh("renamed") == ["target-00001"]
        assert not cluster.served.items["renamed"].enabled

    def test_a_name_that_becomes_free_goes_to_the_one_that_waited_for_it(
        self, cluster: Cluster, kube: KubeServer
    ) -> None:
        kube.store.create(called("waits", "target-00001"))
        cluster.refresh()
        assert len(cluster.served.rejected) == 1
        kube.store.replace(called("target-00001", "renamed"))
        assert cluster.refresh("target-00001") == ["target-00001"]
        assert cluster.served.items["target-00001"].secret == "waits" and not cluster.served.rejected

    def test_one_without_its_label_goes(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.store.replace(secret("target-00001", labels={"publishing-target": "false"}))
        assert cluster.refresh("target-00001") == ["target-00001"]
        assert list(cluster.served.items) == ["target-00000", "target-00002"]

    def test_one_made_anew_under_its_old_name_replaces_the_old_one(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.store.delete("default", "target-00001")
        kube.store.create(secret("target-00001", enabled=False))
        assert cluster.refresh("target-00001") == ["target-00001"]
        assert cluster.shown == dict.fromkeys(("target-00000", "target-00001", "target-00002"), "fresh")
        assert not cluster.served.items["target-00001"].enabled


class TestGone:
    def test_one_that_is_gone_goes_at_the_version_that_a_list_of_its_name_has(
        self, cluster: Cluster, kube: KubeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        kube.store.delete("default", "target-00001")
        assert cluster.refresh("target-00001") == ["target-00001", "metadata.name=target-00001"]
        assert list(cluster.served.items) == ["target-00000", "target-00002"]
        assert "Target is gone at its source: target-00001" in caplog.messages

    def test_a_404_that_is_not_the_servers_removes_nothing(self, cluster: Cluster, kube: KubeServer) -> None:
        rule = kube.fault(faults.status(404, body=b"404 page not found"), SINGLE)
        kube.store.replace(secret("target-00001", enabled=False))
        assert cluster.refresh("target-00001") == ["target-00001", "metadata.name=target-00001"]
        assert rule.fired == 1 and not cluster.served.items["target-00001"].enabled

    def test_events_of_before_it_was_gone_do_not_bring_it_back(self, cluster: Cluster, kube: KubeServer) -> None:
        uid = cluster.uid("target-00001")
        version = kube.store.replace(secret("target-00001", enabled=False)).version
        kube.store.delete("default", "target-00001")
        cluster.refresh("target-00001")
        cluster.tell("target-00001", version, uid=uid, enabled=False)
        assert "target-00001" not in cluster.served.items
        cluster.tell("target-00001", version + 1, uid=uid, deleted=True)
        assert "target-00001" not in cluster.served.items
        assert cluster.refresh() == [METADATA]
        memo = memo_of(cluster.served)
        assert memo is not None and memo.known["default"].gone == {}

    def test_one_made_anew_meanwhile_stays(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.store.delete("default", "target-00001")
        attempt = cluster.attempt("target-00001")
        made = kube.store.create(secret("target-00001", enabled=False))
        cluster.tell("target-00001", made.version, enabled=False)
        assert attempt.rebase is not None
        cluster.publish(attempt.rebase(cluster.served))
        assert not cluster.served.items["target-00001"].enabled


class TestWatch:
    def test_what_a_watch_told_meanwhile_is_kept(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.store.replace(secret("target-00001", url="https://example.com/read"))
        attempt = cluster.attempt("target-00001")
        newer = kube.store.replace(secret("target-00001", url="https://example.com/told"))
        other = kube.store.replace(secret("target-00002", enabled=False))
        cluster.tell("target-00001", newer.version, url="https://example.com/told")
        cluster.tell("target-00002", other.version, enabled=False)
        assert attempt.rebase is not None
        cluster.publish(attempt.rebase(cluster.served))
        assert cluster.served.items["target-00001"].url.reveal() == "https://example.com/told"
        assert not cluster.served.items["target-00002"].enabled

    def test_older_events_that_come_late_change_nothing(self, cluster: Cluster, kube: KubeServer) -> None:
        older = kube.store.replace(secret("target-00001", url="https://example.com/older"))
        kube.store.replace(secret("target-00001", url="https://example.com/newer"))
        cluster.refresh("target-00001")
        cluster.tell("target-00001", older.version, url="https://example.com/older")
        assert cluster.served.items["target-00001"].url.reveal() == "https://example.com/newer"

    def test_one_that_a_watch_deleted_meanwhile_does_not_come_back(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.store.replace(secret("target-00001", enabled=False))
        uid, attempt = cluster.uid("target-00001"), cluster.attempt("target-00001")
        kube.store.delete("default", "target-00001")
        cluster.tell("target-00001", kube.store.version, uid=uid, deleted=True)
        assert attempt.rebase is not None
        cluster.publish(attempt.rebase(cluster.served))
        assert "target-00001" not in cluster.served.items

    def test_a_watch_that_doubts_what_is_known_makes_a_list(
        self, cluster: Cluster, kube: KubeServer, tmp_path: Path
    ) -> None:
        it = Cluster(tmp_path / "watched", kube, watch=True)
        try:
            it.refresh()
            reflector = it.source.watches(it.sink)[0]
            assert it.refresh("target-00001") == ["target-00001"]
            reflector._distrusted = reflector._serial()  # type: ignore[attr-defined]
            assert it.refresh("target-00001") == [METADATA]
            assert it.refresh("target-00001") == ["target-00001"]
            reflector.relist("default")  # type: ignore[attr-defined]
            assert it.refresh("target-00001") == [METADATA]
        finally:
            it.source.close()


class TestEverythingInstead:
    """Where one Secret does not tell the truth, everything is listed."""

    def test_before_anything_is_known(self, tmp_path: Path, kube: KubeServer) -> None:
        it = Cluster(tmp_path / "other", kube)
        try:
            assert it.refresh("target-00001") == [PROTOBUF]
            assert len(it.served.items) == 3
        finally:
            it.source.close()

    def test_for_a_name_that_nobody_knows_any_more(self, cluster: Cluster) -> None:
        assert cluster.refresh("unknown") == [METADATA]

    def test_without_the_right_to_get_one(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.denied = {("get", "default")}
        kube.store.replace(secret("target-00001", enabled=False))
        kube.store.create(secret("new"))
        assert cluster.refresh("target-00001") == ["target-00001", METADATA, "new", PROTOBUF]
        assert not cluster.served.items["target-00001"].enabled and "new" in cluster.served.items

    @pytest.mark.parametrize("code", [403, 406, 410])
    def test_where_one_cannot_be_had_alone(self, cluster: Cluster, kube: KubeServer, code: int) -> None:
        rule = kube.fault(faults.status(code), SINGLE, times=1)
        kube.store.replace(secret("target-00001", enabled=False))
        assert cluster.refresh("target-00001") == ["target-00001", METADATA, "target-00001"]
        assert rule.fired == 1 and not cluster.served.items["target-00001"].enabled

    def test_after_history_went_back(
        self, cluster: Cluster, kube: KubeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        backup = kube.store.backup()
        kube.store.replace(secret("target-00001", enabled=False))
        cluster.refresh("target-00001")
        kube.store.restore(backup)
        caplog.clear()
        assert cluster.refresh("target-00001") == ["target-00001", METADATA, PROTOBUF]
        assert cluster.served.items["target-00001"].enabled
        assert caplog.messages == ["resourceVersions went back; all Secrets are read again"]

    def test_after_history_went_back_to_before_it_was_there(self, cluster: Cluster, kube: KubeServer) -> None:
        backup = kube.store.backup()
        kube.store.create(secret("new"))
        cluster.refresh()
        kube.store.restore(backup)
        assert cluster.refresh("new") == ["new", "metadata.name=new", METADATA, PROTOBUF]
        assert cluster.shown == dict.fromkeys(("target-00000", "target-00001", "target-00002"), "fresh")

    def test_a_list_that_is_older_than_what_was_read_is_noticed(self, cluster: Cluster, kube: KubeServer) -> None:
        backup = kube.store.backup()
        kube.store.create(secret("in-between"))
        kube.store.replace(secret("target-00001", enabled=False))
        cluster.refresh("target-00001")
        kube.store.restore(backup)
        kube.store.create(secret("another"))
        assert cluster.refresh() == [METADATA, PROTOBUF]
        assert cluster.served.items["target-00001"].enabled and "another" in cluster.served.items

    def test_of_another_server(self, cluster: Cluster) -> None:
        with KubeServer() as other:
            fill(other.store, 1, prefix="other")
            kubeconfig(cluster.file, other.url)
            cluster.attempt("target-00001")
            assert [asked(one) for one in other.requests] == [PROTOBUF]

    def test_of_another_namespace(self, cluster: Cluster, kube: KubeServer, tmp_path: Path) -> None:
        kube.store.create(secret("elsewhere", "other"))
        it = Cluster(tmp_path / "own", kube, namespaces=())
        try:
            it.refresh()
            kubeconfig(it.file, kube.url, namespace="other")
            it.refresh("target-00001")
            assert list(it.served.items) == ["elsewhere"]
        finally:
            it.source.close()

    def test_the_log_says_why(self, cluster: Cluster, kube: KubeServer, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        kube.denied = {("get", "default")}
        cluster.refresh("target-00001")
        (line,) = [one for one in caplog.records if "instead of one target" in one.message]
        assert vars(line)["error"] == "the API server answered 403" + HINTS[403]

    def test_while_a_namespace_fails(self, tmp_path: Path, kube: KubeServer) -> None:
        kube.store.create(secret("elsewhere", "other"))
        it = Cluster(tmp_path / "other", kube, namespaces=("default", "other"))
        try:
            it.refresh()
            kube.denied = {("list", "other")}
            with pytest.raises(Partial) as raised:
                it.refresh()
            it.publish(raised.value.snapshot)
            kube.store.replace(secret("target-00001", enabled=False))
            with pytest.raises(Partial) as raised:
                it.refresh("target-00001")
            assert not raised.value.snapshot.items["target-00001"].enabled
            kube.denied = set()
            it.publish(raised.value.snapshot)
            it.refresh("target-00001")
            assert it.refresh("target-00001") == ["target-00001"]
        finally:
            it.source.close()

    def test_while_the_last_list_of_everything_failed(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.fault(faults.status(503), times=1)
        with pytest.raises(Transient):
            cluster.refresh()
        assert cluster.refresh("target-00001") == [METADATA]
        assert cluster.refresh("target-00001") == ["target-00001"]

    def test_at_the_second_attempt(self, cluster: Cluster, kube: KubeServer) -> None:
        request = Request(Trigger.MANUAL, scope="target-00001")
        kube.fault(faults.status(500), SINGLE, times=1)
        kube.store.create(secret("new"))
        with pytest.raises(Transient):
            cluster.refresh(request=request)
        assert cluster.refresh(request=request) == [METADATA, "new"]

    def test_where_more_than_a_few_secrets_have_the_name(self, tmp_path: Path, kube: KubeServer) -> None:
        for number in range(SINGLES + 1):
            kube.store.create(raw_secret("bad", f"n{number:02}", BAD))
        it = Cluster(tmp_path / "other", kube, namespaces=("*",))
        try:
            it.refresh()
            assert it.refresh("bad") == [METADATA]
            kube.store.delete("n00", "bad")
            it.refresh()
            it.refresh("bad")
            assert len(kube.requests) == SINGLES
        finally:
            it.source.close()

    def test_where_versions_are_no_numbers(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.fault(faults.edited(lambda one: one["metadata"].update(resourceVersion="x")), SINGLE, times=1)
        assert cluster.refresh("target-00001") == ["target-00001", METADATA]


class TestErrors:
    @pytest.mark.parametrize(
        ("action", "error_type"),
        [
            (faults.status(500), "k8s_api"),
            (faults.status(429), "k8s_api"),
            (faults.reset("headers"), "network"),
            (faults.truncated("length"), "parse"),
            (faults.page(b"{"), "parse"),
            (faults.page(b"[]"), "parse"),
            (faults.page(b"<html>", "text/html"), "parse"),
            (faults.edited(lambda one: one["metadata"].update(name="other")), "parse"),
            (faults.edited(lambda one: one["metadata"].update(uid="")), "parse"),
            (faults.edited(lambda one: one.update(kind="ConfigMap")), "parse"),
        ],
    )
    def test_an_answer_that_is_no_secret_is_the_attempts_error(
        self, cluster: Cluster, kube: KubeServer, action: Any, error_type: str
    ) -> None:
        before, rule = cluster.sink.snapshot, kube.fault(action, SINGLE, times=1)
        kube.store.replace(secret("target-00001", enabled=False))
        error = failed(cluster, "target-00001")
        assert error.error_type == error_type and "canary" not in str(error)
        assert rule.fired == 1 and cluster.sink.snapshot is before

    def test_one_that_is_too_large_is_the_attempts_error(
        self, cluster: Cluster, kube: KubeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(body, "MAX_BYTES", 100)
        assert failed(cluster, "target-00001").error_type == "too_large"

    def test_tls_that_fails_makes_the_client_begin_anew(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*arguments: Any, **named: Any) -> None:
            raise Permanent("the API server's certificate is not trusted", "tls")

        session = cluster.source._client._session
        monkeypatch.setattr(cluster.source._client, "get", fail)
        assert failed(cluster, "target-00001").error_type == "tls"
        assert session is not None and cluster.source._client._session is None


def failed(cluster: Cluster, scope: str) -> AttemptError:
    with pytest.raises(AttemptError) as raised:
        cluster.refresh(scope)
    return raised.value


class TestCycle:
    """With the engine, its threads and its retries."""

    def test_a_server_that_says_nothing_is_a_timeout_and_the_retry_lists_everything(
        self, tmp_path: Path, kube: KubeServer
    ) -> None:
        def says_nothing(exchange: Exchange) -> bool:
            world.worker._refresher._timeout = TIMEOUT
            return faults.silence(exchange)

        refresh = refresh_settings(max_retries=1)
        settings = target_settings(kubeconfig(tmp_path / "kubeconfig", kube.url), refresh)
        world = World(kube, settings)
        world.worker.start()
        try:
            eventually(lambda: world.worker.get_status().succeeded == 1, "the first list")
            before = len(world.wait_for_outcomes(1))
            rule = kube.fault(says_nothing, SINGLE, times=1)
            kube.store.replace(secret("target-00001", enabled=False))
            kube.store.create(secret("new"))
            with world.soon_out_of_time():
                request = world.worker.refresh_now(scope="target-00001")
                assert request.done.wait(60)
            first, second = world.outcomes[before:]
            assert (first.error_type, first.result, second.result) == ("timeout", Result.FAILED, Result.SUCCESS)
            assert rule.fired == 1 and first.request_id == second.request_id == request.request_id
            assert "new" in world.served.items and not world.served.items["target-00001"].enabled
        finally:
            world.worker.stop()

    def test_a_watch_and_refreshes_of_one_target_together_serve_what_the_cluster_has(
        self, tmp_path: Path, kube: KubeServer
    ) -> None:
        settings = target_settings(kubeconfig(tmp_path / "kubeconfig", kube.url), watch=True)
        world = World(kube, settings)
        world.worker.start()
        try:
            world.connected()
            reads = sum(asked(one).startswith("target-") for one in kube.requests)
            for number in range(30):
                name = f"target-{number % 3:05}"
                if number % 7 == 6:
                    kube.store.delete("default", name)
                    kube.store.create(secret(name, url=f"https://example.com/{number}"))
                else:
                    kube.store.replace(secret(name, url=f"https://example.com/{number}"))
                request = world.worker.refresh_now(scope=name)
                assert request.done.wait(60) and request.outcome is not None
                assert request.outcome.result is Result.SUCCESS
                assert world.served.items[name].url.reveal() == f"https://example.com/{number}"
            world.serves_what_the_cluster_has()
            assert sum(asked(one).startswith("target-") for one in kube.requests) == reads + 30
        finally:
            world.worker.stop()


rounds = st.lists(
    st.tuples(st.sampled_from(["good", "bad", "renamed", "other-name", "no-label", "delete", "anew"]), names),
    min_size=1,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[KubeServer]:
    with KubeServer() as server:
        yield server


def change(store: Store, what: str, name: str) -> None:
    if what == "anew":
        edit(store, "delete", name)
        edit(store, "good", name)
    elif what == "renamed":
        there = ("default", name) in store.objects
        (store.replace if there else store.create)(called(name, "t1"))
    else:
        edit(store, what, name)


def asked_for(cluster: Cluster, secret_name: str) -> str | None:
    """The name by which a Secret can be asked for now, if there is one."""
    for name, target in cluster.served.items.items():
        if target.secret == secret_name:
            return name
    rejected = [one.origin["secret"] for one in cluster.served.rejected]
    return secret_name if secret_name in rejected and secret_name not in cluster.served.items else None


@pytest.mark.no_cover
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds)
def test_selective_and_full_refreshes_end_the_same_on_any_history(
    shared: KubeServer, tmp_path: Path, done: list[tuple[str, str]]
) -> None:
    shared.store = Store()
    fill(shared.store, 5, prefix="t")
    selective, full = Cluster(tmp_path / "a", shared), Cluster(tmp_path / "b", shared)
    try:
        selective.refresh()
        full.refresh()
        for what, name in done:
            change(shared.store, what, name)
            selective.refresh(asked_for(selective, name))
            full.refresh()
            assert selective.served.digest == full.served.digest
            assert selective.served.items == full.served.items
            assert selective.served.rejected == full.served.rejected
        selective.refresh()
        assert memo_of(selective.served) is not None
        assert known(selective) == known(full) and selective.served.digest == full.served.digest
    finally:
        selective.source.close()
        full.source.close()


def known(cluster: Cluster) -> dict[str, tuple[str, Any]]:
    """All that is known but creation times, which JSON and protobuf write in two ways."""
    memo = memo_of(cluster.served)
    assert memo is not None
    found = memo.known["default"].known.items()
    return {uid: (version, msgspec.structs.replace(one, created="")) for uid, (version, one) in found}


def test_the_labels_of_the_answer_decide_as_the_server_does(tmp_path: Path, kube: KubeServer) -> None:
    selector = "publishing-target=true,tier in (a,b),!paused"
    for number, labels in enumerate(({"tier": "a"}, {"tier": "a", "paused": ""}, {"tier": "c"}, {})):
        kube.store.create(secret(f"one-{number}", labels={"publishing-target": "true", "tier": "b"}))
        assert labels is not None
    it = Cluster(tmp_path / "other", kube, label_selector=selector)
    try:
        it.refresh()
        assert len(it.served.items) == 4
        for number, labels in enumerate(({"tier": "a"}, {"tier": "a", "paused": ""}, {"tier": "c"}, {})):
            kube.store.replace(secret(f"one-{number}", labels={"publishing-target": "true"} | labels))
            assert it.refresh(f"one-{number}") == [f"one-{number}"]
        assert list(it.served.items) == ["one-0"]
        digest = it.served.digest
        it.refresh()
        assert it.served.digest == digest
    finally:
        it.source.close()


def test_no_credential_is_in_what_is_kept_of_an_answer(cluster: Cluster, kube: KubeServer) -> None:
    kube.store.replace(secret("target-00001", enabled=False))
    cluster.refresh("target-00001")
    assert "canary" not in repr(cluster.served)
    assert base64.b64encode(b"canary").decode() not in repr(cluster.served)
