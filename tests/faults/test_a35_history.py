"""The state of the cluster is served after its history went back, and after a switch to another one: never a mix."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import Backoff, Deadline, Partial, Request, Snapshot, Trigger
from alert_refresh.targets.kubernetes.errors import OtherServer
from alert_refresh.targets.kubernetes.events import WatchEvent, decode
from alert_refresh.targets.kubernetes.snapshot import Memo
from alert_refresh.targets.kubernetes.source import KubernetesSource
from alert_refresh.targets.kubernetes.timings import WatchTimings
from alert_refresh.targets.secret.parse import parse
from tests.fakes import FakeClock
from tests.faults.kubernetes import TOKEN, captured, refresh_settings, target_settings, world
from tests.kube import Authority, KubeServer, faults, fill, kubeconfig, raw_secret, secret
from tests.kube.api import is_watch
from tests.kube.watching import bookmark
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from alert_refresh.targets.target import Target
    from tests.kube import Exchange
    from tests.kube import Request as KubeRequest

TIMINGS = WatchTimings(
    lifetimes=(30.0, 30.0), margin=5.0, broken=Backoff(0.02, 0.2), refused=Backoff(0.2, 1.0), reset_after=1.0
)
BACK = "resourceVersions went back; all Secrets are read again"
OTHER = "The API server is a different one; the state of the previous one is discarded"
NAMESPACES = ("default", "a", "b")


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer(bookmark_interval=0.1) as server:
        yield server


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    found: list[logging.LogRecord] = []
    with captured(found):
        yield found


def warnings(lines: list[logging.LogRecord]) -> list[str]:
    """Warnings, but for those of single targets that are gone."""
    found = [one.getMessage() for one in lines if one.levelno >= logging.WARNING]
    return [message for message in found if not message.startswith("Target is gone at its source")]


class Lists:
    """A source that the test refreshes itself, without a watch."""

    def __init__(self, folder: Path, kube: KubeServer, **settings: Any) -> None:
        self.file = kubeconfig(folder / "kubeconfig", kube.url)
        self.clock = FakeClock()
        self.source = KubernetesSource(target_settings(self.file, **settings), self.clock)
        self.last: Snapshot[Target] | None = None

    def refresh(self) -> Snapshot[Target]:
        self.last = self.source.refresh(self.last, Request(Trigger.MANUAL), Deadline(self.clock, 60.0))
        return self.last

    def shows(self, kube: KubeServer, *namespaces: str) -> None:
        """A refresh serves exactly the Secrets of that server, in the state that they have there."""
        snapshot = self.refresh()
        stored = [one for key, one in kube.store.objects.items() if not namespaces or key[0] in namespaces]
        assert isinstance(snapshot.memo, Memo)
        known = {
            (one.namespace, one.secret): (one.uid, version)
            for listed in snapshot.memo.known.values()
            for version, one in listed.known.values()
        }
        assert known == {one.key: (one.document()["metadata"]["uid"], str(one.version)) for one in stored}
        for one in stored:
            expected = parse_stored(one)
            if expected is not None:
                assert snapshot.items[expected.name] == expected
        assert len(snapshot.items) == sum(parse_stored(one) is not None for one in stored)


def parse_stored(stored: Any) -> Target | None:
    document = stored.document()
    data = {key: base64.b64decode(value) for key, value in document["data"].items()}
    made = parse(data, namespace=stored.namespace, secret=stored.name)
    return None if isinstance(made, tuple) else made


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of Secrets, in the order they are parsed."""
    names: list[str] = []

    def counted(*args: Any, secret: str, **more: Any) -> Any:
        names.append(secret)
        return parse(*args, secret=secret, **more)

    monkeypatch.setattr("alert_refresh.targets.kubernetes.list.parse", counted)
    return names


