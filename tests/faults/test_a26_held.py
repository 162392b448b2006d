"""A26, A27, F02, F10, RF09: nothing that a fault takes away is lost, and a real removal goes through."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.daemon import Daemon, read_config
from alert_refresh.engine import Result
from tests.fakes import FakeClock
from tests.faults.kubernetes import World, refresh_settings, world
from tests.kube import KubeServer, faults, fill, raw_secret, secret
from tests.rules import world as rules_world
from tests.rules.examples import packed
from tests.stage import eventually
from tests.targets.folder.folders import secret as manifest
from tests.targets.folder.folders import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from alert_refresh.engine import Outcome, Worker


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop writes what is still to be written also where the disk is busy with others."""
    monkeypatch.setattr("alert_refresh.keep.keeper.STOP_WITHIN", 60.0)


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        fill(server.store, 10)
        yield server


def held(it: World) -> tuple[str, ...]:
    hold = it.worker.get_status().hold
    return () if hold is None else hold.names


def renamed(name: str, target: str) -> Any:
    """The Secret of that name, with a target of another."""
    config = {"name": target, "type": "webhook", "url": "https://hooks.example.com/x", "format": "alertmanager"}
    return raw_secret(name, "default", {"config": json.dumps(config).encode()})


def an_empty_list(kube: KubeServer) -> None:
    kube.fault(faults.edited(lambda document: document["items"].clear()), times=1)


def a_third_of_the_list(kube: KubeServer) -> None:
    def cut(document: dict[str, list[object]]) -> None:
        del document["items"][3:]

    kube.fault(faults.edited(cut), times=1)


