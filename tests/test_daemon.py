"""The daemon: all kinds together, started and stopped as one."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh import daemon as program
from alert_refresh.daemon import Daemon, read_config, take_server_variables
from alert_refresh.engine import RefreshSettings, Snapshot
from alert_refresh.kind import Kind
from tests.fakes import FakeClock, FakeSource
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alert_refresh.env import Env


def kind(name: str, source: FakeSource | None) -> Kind:
    """A kind whose source is this one, or which is off."""

    def read(env: Env) -> Any:
        return SimpleNamespace(refresh=RefreshSettings(warmup=30))

    return Kind(
        name=name,
        prefix=f"{name.upper()}_REFRESH_",
        error_types=("unknown",),
        enable_hint=f"set {name.upper()}_FILE",
        read=read,
        build=lambda _settings, _clock, _before: source,
        blueprint="",
    )


class Hanging:
    """Makes a source hang until the test ends."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self, _: int) -> Snapshot[str]:
        self.begun.set()
        self.let_go.wait(30)
        return Snapshot({}, digest="late")


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    one = Hanging()
    yield one
    one.let_go.set()


def make(
    monkeypatch: pytest.MonkeyPatch, clock: Any = None, timeout: str = "30s", **sources: FakeSource | None
) -> Daemon:
    monkeypatch.setattr(program, "KINDS", tuple(kind(name, source) for name, source in sources.items()))
    return Daemon(read_config({"ALERT_REFRESH_SHUTDOWN_TIMEOUT": timeout}), clock)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def wait_for_success(daemon: Daemon, name: str) -> None:
    eventually(lambda: daemon.workers[name].get_status().succeeded > 0, "the first refresh")


def test_each_configured_kind_has_a_worker_and_the_others_an_enable_hint(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source = FakeSource()
    daemon = make(monkeypatch, targets=source, rules=None)
    assert list(daemon.workers) == ["targets"]
    assert daemon.off == {"rules": "set RULES_FILE"}
    daemon.start()
    try:
        eventually(lambda: "Targets refreshed successfully" in messages(caplog), "the line of the first refresh")
    finally:
        assert daemon.stop() is True
    lines = messages(caplog)
    assert lines[0].startswith("alert-refresh ")
    assert vars(caplog.records[0])["settings"]["ALERT_REFRESH_SHUTDOWN_TIMEOUT"] == "30s"
    assert lines[1] == "Rules are off; to switch them on, set RULES_FILE"
    assert lines[2:] == ["Targets refreshed successfully", "Stopping", "shutdown_clean"]
    assert source.closed == 1


def test_nothing_configured_at_all_is_one_warning_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = make(monkeypatch, targets=None, rules=None)
    daemon.start()
    daemon.stop()
    [record] = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert record.getMessage().startswith("Nothing is configured, and nothing is kept up to date")
    assert vars(record)["off"]["rules"] == "set RULES_FILE"


def test_settings_that_are_right_but_probably_not_meant_are_warnings_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(program, "KINDS", (kind("targets", FakeSource()),))
    daemon = Daemon(read_config({"ALERT_REFRESH_PORT": "9090"}))
    daemon.start()
    daemon.stop()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["ALERT_REFRESH_PORT is not a setting of this program; did you mean ALERT_REFRESH_BIND?"]


def test_it_starts_again_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource()
    daemon = make(monkeypatch, targets=source)
    for _ in range(2):
        daemon.start()
        assert not daemon.halted.is_set()
        daemon.workers["targets"].get_status()
        assert daemon.stop() is True
        assert daemon.halted.is_set()
        assert not daemon.workers["targets"].get_status().running


def test_a_stop_of_what_never_started_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make(monkeypatch, targets=FakeSource()).stop() is True


def test_all_kinds_share_the_timeout_and_an_abandoned_refresh_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hanging: Hanging
) -> None:
    caplog.set_level(logging.INFO)
    second = Hanging()
    daemon = make(monkeypatch, timeout="2s", targets=FakeSource(hanging), rules=FakeSource(second), views=FakeSource())
    daemon.start()
    assert hanging.begun.wait(30)
    assert second.begun.wait(30)
    wait_for_success(daemon, "views")
    try:
        assert daemon.stop() is False
    finally:
        second.let_go.set()
    stopping = next(record for record in caplog.records if record.getMessage() == "Stopping")
    assert vars(stopping)["in_progress"] == ["targets", "rules"]
    assert vars(stopping)["timeout"] == "2s"
    assert vars(caplog.records[-1])["abandoned"] == ["targets", "rules"]
    assert "shutdown_clean" not in messages(caplog)


def test_halt_returns_immediately_and_nothing_starts_after_it(
    monkeypatch: pytest.MonkeyPatch, hanging: Hanging
) -> None:
    daemon = make(monkeypatch, targets=FakeSource(hanging))
    daemon.start()
    assert hanging.begun.wait(30)
    daemon.halt()
    assert daemon.halted.is_set()
    assert daemon.workers["targets"].get_status().stopping
    hanging.let_go.set()
    assert daemon.stop(timeout=30) is True


def test_the_time_to_stop_runs_from_halt(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    daemon = make(monkeypatch, clock, timeout="200ms", targets=FakeSource())
    asked: list[float] = []
    monkeypatch.setattr(daemon.workers["targets"], "stop", asked.append)
    daemon.halt()
    clock.advance(0.15)
    daemon.halt()
    daemon.stop()
    clock.advance(10)
    daemon.stop()
    assert asked == pytest.approx([0.05, 0.0])


def test_stuck_threads_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = make(monkeypatch, targets=FakeSource(), rules=FakeSource())
    assert daemon.stuck() == []
    monkeypatch.setattr(daemon.workers["rules"], "health", lambda: "rules-worker")
    assert daemon.stuck() == ["rules-worker"]


def test_what_gunicorn_would_read_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    monkeypatch.setenv("NOTIFY_SOCKET", "/x")
    monkeypatch.setenv("PATH", "/bin")
    assert take_server_variables() == {"WEB_CONCURRENCY": "4", "NOTIFY_SOCKET": "/x"}
    assert take_server_variables() == {}
    assert read_config().port == 8080


def test_the_environment_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERT_REFRESH_THREADS", "5")
    assert read_config().threads == 5


def test_a_kind_gets_the_workers_of_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Mapping[str, Any]] = []

    def build(_settings: Any, _clock: Any, before: Mapping[str, Any]) -> FakeSource:
        seen.append(before)
        return FakeSource()

    kinds = (kind("targets", FakeSource()), kind("views", None), replace(kind("upon", None), build=build))
    monkeypatch.setattr(program, "KINDS", (*kinds, kind("last", FakeSource())))
    daemon = Daemon(read_config({}))
    assert seen == [{"targets": daemon.workers["targets"]}]
    assert list(daemon.workers) == ["targets", "upon", "last"]
