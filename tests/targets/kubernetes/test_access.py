"""Repaired credentials are used immediately."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from alert_refresh.engine import Outcome, Result, SystemClock, Trigger
from alert_refresh.targets.kubernetes import access as access_watch
from alert_refresh.targets.kubernetes.access import access_watches
from alert_refresh.targets.kubernetes.client import SERVICE_ACCOUNT, KubeClient
from tests.fakes import FakeSink
from tests.faults.kubernetes import TOKEN, world
from tests.kube import KubeServer, kubeconfig
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def ended(result: Result) -> Outcome:
    return Outcome("targets", Trigger.PERIODIC, "id", 1, result, started_at=0.0, duration=0.0)


class Noted:
    """A running watch of one folder, and its triggers."""

    def __init__(self, folder: Path) -> None:
        self.triggers: list[Trigger] = []
        self.came = threading.Event()
        self.file, self._new = folder / "token", folder.with_name(f"{folder.name}-new")
        self.file.write_text("old")
        (self.watch,) = access_watches([self.file, folder / "ca.crt"], FakeSink(self._notify))
        self._thread = threading.Thread(target=self.watch.run)
        self._thread.start()

    def _notify(self, trigger: Trigger) -> None:
        self.triggers.append(trigger)
        self.came.set()

    def replace(self) -> None:
        """Put another token in place, which is one event: of a file that is written in place there are several."""
        self._new.write_text("new")
        self._new.rename(self.file)

    def stop(self) -> None:
        self.watch.stop()
        self._thread.join()


@pytest.fixture
def noted(tmp_path: Path) -> Iterator[Noted]:
    found = Noted(tmp_path)
    yield found
    found.stop()


def test_a_token_replaced_while_refreshes_fail_is_used_immediately(noted: Noted) -> None:
    noted.watch.refreshed(ended(Result.FAILED))
    noted.replace()
    assert noted.came.wait(30)
    assert set(noted.triggers) == {Trigger.FILE}


def test_a_token_that_changes_under_an_attempt_that_fails_is_worth_another(noted: Noted) -> None:
    noted.replace()
    eventually(lambda: noted.watch._changed)
    assert noted.triggers == []
    noted.watch.refreshed(ended(Result.FAILED))
    assert noted.triggers == [Trigger.FILE]
    noted.watch.refreshed(ended(Result.FAILED))
    assert noted.triggers == [Trigger.FILE], "it is tried once"


def test_a_change_while_all_is_well_waits_for_the_next_refresh(noted: Noted) -> None:
    noted.replace()
    eventually(lambda: noted.watch._changed)
    noted.watch.refreshed(ended(Result.SUCCESS))
    noted.watch.refreshed(ended(Result.FAILED))
    assert noted.triggers == []


def test_without_inotify_the_schedule_finds_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(access_watch, "AccessWatch", none)
    assert access_watches([tmp_path / "token"], FakeSink()) == ()
    assert "Too many open files" in caplog.text


def test_a_kubeconfig_is_watched_with_the_files_it_names(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1", user={"tokenFile": "secret/token"})
    found = KubeClient(str(file), clock=SystemClock()).files()
    assert found == [file, tmp_path / "secret" / "token"]


def test_a_kubeconfig_that_cannot_be_read_is_watched_alone(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    assert KubeClient(str(file), clock=SystemClock()).files() == [file]
    file.write_text("users: [a: b]]]")
    assert KubeClient(str(file), clock=SystemClock()).files() == [file]
    file.write_text("[]")
    assert KubeClient(str(file), clock=SystemClock()).files() == [file]


def test_in_a_pod_the_service_account_is_watched() -> None:
    found = KubeClient("", pod_server="https://127.0.0.1:1", clock=SystemClock()).files()
    assert found == [SERVICE_ACCOUNT / "token", SERVICE_ACCOUNT / "ca.crt"]


def test_a_refused_token_that_is_replaced_serves_without_waiting_for_the_schedule(tmp_path: Path) -> None:
    with KubeServer() as kube:
        token = tmp_path / "token"
        token.write_text(TOKEN)
        kube.tokens = {TOKEN}
        file = kubeconfig(tmp_path / "kubeconfig", kube.url, user={"tokenFile": str(token)})
        with world(tmp_path, kube, file=file, watch=True) as it:
            eventually(lambda: (health := it.worker.watch_health()) is not None and health.connected)
            kube.tokens = {"canary-new"}
            assert [one.error_type for one in it.refresh()] == ["auth"]
            token.write_text("canary-new")
            eventually(lambda: it.worker.get_status().consecutive_failures == 0)
            last = it.worker.get_status().last
            assert last is not None and last.trigger is Trigger.FILE