class TestLists:
    def test_a35_what_was_created_and_changed_after_the_backup_is_removed_with_a_warning(
        self, kube: KubeServer, tmp_path: Path, lines: list[logging.LogRecord], parsed: list[str]
    ) -> None:
        fill(kube.store, 10)
        backup = kube.store.backup()
        it = Lists(tmp_path, kube)
        it.shows(kube)
        kube.store.create(secret("later"))
        kube.store.replace(secret("target-00003", enabled=False))
        kube.store.delete("default", "target-00004")
        it.shows(kube)
        assert not warnings(lines)
        del parsed[:]
        kube.store.restore(backup)
        it.shows(kube)
        assert it.last is not None and it.last.items["target-00003"].enabled
        assert warnings(lines) == [BACK]
        assert sorted(parsed) == sorted(f"target-{number:05d}" for number in range(10)), "all Secrets are parsed again"
        it.shows(kube)
        assert warnings(lines) == [BACK] and len(parsed) == 10, "the new epoch is like any other"

    def test_a35_the_same_uid_and_version_with_other_content_is_parsed_again(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        fill(kube.store, 3)
        backup = kube.store.backup()
        it = Lists(tmp_path, kube)
        kube.store.replace(secret("target-00001", format="webhook"))
        kube.store.replace(secret("target-00002"))
        it.shows(kube)
        kube.store.restore(backup)
        kube.store.replace(secret("target-00001", enabled=False))
        it.shows(kube)
        assert it.last is not None and not it.last.items["target-00001"].enabled

    def test_a35_a_namespace_that_seems_unchanged_is_read_again_with_the_one_that_went_back(
        self, kube: KubeServer, tmp_path: Path, lines: list[logging.LogRecord]
    ) -> None:
        fill(kube.store, 2, namespace="a", prefix="a")
        fill(kube.store, 2, namespace="b", prefix="b")
        backup = kube.store.backup()
        kube.store.replace(secret("a-00001", "a", format="webhook"))
        it = Lists(tmp_path, kube, namespaces=("a", "b"))
        it.shows(kube)
        rule = kube.fault(faults.status(403), "/api/v1/namespaces/a/", times=1)
        kube.store.replace(secret("b-00001", "b"))
        kube.store.replace(secret("b-00001", "b"))
        with pytest.raises(Partial, match="namespace a") as raised:
            it.refresh()
        it.last = raised.value.snapshot
        kube.store.restore(backup)
        kube.store.replace(secret("a-00001", "a", enabled=False))
        it.shows(kube)
        assert rule.fired == 1 and BACK in warnings(lines)

    @pytest.mark.parametrize("namespaces", [("*",), NAMESPACES], ids=["everywhere", "several"])
    def test_a35_several_namespaces_with_invalid_secrets(
        self, kube: KubeServer, tmp_path: Path, lines: list[logging.LogRecord], namespaces: tuple[str, ...]
    ) -> None:
        for namespace in NAMESPACES:
            fill(kube.store, 3, namespace=namespace, prefix=namespace)
            kube.store.create(raw_secret(f"bad-{namespace}", namespace, {"config": b"[]"}))
        backup = kube.store.backup()
        for namespace in NAMESPACES:
            kube.store.create(secret(f"new-{namespace}", namespace))
            kube.store.replace(secret(f"bad-{namespace}", namespace))
        it = Lists(tmp_path, kube, namespaces=namespaces)
        it.shows(kube)
        kube.store.restore(backup)
        snapshot = it.refresh()
        # What was valid later is the last valid version of the same Secret, which is bad in the backup.
        stale = {name for name, one in snapshot.items.items() if one.stale_since is not None}
        assert stale == {f"bad-{namespace}" for namespace in NAMESPACES}
        assert snapshot.items.keys() == stale | {f"{one}-{n:05d}" for one in NAMESPACES for n in range(3)}
        assert warnings(lines).count(BACK) == 1

    def test_a35_a_stale_version_of_a_recreated_secret_does_not_survive(self, kube: KubeServer, tmp_path: Path) -> None:
        fill(kube.store, 2)
        kube.store.create(raw_secret("one", "default", {"config": b"[]"}))
        backup = kube.store.backup()
        kube.store.delete("default", "one")
        kube.store.create(secret("one"))
        it = Lists(tmp_path, kube)
        it.refresh()
        kube.store.replace(raw_secret("one", "default", {"config": b"[1]"}))
        assert it.refresh().items["one"].stale_since is not None
        kube.store.restore(backup)
        snapshot = it.refresh()
        assert "one" not in snapshot.items
        assert [dict(one.origin) for one in snapshot.rejected] == [{"namespace": "default", "secret": "one"}]
        again = it.refresh()
        assert again.digest == snapshot.digest and "one" not in again.items

    def test_a35_a_later_page_that_is_older_than_the_first_invalidates_the_list(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        fill(kube.store, 1500)
        # In JSON there are pages, once the server has answered in it.
        kube.protobuf = False
        it = Lists(tmp_path, kube)
        it.shows(kube)
        kube.store.replace(secret("target-00001"))

        def older(document: Any) -> None:
            document["metadata"]["resourceVersion"] = "5"

        rule = kube.fault(faults.edited(older), when=lambda request: "continue" in request.query, times=1)
        with pytest.raises(Exception, match="several versions"):
            it.refresh()
        assert rule.fired == 1
        it.shows(kube)


def swap(it: Any, kube: KubeServer, **how: Any) -> None:
    """Rewrite the kubeconfig so that it names another server."""
    kubeconfig(it.file, kube.url, **how)


class TestAnotherServer:
    @pytest.mark.parametrize("version", [10, 1000, 50_000], ids=["lower", "same", "higher"])
    def test_a35_nothing_of_the_previous_cluster_is_left(
        self, kube: KubeServer, tmp_path: Path, lines: list[logging.LogRecord], version: int
    ) -> None:
        fill(kube.store, 10)
        kube.store.create(secret("bad"))
        it = Lists(tmp_path, kube)
        it.shows(kube)
        kube.store.replace(raw_secret("bad", "default", {"config": b"[]"}))
        assert it.refresh().items["bad"].stale_since is not None
        with KubeServer() as other:
            other.store.version = other.store.oldest = version
            other.store.create(secret("target-00003", enabled=False))
            other.store.create(raw_secret("bad", "default", {"config": b"{}"}))
            other.store.create(secret("elsewhere"))
            swap(it, other)
            del lines[:]
            it.shows(other)
            assert OTHER in warnings(lines) and BACK not in warnings(lines)
            swap(it, kube)
            snapshot = it.refresh()
            assert "elsewhere" not in snapshot.items and "bad" not in snapshot.items
            assert len(snapshot.items) == 10

    def test_a35_the_same_secrets_in_another_cluster_are_parsed_again(
        self, kube: KubeServer, tmp_path: Path, parsed: list[str]
    ) -> None:
        fill(kube.store, 3)
        it = Lists(tmp_path, kube)
        it.shows(kube)
        with KubeServer() as other:
            other.store.restore(kube.store.backup())
            swap(it, other)
            it.shows(other)
            assert len(parsed) == 6

    def test_a35_a_namespace_that_fails_there_does_not_keep_the_targets_of_the_previous_cluster(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        fill(kube.store, 3, namespace="a", prefix="a")
        fill(kube.store, 3, namespace="b", prefix="b")
        kube.store.create(raw_secret("bad", "b", {"config": b"[]"}))
        it = Lists(tmp_path, kube, namespaces=("a", "b"))
        it.refresh()
        with KubeServer() as other:
            fill(other.store, 2, namespace="a", prefix="other")
            other.denied = {("list", "b")}
            swap(it, other)
            with pytest.raises(Partial, match="namespace b: the API server answered 403") as raised:
                it.refresh()
            snapshot = raised.value.snapshot
            assert snapshot.items.keys() == {"other-00000", "other-00001"} and not snapshot.rejected

    def test_a35_another_authority_is_another_server(self, tmp_path: Path, lines: list[logging.LogRecord]) -> None:
        authority = Authority.create(tmp_path / "tls")
        more = tmp_path / "more.crt"
        more.write_bytes(authority.ca.read_bytes() + Authority.create(tmp_path / "second").ca.read_bytes())
        with KubeServer(tls=authority.server()) as kube:
            fill(kube.store, 3)
            it = Lists(tmp_path, kube)
            swap(it, kube, ca=authority.ca)
            it.shows(kube)
            it.shows(kube)
            assert OTHER not in warnings(lines)
            swap(it, kube, ca=more)
            it.shows(kube)
            assert warnings(lines).count(OTHER) == 1

    def test_a35_another_user_of_the_same_server_is_the_same_history(
        self, kube: KubeServer, tmp_path: Path, lines: list[logging.LogRecord], parsed: list[str]
    ) -> None:
        fill(kube.store, 3)
        it = Lists(tmp_path, kube)
        it.shows(kube)
        swap(it, kube, user={"token": "another"})
        it.shows(kube)
        assert len(parsed) == 3 and not warnings(lines)

    @pytest.mark.parametrize("cut", ["pages", "namespaces"])
    def test_a35_an_attempt_reads_one_server_alone(self, kube: KubeServer, tmp_path: Path, cut: str) -> None:
        fill(kube.store, 1500, namespace="a", prefix="a")
        fill(kube.store, 3, namespace="b", prefix="b")
        with KubeServer() as other:
            fill(other.store, 1500, namespace="a", prefix="other-a")
            fill(other.store, 3, namespace="b", prefix="other-b")
            it = Lists(tmp_path, kube, namespaces=("a", "b"))
            # In JSON there are pages.
            it.source._json_servers.add(it.source._client.server())

            def rewritten(exchange: Exchange) -> bool:
                swap(it, other)
                return exchange.answer()

            def when(request: KubeRequest) -> bool:
                return ("continue" in request.query) is (cut == "namespaces")

            rule = kube.fault(rewritten, "/api/v1/namespaces/a/", when=when, times=1)
            with pytest.raises(Exception, match="another API server") as raised:
                it.refresh()
            assert rule.fired == 1
            it.last = getattr(raised.value, "snapshot", None)
            if it.last is not None:
                assert all(name.startswith("a-") for name in it.last.items)
            it.shows(other)

    def test_a_request_for_one_server_is_never_sent_to_another(self, kube: KubeServer, tmp_path: Path) -> None:
        it = Lists(tmp_path, kube)
        client = it.source._client
        server = client.server()
        with KubeServer() as other:
            swap(it, other)
            with pytest.raises(OtherServer):
                client.get("/version", {}, connect=5, read=5, server=server)
            assert not other.requests and not kube.requests


def watch_of(tmp_path: Path, kube: KubeServer, **how: Any) -> Any:
    return world(tmp_path, kube, watch=True, timings=TIMINGS, **how)


def watches(kube: KubeServer) -> list[KubeRequest]:
    return [one for one in kube.requests if is_watch(one)]


class TestWatch:
    def test_a35_after_a_restore_the_watch_relists_immediately_and_continues_from_there(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        fill(kube.store, 10)
        backup = kube.store.backup()
        with watch_of(tmp_path, kube) as it:
            it.connected()
            it.serves(it.change(), it.change())
            kube.store.replace(secret("target-00003", enabled=False))
            eventually(lambda: not it.served.items["target-00003"].enabled)
            before = len(watches(kube))
            kube.close()
            kube.store.restore(backup)
            eventually(lambda: it.health.error == "namespace default: cannot connect to the API server")
            kube.open()
            it.wait_for_outcomes(2)
            it.connected().serves_what_the_cluster_has()
            assert it.served.items["target-00003"].enabled and it.messages().count(BACK) == 1
            eventually(lambda: str(backup.version) in {one.query["resourceVersion"] for one in watches(kube)[before:]})
            it.serves(it.change())
            it.serves_what_the_cluster_has()
            assert len(kube.lists()) == 2 and it.health.counts["drift_corrected"] == 0

    def test_a35_a_refresh_finds_it_while_the_watch_of_before_lasts(self, kube: KubeServer, tmp_path: Path) -> None:
        fill(kube.store, 10)
        backup = kube.store.backup()
        late = secret("late")

        def deaf(exchange: Exchange) -> bool:
            """A watch that reports a version that will be lost, and stays open."""
            lost = bookmark(kube.store.version + 50)
            exchange.wire.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
            exchange.wire.send(b"%x\r\n%b\r\n" % (len(lost), lost))
            exchange.wire.wait()
            return False

        rule = kube.fault(deaf, when=is_watch, times=1)
        with watch_of(tmp_path, kube) as it:
            it.connected()
            eventually(lambda: it.health.last_proof_of_life is not None)
            kube.store.create(late)
            kube.store.restore(backup)
            it.refresh()
            assert rule.fired == 1 and it.messages().count(BACK) == 1, "the bookmark counts as a received version"
            eventually(lambda: len(watches(kube)) == 2)
            assert watches(kube)[1].query["resourceVersion"] == str(backup.version)
            it.connected().serves(it.change())
            it.serves_what_the_cluster_has()

    @pytest.mark.parametrize("kind", [b"ADDED", b"MODIFIED"])
    def test_a35_late_events_of_the_previous_watch_are_not_applied(
        self, kube: KubeServer, tmp_path: Path, kind: bytes
    ) -> None:
        fill(kube.store, 10)
        backup = kube.store.backup()
        kube.store.replace(secret("target-00003", enabled=False))
        ghost = kube.store.create(secret("ghost"))
        changed = kube.store.objects["default", "target-00003"]
        with watch_of(tmp_path, kube, served=11) as it:
            it.connected()
            journal = next(watch.journal for watch in it.worker._run.watches if watch.name == "apply")
            kube.store.restore(backup)
            it.refresh()
            it.serves_what_the_cluster_has()
            epoch = next(iter(it.served.memo.known.values())).epoch
            for stored in (ghost, changed):
                _, _, late = decode(b'{"type":"%b","object":%b}' % (kind, stored.at(9000).whole()))
                assert late is not None
                journal.put(WatchEvent("default", epoch - 1, late, False, 0.0))
            it.serves(it.change())
            it.serves_what_the_cluster_has()
            assert it.served.items["target-00003"].enabled

    def test_a35_a_list_that_began_earlier_is_not_merged_with_earlier_events(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        fill(kube.store, 10)
        backup = kube.store.backup()
        wires: list[Exchange] = []

        def held(exchange: Exchange) -> bool:
            wires.append(exchange)
            exchange.wire.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
            exchange.wire.wait()
            return False

        def told_late(exchange: Exchange) -> bool:
            """The list is that of the backup; before it is sent the watch of before tells one more event."""
            response = exchange.compute()
            response.body()
            line = b'{"type":"ADDED","object":%b}\n' % ghost.at(9000).whole()
            wires[0].wire.send(b"%x\r\n%b\r\n" % (len(line), line))
            eventually(lambda: "ghost" in it.served.items)
            return exchange.wire.respond(response)

        kube.store.create(secret("later"))
        ghost = kube.store.create(secret("ghost"))
        kube.store.delete("default", "ghost")
        watch = kube.fault(held, when=is_watch, times=1)
        with watch_of(tmp_path, kube, served=11) as it:
            assert watch.happened.wait(20)
            it.connected()
            kube.store.restore(backup)
            rule = kube.fault(told_late, when=lambda request: not is_watch(request), times=1)
            it.refresh()
            assert rule.fired == 1
            it.serves_what_the_cluster_has()
            it.connected().serves(it.change())
            it.serves_what_the_cluster_has()

    @pytest.mark.parametrize("version", [10, 90_000], ids=["lower", "higher"])
    def test_a35_another_cluster_takes_over_with_its_watch(
        self, kube: KubeServer, tmp_path: Path, version: int
    ) -> None:
        fill(kube.store, 5, namespace="a", prefix="a")
        fill(kube.store, 5, namespace="b", prefix="b")
        with KubeServer(bookmark_interval=0.1, tokens={TOKEN}) as other:
            other.store.version = other.store.oldest = version
            fill(other.store, 4, namespace="a", prefix="a")
            fill(other.store, 4, namespace="b", prefix="other")
            with watch_of(tmp_path, kube, namespaces=("a", "b"), refresh=refresh_settings(max_retries=0)) as it:
                it.connected()
                swap(it, other, user={"token": TOKEN})
                it.refresh()
                it.let_go()
                expected = {key[1] for key in other.store.objects}
                assert it.served.items.keys() == expected and OTHER in it.messages()
                eventually(lambda: len(watches(other)) == 2)
                it.connected()
                kube.store.create(secret("ghost", "a"))
                other.store.create(secret("present", "b"))
                it.serves("present")
                assert it.served.items.keys() == expected | {"present"}
                assert {one.query["resourceVersion"] for one in watches(other)} == {str(version + 8)}
                assert it.health.connected

    def test_a35_a_watch_that_would_meet_another_cluster_lists_first(self, kube: KubeServer, tmp_path: Path) -> None:
        fill(kube.store, 10)
        with KubeServer(bookmark_interval=0.1, tokens={TOKEN}) as other:
            fill(other.store, 4, prefix="other")
            with watch_of(tmp_path, kube) as it:
                it.connected()
                swap(it, other, user={"token": TOKEN})
                kube.close()
                it.let_go()
                eventually(lambda: it.served.items.keys() == {key[1] for key in other.store.objects})
                eventually(lambda: len(watches(other)) == 1)
                assert not is_watch(other.requests[0])

    def test_a35_a_watched_namespace_that_the_other_cluster_refuses_is_not_connected(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        fill(kube.store, 5, namespace="a", prefix="a")
        fill(kube.store, 5, namespace="b", prefix="b")
        with KubeServer(bookmark_interval=0.1, tokens={TOKEN}) as other:
            fill(other.store, 3, namespace="a", prefix="other")
            fill(other.store, 3, namespace="b", prefix="more")
            other.denied = {("list", "b")}
            with watch_of(tmp_path, kube, namespaces=("a", "b"), refresh=refresh_settings(max_retries=0)) as it:
                it.connected()
                swap(it, other, user={"token": TOKEN})
                it.refresh()
                it.let_go()
                assert it.served.items.keys() == {f"other-{number:05d}" for number in range(3)}
                eventually(lambda: it.health.error == "namespace b: the namespace could not be listed")
                # The changed kubeconfig may cause another attempt, whenever the change is noticed.
                other.denied = set()
                it.worker.notify(Trigger.FILE)
                eventually(lambda: len(it.served.items) == 6)
                it.connected()
                eventually(lambda: (status := it.worker.get_status()).pending is None and not status.in_progress)

    def test_a_bookmark_that_is_older_than_the_start_of_the_watch_causes_a_relist(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        rule = kube.fault(faults.events(bookmark(5).strip()), when=is_watch, times=1)
        with watch_of(tmp_path, kube) as it:
            it.wait_for_outcomes(2)
            it.connected().serves(it.change())
            assert rule.fired == 1 and len(kube.lists()) == 2


def test_a38_a_watch_that_is_too_new_for_the_server_lists_once_and_continues_from_there(
    kube: KubeServer, tmp_path: Path
) -> None:
    for action in (
        faults.status(504),
        faults.events(b'{"type":"ERROR","object":{"kind":"Status","code":504}}'),
    ):
        del kube.requests[:]
        kube.faults.clear()
        rule = kube.fault(action, when=is_watch, times=1)
        with watch_of(tmp_path, kube, served=len(kube.store.objects) or 10) as it:
            it.wait_for_outcomes(2)
            it.connected().serves(f"added-{it.added}" if it.added else "target-00001")
            assert rule.fired == 1 and len(kube.lists()) == 2 and it.health.counts["relists"] == 1
            assert {one.query["resourceVersion"] for one in watches(kube)} == {str(kube.store.version)}
