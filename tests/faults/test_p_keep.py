"""Faults of the state folder under the whole program, and what a restart must not forget."""

from __future__ import annotations

import json
import logging
import os
import resource
import stat
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.daemon import Daemon, read_config
from alert_refresh.engine import Trigger
from alert_refresh.keep import outcomes_file
from alert_refresh.keep import settings as keep
from alert_refresh.web.app import create_app
from tests.fakes import FakeClock
from tests.kube import KubeServer, kubeconfig, raw_secret, secret
from tests.process.program import Program, eventually
from tests.stage import eventually as soon
from tests.web.world import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "canary-9d2e"
RULES = b"rules: [{id: one, family: any, match: ['severity=\"critical\"'], targets: [target-0]}]\n"


def manifest(name: str, *, good: bool = True) -> dict[str, Any]:
    found = secret(name, url=f"https://hooks.example.com/{CANARY}") if good else raw_secret(name, "default", {})
    return {"apiVersion": "v1", "kind": "Secret"} | found


class Place:
    """A folder of manifests and a state folder; each `Run` on it is a start of the daemon in this process."""

    def __init__(self, folder: Path) -> None:
        self.source, self.state = folder / "source", folder / "state"
        self.source.mkdir()
        self.state.mkdir(mode=0o700)
        self.rules = folder / "rules.yaml"
        self.clock = FakeClock()

    def put(self, *names: str, good: bool = True) -> None:
        for name in names:
            temporary = self.source / ".new"
            temporary.write_text(json.dumps(manifest(name, good=good)))
            temporary.rename(self.source / f"{name}.json")

    def environ(self, **more: str) -> dict[str, str]:
        found = {"TARGET_DIRECTORY": str(self.source), "ALERT_REFRESH_STATE_DIR": str(self.state)} | more
        return found | ({"RULES_FILE": str(self.rules)} if self.rules.exists() else {})

    def file(self, kind: str) -> Path:
        return self.state / f"snapshot-{kind}"


