"""After any steps on two clusters a completed list shows the state of one cluster, never a mix of both."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alert_refresh.engine import AttemptError, Deadline, Partial, Request, Snapshot, Trigger
from alert_refresh.targets.bulkhead import Bulkhead
from alert_refresh.targets.kubernetes.applier import Applier
from alert_refresh.targets.kubernetes.events import WatchEvent, decode
from alert_refresh.targets.kubernetes.snapshot import memo_of
from alert_refresh.targets.kubernetes.source import KubernetesSource
from tests.fakes import FakeClock, FakeSink
from tests.faults.kubernetes import target_settings
from tests.kube import KubeServer, kubeconfig, raw_secret, secret
from tests.kube.selectors import parse_labels
from tests.kube.store import Backup, Query, Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.kube import Exchange
    from tests.kube.store import Change

    Step = tuple[Any, ...]

NAMESPACES = ("a", "b")
NAMES = ("one", "two", "three")


@dataclass
class Watch:
    """One watch of a namespace, as far as its reflector would have read it."""

    kube: KubeServer
    epoch: int
    position: int
    restored: int


@dataclass
class Model:
    """Two clusters, a source that reads the one that the kubeconfig names, and what is served."""

    kubes: tuple[KubeServer, KubeServer]
    file: Path
    shared: bool = False
    """Whether the second cluster begins as a copy of the first."""
    used: int = 0
    watches: dict[str, Watch] = field(default_factory=dict)
    late: list[WatchEvent] = field(default_factory=list)
    backups: dict[int, Backup] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sink, self.clock = FakeSink(), FakeClock()
        self._name()
        self.source = KubernetesSource(target_settings(self.file, namespaces=NAMESPACES), self.clock)
        self.applier = Applier(self.sink, self.clock, Bulkhead(), deny_private=False)

    @property
    def kube(self) -> KubeServer:
        return self.kubes[self.used]

    def _name(self) -> None:
        kubeconfig(self.file, self.kube.url, namespace=f"n{self.used}")

    def step(self, step: Step) -> None:
        getattr(self, step[0])(*step[1:])
        self.is_no_mix()

    def write(self, namespace: str, name: str, what: str) -> None:
        store, name = self.kube.store, f"{namespace}-{name}"
        there = (namespace, name) in store.objects
        if what == "delete":
            if there:
                store.delete(namespace, name)
            return
        # What a Secret holds depends on the cluster and the version alone, since that is what tells versions apart.
        url = f"https://{self.used}.example.com/{store.version + 1}"
        document = secret(name, namespace, url=url)
        if store.version % 3 == 0:
            document = raw_secret(name, namespace, {"config": json.dumps([url]).encode()})
        (store.replace if there else store.create)(document)

    def backup(self) -> None:
        self.backups[self.used] = self.kube.store.backup()

    def restore(self) -> None:
        """Disconnect the earlier watches; their unread events may still arrive."""
        if self.used in self.backups:
            for namespace, watch in self.watches.items():
                if watch.kube is self.kube and watch.restored == self.kube.store.restored:
                    self.late += self._events(namespace, watch)
            self.kube.store.restore(self.backups[self.used])

    def rewind(self, lost: Sequence[Step]) -> None:
        """These steps happen, are sent as far as a watch reads them, and are undone by a restore."""
        before, self.backups[self.used] = self.backups.get(self.used), self.kube.store.backup()
        for step in lost:
            self.step(step)
        self.restore()
        if before is not None:
            self.backups[self.used] = before

    def swap(self) -> None:
        self.used = 1 - self.used
        self._name()

    def events(self, namespace: str, count: int) -> None:
        """Read a few more events of the watch of a namespace, if there are any."""
        watch = self._watch(namespace)
        if watch is not None:
            events = self._events(namespace, watch)[:count]
            watch.position = max([watch.position, *(int(one.version) for one in events)])
            self._apply(events)

    def tardy(self, count: int) -> None:
        """Remaining events of a disconnected watch arrive."""
        events, self.late = self.late[:count], self.late[count:]
        self._apply(events)

    def refresh(self, meanwhile: Sequence[Step], scope: str | None = None) -> None:
        """List; these steps happen after the second list was made and before it is sent.

        With a `scope` that is known: refresh it alone; they happen after its Secret was read and before it is sent.
        """

        def act(exchange: Exchange) -> bool:
            response = exchange.compute()
            response.body()
            for step in meanwhile:
                self.step(step)
            return exchange.wire.respond(response)

        used, before = self.used, self.sink.snapshot
        alone = before is not None and scope in before.items
        rule = self.kube.fault(act, "" if alone else "/api/v1/namespaces/b/", times=1)
        with contextlib.suppress(AttemptError):
            try:
                request = Request(Trigger.MANUAL, scope=scope)
                snapshot = self.source.refresh(before, request, Deadline(self.clock, 60.0))
            except Partial as partial:
                snapshot = partial.snapshot
            while self.sink.snapshot is not before:
                assert snapshot.rebase is not None and self.sink.snapshot is not None
                before = self.sink.snapshot
                snapshot = snapshot.rebase(before)
            self.sink.snapshot = snapshot
        assert rule.fired == 1
        self.kubes[used].faults.clear()

    def _watch(self, namespace: str) -> Watch | None:
        memo = memo_of(self.sink.snapshot)
        listed = memo.known.get(namespace) if memo is not None else None
        if memo is None or listed is None:
            return None
        watch = self.watches.get(namespace)
        if watch is None or watch.epoch != listed.epoch:
            if self.source._client.server() != memo.server:
                return None
            watch = self.watches[namespace] = Watch(self.kube, listed.epoch, listed.version, -1)
        if watch.restored != watch.kube.store.restored:
            if self.source._client.server() != memo.server or watch.position > watch.kube.store.version:
                return None
            watch.restored, watch.position = watch.kube.store.restored, max(watch.position, listed.version)
        return watch

    def _events(self, namespace: str, watch: Watch) -> list[WatchEvent]:
        query = Query(namespace, parse_labels("publishing-target=true"))
        changes: list[Change] = watch.kube.store.since(watch.position)
        found = []
        for event in filter(None, (change.event(query) for change in changes)):
            kind, _, secret = decode(b'{"type":"%b","object":%b}' % (event[0].encode(), event[1].whole()))
            assert secret is not None
            found.append(WatchEvent(namespace, watch.epoch, secret, kind == "DELETED", 0.0))
        return found

    def _apply(self, events: list[WatchEvent]) -> None:
        for event in events:
            self.source._versions.note(event.namespace, event.epoch, int(event.version))
        self.applier._apply(events)

    @property
    def served(self) -> Snapshot[Any]:
        assert self.sink.snapshot is not None
        return self.sink.snapshot

    def is_no_mix(self) -> None:
        if self.sink.snapshot is not None and not self.shared:
            clusters = {target.url.reveal().split("/")[2] for target in self.served.items.values()}
            assert len(clusters) <= 1

    def is_what_the_cluster_has(self) -> None:
        """No event is pending: each Secret is served as it is there, or its last valid version as stale."""
        memo = memo_of(self.sink.snapshot)
        assert memo is not None
        store = self.kube.store
        known = {(one.namespace, one.secret): v for ns in memo.known.values() for v, one in ns.known.values()}
        assert known == {key: str(one.version) for key, one in store.objects.items()}
        held = {(target.namespace, target.secret): target for target in self.served.items.values()}
        assert held.keys() <= store.objects.keys()
        rejected = {(one.origin["namespace"], one.origin["secret"]) for one in self.served.rejected}
        for key, stored in store.objects.items():
            config = json.loads(_config(stored.document()))
            if isinstance(config, dict):
                assert held[key].url.reveal() == config["url"] and held[key].stale_since is None
            else:
                assert (key in rejected) is (key not in held)
                assert key not in held or held[key].stale_since is not None


def _config(document: Any) -> bytes:
    return base64.b64decode(document["data"]["config"])


namespaces, names = st.sampled_from(NAMESPACES), st.sampled_from(NAMES)
edits = st.tuples(st.just("write"), namespaces, names, st.sampled_from(["write", "write", "write", "delete"]))
events = st.tuples(st.just("events"), namespaces, st.integers(1, 3))
tardy = st.tuples(st.just("tardy"), st.integers(1, 4))
meanwhile = st.lists(edits | events | tardy, max_size=3)
lists = st.tuples(st.just("refresh"), meanwhile)
alone = st.tuples(st.just("refresh"), meanwhile, names)
upsets = st.tuples(st.sampled_from(["backup", "restore", "swap"]))
rewinds = st.tuples(st.just("rewind"), st.lists(edits | edits | events | lists | alone, min_size=1, max_size=5))
steps = st.lists(edits | edits | events | tardy | lists | alone | upsets | rewinds | rewinds, max_size=20)


@pytest.fixture(scope="module")
def kubes() -> Iterator[tuple[KubeServer, KubeServer]]:
    with KubeServer() as one, KubeServer() as other:
        yield one, other


@pytest.mark.no_cover
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.sampled_from([5, 1000, 5000]), done=steps, shared=st.booleans())
def test_a35_any_history_of_two_clusters_ends_with_what_the_used_one_has(
    kubes: tuple[KubeServer, KubeServer], tmp_path: Path, first: int, done: list[Step], shared: bool
) -> None:
    kubes[0].store, kubes[1].store = Store(), Store(version=first, oldest=first)
    it = Model(kubes, tmp_path / "kubeconfig", shared)
    try:
        for namespace in NAMESPACES:
            it.write(namespace, "one", "write")
        if shared:
            it.backup()
            kubes[1].store.restore(it.backups[0])
        it.refresh([])
        for step in done:
            it.step(step)
        it.tardy(len(it.late))
        it.refresh([])
        it.is_what_the_cluster_has()
        it.write("a", "two", "write")
        it.events("a", 100)
        it.is_what_the_cluster_has()
    finally:
        it.source.close()
