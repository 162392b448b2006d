"""A refresh without lost events reads metadata and the few changed Secrets only, with the result of a full list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alert_refresh.engine import Deadline, Request, Snapshot, Transient, Trigger
from alert_refresh.targets.kubernetes.list import METADATA, PROTOBUF, SINGLES
from alert_refresh.targets.kubernetes.snapshot import memo_of
from alert_refresh.targets.kubernetes.source import KubernetesSource
from tests.fakes import FakeClock
from tests.faults.kubernetes import target_settings
from tests.kube import KubeServer, faults, fill, kubeconfig, raw_secret, secret
from tests.kube.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from alert_refresh.targets.target import Target
    from tests.kube import Exchange
    from tests.kube import Request as Asked

SINGLE = "/api/v1/namespaces/default/secrets/"


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        fill(server.store, 30)
        yield server


class Cluster:
    """A source on the stand-in, refreshed by the test; `last` is what it returned last."""

    def __init__(self, file: Path, kube: KubeServer) -> None:
        self.clock = FakeClock()
        self.kube = kube
        self.source = KubernetesSource(target_settings(kubeconfig(file, kube.url)), self.clock)
        self.last: Snapshot[Target] | None = None

    def refresh(self, trigger: Trigger = Trigger.MANUAL) -> list[str]:
        """What was asked for: the Accept header of a list, the name of a Secret read alone."""
        self.kube.requests.clear()
        self.last = self.source.refresh(self.last, Request(trigger), Deadline(self.clock, 60.0))
        return [asked(one) for one in self.kube.requests]

    @property
    def items(self) -> dict[str, Target]:
        assert self.last is not None
        return dict(self.last.items)

    @property
    def known(self) -> tuple[Any, ...]:
        """What is known, with what counts as drift unless an event tells of it."""
        memo = memo_of(self.last)
        assert memo is not None and self.last is not None
        (one,) = memo.known.values()
        return one.known, one.version, one.gone, one.unconfirmed, self.last.digest, self.last.rejected


def asked(request: Asked) -> str:
    return request.path.removeprefix(SINGLE) if request.path.startswith(SINGLE) else request.headers["accept"]


@pytest.fixture
def cluster(tmp_path: Path, kube: KubeServer) -> Iterator[Cluster]:
    it = Cluster(tmp_path / "kubeconfig", kube)
    assert it.refresh(Trigger.STARTUP) == [PROTOBUF]
    yield it
    it.source.close()


class TestTrust:
    @pytest.mark.parametrize("trigger", [Trigger.MANUAL, Trigger.PERIODIC])
    def test_what_did_not_change_is_not_read(self, cluster: Cluster, trigger: Trigger) -> None:
        before = cluster.last
        assert cluster.refresh(trigger) == [METADATA]
        assert before is not None and cluster.last is not None
        assert cluster.last.items is before.items and cluster.last.digest == before.digest

    @pytest.mark.parametrize("trigger", [Trigger.STARTUP, Trigger.WATCH, Trigger.FILE])
    def test_a_start_and_a_relist_read_everything(self, cluster: Cluster, trigger: Trigger) -> None:
        assert cluster.refresh(trigger) == [PROTOBUF]

    def test_a_manual_refresh_at_a_cold_start_reads_everything(self, tmp_path: Path, kube: KubeServer) -> None:
        it = Cluster(tmp_path / "other", kube)
        try:
            assert it.refresh() == [PROTOBUF]
        finally:
            it.source.close()

    def test_history_that_went_back_reads_everything(self, cluster: Cluster, kube: KubeServer) -> None:
        backup = kube.store.backup()
        kube.store.replace(secret("target-00000", enabled=False))
        cluster.refresh()
        kube.store.restore(backup)
        assert cluster.refresh() == [METADATA, PROTOBUF]
        assert cluster.items["target-00000"].enabled

    def test_a_server_without_metadata_lists_answers_with_a_full_list(self, cluster: Cluster, kube: KubeServer) -> None:
        def full(exchange: Exchange) -> bool:
            return exchange.wire.respond(exchange.compute(PROTOBUF))

        kube.fault(full)
        kube.store.replace(secret("target-00000", enabled=False))
        assert cluster.refresh() == [METADATA]
        assert not cluster.items["target-00000"].enabled

    def test_a_server_that_answers_in_json_answers_with_a_full_list(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.fault(lambda exchange: exchange.wire.respond(exchange.compute("application/json")), times=1)
        kube.store.replace(secret("target-00000", enabled=False))
        assert cluster.refresh() == [METADATA]
        assert not cluster.items["target-00000"].enabled


class TestSingles:
    def test_the_few_that_differ_are_read_one_by_one(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.store.replace(secret("target-00007", enabled=False))
        kube.store.create(secret("new"))
        kube.store.delete("default", "target-00001")
        assert cluster.refresh() == [METADATA, "new", "target-00007"]
        assert not cluster.items["target-00007"].enabled
        assert cluster.items.keys() == {key[1] for key in kube.store.objects}

    def test_a_recreated_secret_with_the_same_name_is_read(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.store.delete("default", "target-00001")
        kube.store.create(secret("target-00001", enabled=False))
        assert cluster.refresh() == [METADATA, "target-00001"]
        assert not cluster.items["target-00001"].enabled

    @pytest.mark.parametrize(("count", "full"), [(SINGLES, False), (SINGLES + 1, True), (30, True)])
    def test_many_that_differ_are_listed(self, cluster: Cluster, kube: KubeServer, count: int, full: bool) -> None:
        names = [f"target-{number:05}" for number in range(count)]
        for name in names:
            kube.store.replace(secret(name, enabled=False))
        assert cluster.refresh() == [METADATA, *([PROTOBUF] if full else names)]
        assert sum(not one.enabled for one in cluster.items.values()) == count

    def test_without_the_right_to_get_one_everything_is_listed(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.denied = {("get", "default")}
        kube.store.create(secret("new"))
        assert cluster.refresh() == [METADATA, "new", PROTOBUF]
        assert "new" in cluster.items

    @pytest.mark.parametrize("code", [404, 406, 410])
    def test_one_that_cannot_be_had_alone_makes_a_list(self, cluster: Cluster, kube: KubeServer, code: int) -> None:
        rule = kube.fault(faults.status(code), SINGLE)
        kube.store.create(secret("new"))
        assert cluster.refresh() == [METADATA, "new", PROTOBUF]
        assert "new" in cluster.items and rule.fired == 1

    def test_any_other_error_is_the_attempts(self, cluster: Cluster, kube: KubeServer) -> None:
        before = cluster.last
        kube.fault(faults.status(503), SINGLE, times=1)
        kube.store.create(secret("new"))
        with pytest.raises(Transient) as raised:
            cluster.refresh()
        assert raised.value.error_type == "k8s_api" and cluster.last is before
        assert cluster.refresh() == [METADATA, "new"]

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda store: store.delete("default", "new"), id="deleted"),
            pytest.param(lambda store: store.replace(secret("new", enabled=False)), id="changed"),
            pytest.param(lambda store: store.replace(secret("new", labels={})), id="without-its-label"),
            pytest.param(
                lambda store: (store.delete("default", "new"), store.create(secret("new", enabled=False))), id="anew"
            ),
        ],
    )
    def test_what_changes_between_the_two_makes_a_list(
        self, cluster: Cluster, kube: KubeServer, change: Callable[[Store], object]
    ) -> None:
        def act(exchange: Exchange) -> bool:
            change(kube.store)
            return exchange.answer()

        rule = kube.fault(act, SINGLE, times=1)
        kube.store.create(secret("new"))
        assert cluster.refresh() == [METADATA, "new", PROTOBUF]
        assert rule.fired == 1
        there = kube.store.objects.get(("default", "new"))
        assert ("new" in cluster.items) is (there is not None and bool(there.labels))
        assert "new" not in cluster.items or not cluster.items["new"].enabled

    def test_one_that_is_answered_in_json_makes_a_list(self, cluster: Cluster, kube: KubeServer) -> None:
        kube.fault(lambda exchange: exchange.wire.respond(exchange.compute("application/json")), SINGLE)
        kube.store.create(secret("new"))
        assert cluster.refresh() == [METADATA, "new", PROTOBUF]

    @pytest.mark.parametrize("edit", [lambda body: body[:-1], lambda body: b"{}", lambda body: body[:30]])
    def test_one_that_is_malformed_is_a_parse_error(
        self, cluster: Cluster, kube: KubeServer, edit: Callable[[bytes], bytes]
    ) -> None:
        def act(exchange: Exchange) -> bool:
            response = exchange.compute()
            response.blocks = [edit(response.body())]
            return exchange.wire.respond(response)

        rule = kube.fault(act, SINGLE)
        kube.store.create(secret("new"))
        with pytest.raises(Transient) as raised:
            cluster.refresh()
        assert raised.value.error_type == "parse" and rule.fired == 1


names = st.integers(0, 24).map(lambda number: f"t{number}")
edits = st.tuples(st.sampled_from(["good", "bad", "other-name", "no-label", "delete", "delete"]), names)
rounds = st.lists(st.lists(edits, max_size=25), min_size=1, max_size=5)


def edit(store: Store, what: str, name: str) -> None:
    there = ("default", name) in store.objects
    if what == "delete":
        if there:
            store.delete("default", name)
        return
    document = secret(name, url=f"https://example.com/{store.version}")
    if what == "bad":
        document = raw_secret(name, "default", {"config": b"[]"})
    if what == "other-name":
        document = raw_secret(name, "default", {"config": json.dumps({"name": "t1"}).encode()})
    if what == "no-label":
        document["metadata"]["labels"] = {}
    (store.replace if there else store.create)(document)


@pytest.fixture(scope="module")
def shared() -> Iterator[KubeServer]:
    with KubeServer() as server:
        yield server


@pytest.mark.no_cover
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds)
def test_both_ways_end_the_same_on_any_history(
    shared: KubeServer, tmp_path: Path, done: list[list[tuple[str, str]]]
) -> None:
    shared.store = Store()
    fill(shared.store, 5, prefix="t")
    by_metadata, whole = Cluster(tmp_path / "a", shared), Cluster(tmp_path / "b", shared)
    try:
        for steps in ([], *done):
            for step in steps:
                edit(shared.store, *step)
            by_metadata.refresh()
            whole.refresh(Trigger.WATCH)
            assert by_metadata.known == whole.known
    finally:
        by_metadata.source.close()
        whole.source.close()