class Run:
    """One start; `refreshed` waits for an attempt of every kind. Leaving it is a stop."""

    def __init__(self, place: Place, **environ: str) -> None:
        found = place.environ(TARGET_WATCH="false", **environ)
        self.daemon = Daemon(read_config(found), place.clock)
        self.client: Any = create_app(self.daemon).test_client()
        self._ended = {name: threading.Semaphore(0) for name in self.daemon.workers}
        for name, worker in self.daemon.workers.items():
            worker.listen(lambda outcome, ended=self._ended[name]: ended.release())  # type: ignore[misc]

    def restore(self) -> Run:
        """Restore without starting a refresh."""
        for worker in self.daemon.workers.values():
            worker.start = lambda: None  # type: ignore[method-assign]
        self.daemon.start()
        return self

    def __enter__(self) -> Run:
        self.daemon.start()
        self.refreshed()
        return self

    def refreshed(self) -> None:
        for ended in self._ended.values():
            assert ended.acquire(timeout=20)

    def __exit__(self, *_: object) -> None:
        self.daemon.stop()

    def targets(self) -> dict[str, Any]:
        answer = self.client.get(f"{TARGETS}?reveal=false")
        assert answer.status_code == 200
        return {one["name"]: one for one in answer.json["targets"]}

    def status(self, path: str = f"{TARGETS}/status") -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(path).json
        return found

    def metrics(self) -> dict[str, float]:
        lines = self.client.get("/metrics").get_data(as_text=True).splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop writes what is still to be written also where the disk is busy with others."""
    monkeypatch.setattr("alert_refresh.keep.keeper.STOP_WITHIN", 60.0)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# A restart


def test_everything_is_served_before_the_first_refresh_and_says_that_it_was_restored(place: Place) -> None:
    place.put("target-0", "target-1")
    place.rules.write_bytes(RULES)
    with Run(place) as before:
        targets, rules = before.targets(), before.client.get("/api/v2/rules").json
        assert before.status()["restored"] is False and before.status()["restored_age_seconds"] is None
        generation = before.status()["generation"]
    place.clock.advance(100)
    place.source.rename(place.source.with_name("away"))
    after = Run(place).restore()
    try:
        assert after.client.get("/readyz").status_code == 200
        assert after.targets() == targets and after.client.get("/api/v2/rules").json == rules
        for path in (f"{TARGETS}/status", "/api/v2/rules/status"):
            status = after.status(path)
            assert (status["restored"], status["restored_age_seconds"]) == (True, 100)
        assert after.status()["generation"] == generation
        match = after.client.post("/api/v2/rules/match", json={"labels": {"severity": "critical"}}).json
        assert [one["id"] for one in match["rules"]] == ["one"]
        shown = after.metrics()
        for kind in ("targets", "rules"):
            assert shown[f'alert_refresh_snapshot_age_seconds{{kind="{kind}"}}'] == 100
            assert shown[f'alert_refresh_restored{{kind="{kind}"}}'] == 1
            assert shown[f'alert_refresh_snapshot_write_failures_total{{kind="{kind}"}}'] == 0
            written = f'alert_refresh_snapshot_last_write_timestamp_seconds{{kind="{kind}"}}'
            assert shown[written] == place.clock.time() - 100
        assert shown["alert_history_publishing_refresh_snapshot_age_seconds"] == 100
        assert shown["alert_history_publishing_refresh_last_success_timestamp"] == place.clock.time() - 100
        assert shown["alert_refresh_outcomes_dropped_total"] == 0
    finally:
        after.daemon.stop()


def test_why_the_last_refresh_failed_is_shown_after_a_restart(place: Place) -> None:
    place.put("target-0")
    with Run(place):
        pass
    away = place.source.rename(place.source.with_name("away"))
    with Run(place) as failing:
        error = failing.status()["error"]
        assert error and failing.status()["status"] == "failed"
    after = Run(place).restore()
    try:
        status = after.status()
        assert (status["status"], status["error"], status["consecutive_failures"]) == ("failed", error, 1)
        assert status["restored"] is True
    finally:
        after.daemon.stop()
    away.rename(place.source)
    with Run(place) as recovered:
        status = recovered.status()
        assert (status["status"], status["restored"], status["consecutive_failures"]) == ("success", False, 0)


def test_one_that_is_too_old_keeps_readyz_at_503_until_the_first_refresh(place: Place) -> None:
    place.put("target-0")
    with Run(place):
        pass
    place.clock.advance(61)
    after = Run(place, ALERT_REFRESH_SNAPSHOT_MAX_AGE="1m").restore()
    try:
        assert after.client.get("/readyz").status_code == 503
        assert after.client.get(TARGETS).status_code == 503
        assert after.metrics()["alert_history_publishing_refresh_snapshot_age_seconds"] != 61
        assert after.status()["restored"] is False
    finally:
        after.daemon.stop()
    with Run(place, ALERT_REFRESH_SNAPSHOT_MAX_AGE="1m") as refreshed:
        assert refreshed.client.get("/readyz").status_code == 200


def test_s18_a_target_that_turned_invalid_is_served_stale_across_a_restart(place: Place) -> None:
    place.put("target-0", "target-1")
    with Run(place):
        pass
    place.put("target-1", good=False)
    place.clock.advance(10)
    with Run(place) as turned:
        stale = turned.targets()["target-1"]
        assert stale["state"] == "stale" and stale["faults"]
    place.clock.advance(1000)
    restarted = Run(place).restore()
    try:
        assert restarted.targets()["target-1"] == stale
    finally:
        restarted.daemon.stop()
    with Run(place) as refreshed:
        assert refreshed.targets()["target-1"] == stale, "also once it was read again, invalid as it is"
        assert refreshed.targets()["target-0"]["state"] == "fresh"
        assert refreshed.status()["stale_targets"] == 1


def test_s21_all_that_turn_invalid_are_served_stale_across_a_restart(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"target-{n}" for n in range(10)]
    place.put(*names)
    with Run(place):
        pass
    place.put(*names, good=False)
    for _ in range(3):
        caplog.clear()
        with Run(place) as restarted:
            served = restarted.targets()
            assert sorted(served) == names and {one["state"] for one in served.values()} == {"stale"}
            assert restarted.status()["stale_targets"] == 10


def test_s18_s21_the_same_with_a_cluster(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    names = [f"target-{n}" for n in range(10)]
    with KubeServer() as kube:
        environ = {
            "KUBECONFIG": str(kubeconfig(tmp_path / "kubeconfig", kube.url)),
            "K8S_NAMESPACE": "default",
            "TARGET_WATCH": "false",
            "ALERT_REFRESH_STATE_DIR": str(state),
        }
        for name in names:
            kube.store.create(secret(name))
        for turn in range(3):
            daemon = Daemon(read_config(environ))
            client: Any = create_app(daemon).test_client()
            daemon.start()
            try:
                soon(lambda daemon=daemon: daemon.workers["targets"].get_status().succeeded == 1, "a refresh")  # type: ignore[misc]
                served = client.get(TARGETS).json["targets"]
            finally:
                daemon.stop()
            assert [one["name"] for one in served] == names
            assert {one["state"] for one in served} == {"stale" if turn else "fresh"}
            if turn == 0:
                for name in names:
                    kube.store.replace(raw_secret(name, "default", {}))
        kube.close()
        daemon = Daemon(read_config(environ))
        client = create_app(daemon).test_client()
        daemon.start()
        try:
            assert client.get(TARGETS).json["targets"] == served
            assert client.get(f"{TARGETS}/status").json["restored"] is True
        finally:
            daemon.stop()
        kube.open()


# What a disk and its rights may do


def test_p11_everything_that_is_written_belongs_to_us_alone_and_nothing_else_holds_a_credential(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    place.put("target-0")
    before = os.umask(0)
    try:
        with Run(place) as run:
            shown = run.client.get("/metrics").get_data(as_text=True) + json.dumps(run.status())
    finally:
        os.umask(before)
    assert {stat.S_IMODE(one.stat().st_mode) for one in place.state.iterdir()} == {0o600}
    holding = [one for one in place.state.iterdir() if CANARY.encode() in one.read_bytes()]
    assert holding == [place.file("targets")]
    assert CANARY not in shown + "".join(str(vars(record)) for record in caplog.records)


def test_with_a_key_no_file_shows_a_credential_and_another_key_opens_nothing(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.put("target-0")
    for number in (1, 2):
        (place.state.parent / f"key-{number}").write_bytes(bytes([number]) * 32)
        (place.state.parent / f"key-{number}").chmod(0o600)
    first, second = ({keep.KEY_FILE: str(place.state.parent / f"key-{number}")} for number in (1, 2))
    with Run(place, **first):
        pass
    assert not any(CANARY.encode() in one.read_bytes() for one in place.state.iterdir())
    for environ, served in ((first, True), (second, False)):
        after = Run(place, **environ).restore()
        assert (after.client.get(TARGETS).status_code == 200) is served
        after.daemon.stop()
    [record] = [one for one in caplog.records if one.getMessage() == "snapshot_rejected"]
    assert record.error == "it was encrypted with another key"  # type: ignore[attr-defined]


@pytest.fixture
def small(place: Place) -> Iterator[Place]:
    """The state folder is a file system of 16 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "none", str(place.state)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place.state)], check=True)