class TestTargets:
    @pytest.mark.parametrize("fault", [an_empty_list, a_third_of_the_list])
    def test_a26_a_list_that_lacks_most_once_takes_nothing_away(
        self, kube: KubeServer, tmp_path: Path, fault: Callable[[KubeServer], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        kube.protobuf = False
        with world(tmp_path, kube) as it:
            it.change()
            it.refresh()
            names = set(it.served.items)
            fault(kube)
            it.refresh()
            assert set(it.served.items) == names
            eventually(lambda: not held(it), "the full list that comes next")
            assert set(it.served.items) == names
            assert all(target.stale_since is None for target in it.served.items.values())

    def test_a27_a_list_that_is_empty_for_good_goes_through_with_the_confirming_refresh(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        with world(tmp_path, kube) as it:
            for key in list(kube.store.objects):
                kube.store.delete(*key)
            outcomes = it.refresh()
            assert outcomes[-1].result is Result.SUCCESS
            eventually(lambda: not it.served.items, "the confirming refresh")
            assert len(it.outcomes) <= 4

    def test_a27_an_approval_empties_at_once(self, kube: KubeServer, tmp_path: Path) -> None:
        with world(tmp_path, kube, refresh=refresh_settings(base_backoff=60.0, max_backoff=60.0)) as it:
            for key in list(kube.store.objects):
                kube.store.delete(*key)
            it.refresh()
            assert len(held(it)) == 10 and len(it.served.items) == 10
            it.let_go()
            assert not it.served.items

    def test_a_rotation_goes_through_while_removals_are_held(self, kube: KubeServer, tmp_path: Path) -> None:
        with world(tmp_path, kube, refresh=refresh_settings(base_backoff=60.0, max_backoff=60.0)) as it:
            for key in list(kube.store.objects)[2:]:
                kube.store.delete(*key)
            it.refresh()
            assert len(held(it)) == 8
            kube.store.replace(secret("target-00000", enabled=False))
            kube.store.create(secret("brand-new"))
            it.refresh()
            assert not it.served.items["target-00000"].enabled and "brand-new" in it.served.items
            assert len(held(it)) == 8

    def test_a_refresh_that_fails_for_a_namespace_confirms_nothing(self, tmp_path: Path) -> None:
        with KubeServer() as kube:
            kube.protobuf = False
            fill(kube.store, 6, namespace="a", prefix="a")
            fill(kube.store, 8, namespace="b", prefix="b")
            settings = refresh_settings(base_backoff=0.2, max_backoff=0.2, max_retries=0)
            with world(tmp_path, kube, served=14, namespaces=("a", "b"), refresh=settings) as it:
                path = "/api/v1/namespaces/b/"
                kube.store.create(secret("new", "b"))
                kube.fault(faults.edited(lambda document: document["items"].clear()), path, times=1)
                down = kube.fault(faults.status(500), path)
                it.refresh()
                assert len(held(it)) == 8
                eventually(lambda: it.outcomes[-1].result is Result.FAILED, "the confirming refresh")
                assert down.fired and len(held(it)) == 8 and len(it.served.items) == 14
                kube.faults.clear()
                it.refresh()
                assert not held(it) and len(it.served.items) == 15

    def test_held_targets_whose_secrets_come_back_invalid_are_stale_and_stay(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        with world(tmp_path, kube, refresh=refresh_settings(base_backoff=60.0, max_backoff=60.0)) as it:
            for key in list(kube.store.objects):
                kube.store.delete(*key)
            it.refresh()
            assert len(held(it)) == 10
            for number in range(9):
                kube.store.create(raw_secret(f"target-{number:05d}", "default", {"config": b"{broken"}))
            it.refresh()
            assert held(it) == ("target-00009",) and len(it.served.items) == 10
            faults_of = it.served.items["target-00000"].faults
            assert [one.field for one in faults_of] == ["config"] and not it.served.rejected
            it.refresh()
            assert len(it.served.items) == 10 and it.served.items["target-00000"].faults == faults_of

    def test_a_rename_of_all_is_no_removal(self, kube: KubeServer, tmp_path: Path) -> None:
        with world(tmp_path, kube) as it:
            for number in range(10):
                kube.store.replace(renamed(f"target-{number:05d}", f"renamed-{number}"))
            it.refresh()
            assert set(it.served.items) == {f"renamed-{number}" for number in range(10)} and not held(it)


class Folder:
    """A daemon with ten targets in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        for number in range(10):
            write(root / f"{number}.yaml", manifest(f"t{number}"))
        self.clock = FakeClock()
        self.daemon = Daemon(read_config({"TARGET_DIRECTORY": str(root), "TARGET_WATCH": "false"}), self.clock)
        self.worker: Worker[object] = self.daemon.workers["targets"]

    def refresh(self) -> Outcome:
        request = self.worker.refresh_now()
        assert request.done.wait(20) and request.outcome is not None
        self.clock.advance(60)
        return request.outcome

    @property
    def names(self) -> list[str]:
        snapshot = self.worker.get_status().snapshot
        return [] if snapshot is None else list(snapshot.items)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    it = Folder(tmp_path / "root")
    it.daemon.start()
    try:
        eventually(lambda: len(it.names) == 10, "ten targets")
        eventually(lambda: not it.worker.get_status().in_progress)
        yield it
    finally:
        it.daemon.stop()


def test_f02_a_folder_that_is_emptied_holds_what_it_had_until_that_is_confirmed(folder: Folder) -> None:
    for path in folder.root.iterdir():
        path.unlink()
    outcome = folder.refresh()
    assert outcome.hold is not None and len(outcome.hold.names) == 10 and len(folder.names) == 10
    eventually(lambda: folder.names == [], "the confirming refresh, 30 s later")


def test_f02_a_folder_that_is_unmounted_and_mounted_again_loses_nothing(folder: Folder) -> None:
    away = folder.root.with_name("away")
    folder.root.rename(away)
    folder.root.mkdir()
    request = folder.worker.refresh_now()
    assert request.done.wait(20)
    assert folder.worker.get_status().hold is not None and len(folder.names) == 10
    shutil.rmtree(folder.root)
    away.rename(folder.root)
    folder.clock.advance(60)
    eventually(lambda: folder.worker.get_status().hold is None, "the confirming refresh")
    assert len(folder.names) == 10


def test_an_approval_after_a_restart_is_what_the_next_restart_serves(tmp_path: Path) -> None:
    state, environ = tmp_path / "state", {"TARGET_WATCH": "false", "TARGET_REFRESH_BASE_BACKOFF": "5m"}
    state.mkdir()
    it = Folder(tmp_path / "root")
    environ |= {"TARGET_DIRECTORY": str(it.root), "ALERT_REFRESH_STATE_DIR": str(state)}

    def started() -> Daemon:
        daemon = Daemon(read_config(environ), FakeClock())
        daemon.start()
        return daemon

    daemon = started()
    eventually((state / "snapshot-targets").exists, "the snapshot")
    for number in range(8):
        (it.root / f"{number}.yaml").unlink()
    worker = daemon.workers["targets"]
    eventually(lambda: not worker.get_status().in_progress)
    assert worker.refresh_now().done.wait(20) and worker.get_status().hold is not None
    daemon.stop()
    shutil.rmtree(it.root)
    daemon = started()
    worker = daemon.workers["targets"]
    hold = worker.get_status().hold
    assert hold is not None and len(hold.names) == 8
    worker.decisions.approve(hold.proposal)
    assert daemon.keeper is not None and daemon.keeper.keep_now("targets", 20)
    daemon.stop()
    daemon = started()
    found = daemon.workers["targets"].get_status().snapshot
    daemon.stop()
    assert found is not None and list(found.items) == ["t8", "t9"]


class TestRules:
    def test_rf09_an_empty_file_keeps_the_rules_until_it_is_confirmed(self, tmp_path: Path) -> None:
        with rules_world.World(tmp_path, packed(1000)).start() as it:
            outcome = it.put(packed(0))
            assert outcome.items == 1000 and outcome.hold is not None and len(outcome.hold.names) == 1000
            assert len(it.loaded.all()) == 1000 and it.status.confirm_due is not None
            body: Any = it.client.get("/api/v2/rules/status").json
            assert body["rules_loaded"] == 1000 and body["held"]["count"] == 1000
            labels = {"severity": "critical", "service": "service-0", "instance": "web-0-1"}
            matched: Any = it.client.post("/api/v2/rules/match", json={"labels": labels})
            assert matched.status_code == 200 and matched.json["rules"]
            it.clock.advance(30)
            it.attempt_ends()
            assert not it.loaded.all()

    def test_a_file_that_lost_a_family_is_held_and_new_rules_of_it_are_served(self, tmp_path: Path) -> None:
        def rules(*families: str) -> bytes:
            lines = [
                f'{{"id": "{name}-{n}", "family": "{name}", "targets": ["x"]}}' for name in families for n in range(6)
            ]
            return "\n".join(lines).encode() + b"\n"

        with rules_world.World(tmp_path, rules("a", "b", "c")).start() as it:
            outcome = it.put(rules("c", "new"))
            assert outcome.hold is not None and outcome.hold.names == tuple(
                f"{name}-{n}" for name in "ab" for n in range(6)
            )
            assert it.loaded.families() == {"a": 6, "b": 6, "c": 6, "new": 6}
            proposal = outcome.hold.proposal
            assert it.client.post(f"/api/v2/rules/approve?proposal={proposal}").status_code == 200
            assert it.loaded.families() == {"c": 6, "new": 6}
            assert it.client.get("/api/v2/rules/a-0").status_code == 404