FAILURES = 'alert_refresh_snapshot_write_failures_total{kind="targets"}'


def again(run: Run) -> None:
    """One more refresh."""
    run.daemon.workers["targets"].notify(Trigger.FILE)
    run.refreshed()


def fails(run: Run, times: int) -> bool:
    return run.metrics()[FAILURES] == times


def test_p08_a_full_disk_fails_no_refresh_and_leaves_the_previous_file(small: Place) -> None:
    small.put("target-0")
    with Run(small) as run:
        soon(small.file("targets").exists, "the first snapshot")
        old = small.file("targets").read_bytes()
        (small.state / "big").write_bytes(bytes(4096))
        small.put(*(f"target-{n}" for n in range(40)))
        again(run)
        soon(lambda: fails(run, 1), "a failure")
        assert len(run.targets()) == 40 and run.status()["status"] == "success"
        assert small.file("targets").read_bytes() == old
        assert not [one for one in small.state.iterdir() if one.name.startswith(".")]
    after = Run(small).restore()
    assert list(after.targets()) == ["target-0"]
    after.daemon.stop()


def test_p08_a_file_system_that_turned_read_only_fails_no_refresh(small: Place) -> None:
    small.put("target-0")
    with Run(small) as run:
        soon(lambda: (small.state / outcomes_file.NAME).exists() and small.file("targets").exists(), "both files")
        remount = ["mount", "-o", "remount,ro", str(small.state)]
        soon(lambda: subprocess.run(remount, capture_output=True).returncode == 0, "read-only")
        small.put("target-1")
        again(run)
        soon(lambda: fails(run, 1), "a failure")
        assert len(run.targets()) == 2 and run.status()["status"] == "success"
    after = Run(small).restore()
    assert list(after.targets()) == ["target-0"], "reading goes on"
    after.daemon.stop()


def test_p08_a_limit_of_file_sizes_fails_no_refresh_of_the_program(place: Place) -> None:
    place.put("target-0")
    with Program(env=place.environ(TARGET_REFRESH_RATE_LIMIT="0s")) as program:
        program.wait_for("Targets refreshed successfully")
        assert eventually(place.file("targets").exists)
        old = place.file("targets").read_bytes()
        resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (len(old), len(old)))
        place.put("target-1")
        assert program.get(f"{TARGETS}/refresh?wait=10s", "POST")[0] == 200
        line = program.wait_for("The snapshot of targets cannot be written")
        assert (line["level"], line["error"]) == ("WARNING", "File too large")
        assert len(program.get(TARGETS)[2]["targets"]) == 2
        assert place.file("targets").read_bytes() == old
        assert eventually(lambda: not [one for one in place.state.iterdir() if one.name.startswith(".")])
        assert program.stop() < 20 and program.process.returncode == 0
