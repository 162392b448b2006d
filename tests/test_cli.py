"""The command line."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from alert_refresh import __version__, targets
from alert_refresh.cli import main
from alert_refresh.daemon import KINDS
from alert_refresh.engine import Fault, Permanent, Rejected, Snapshot
from tests.fakes import FakeSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from click.testing import Result

CANARY = "canary"


def run(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    return CliRunner(env=dict(env or {})).invoke(main, arguments)


def answer(monkeypatch: pytest.MonkeyPatch, how: Callable[[int], Snapshot[Any]]) -> FakeSource:
    source = FakeSource(how)
    monkeypatch.setattr(targets, "build", lambda _settings, _clock: source)
    return source


def test_it_has_a_version_and_help() -> None:
    assert run("--version").output == f"main {__version__}\n"
    assert "serve" in run("-h").output


def test_check_with_nothing_configured_is_right_and_says_what_is_off() -> None:
    result = run("check")
    assert result.exit_code == 0
    off = [f"{module.KIND.name}: off; to switch them on, {module.OFF}" for module in KINDS]
    assert result.output.splitlines() == ["Settings are right.", *off]


def test_check_reads_each_source_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source = answer(monkeypatch, lambda _: Snapshot({"a": "1", "b": "2"}, digest="x"))
    result = run("check")
    assert result.exit_code == 0
    assert "targets from fake: 2 read in " in result.output
    assert (source.calls, source.closed) == (1, 1)


def failing(_: int) -> Snapshot[Any]:
    raise Permanent("403 Forbidden", "auth")


def crashing(_: int) -> Snapshot[Any]:
    raise RuntimeError(CANARY)


@pytest.mark.parametrize(
    ("how", "said"),
    [(failing, "failed (auth): 403 Forbidden"), (crashing, "failed (unknown): unexpected RuntimeError")],
)
def test_check_fails_when_a_source_does(
    monkeypatch: pytest.MonkeyPatch, how: Callable[[int], Snapshot[Any]], said: str
) -> None:
    source = answer(monkeypatch, how)
    result = run("check", env={"TARGET_REFRESH_MAX_RETRIES": "5"})
    assert result.exit_code == 1
    assert f"targets from fake: {said} in " in result.output
    assert CANARY not in result.output
    assert source.calls == 1


def test_check_fails_when_something_is_rejected_and_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    rejected = Rejected(
        {"namespace": "default", "secret": "bad"}, (Fault("url", "has no host"), Fault("name", "is empty"))
    )
    answer(monkeypatch, lambda _: Snapshot({"a": "1"}, rejected=(rejected,), digest="x"))
    result = run("check")
    assert result.exit_code == 1
    assert result.output.splitlines()[2:4] == ["  default/bad: url: has no host", "  default/bad: name: is empty"]


def test_check_gives_up_on_a_source_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def hang(_: int) -> Snapshot[Any]:
        let_go.wait(30)
        return Snapshot({}, digest="x")

    answer(monkeypatch, hang)
    monkeypatch.setattr("alert_refresh.engine.worker.ABANDON_AFTER", 0.1)
    try:
        result = run("check", env={"TARGET_REFRESH_TIMEOUT": "50ms"})
    finally:
        let_go.set()
    assert result.exit_code == 1
    assert "failed (timeout)" in result.output


def test_check_speaks_json(monkeypatch: pytest.MonkeyPatch) -> None:
    rejected = Rejected({"secret": "bad"}, (Fault("url", "has no host"),))
    answer(monkeypatch, lambda _: Snapshot({"a": "1"}, rejected=(rejected,), digest="x"))
    result = run("check", "--json")
    assert result.exit_code == 1
    found = json.loads(result.output)
    duration = found["sources"][0].pop("duration_ms")
    assert duration >= 0
    assert found["settings"] == []
    assert found["sources"][0] == {
        "kind": "targets",
        "source": "fake",
        "items": 1,
        "error": None,
        "error_type": None,
        "rejected": [{"source": {"secret": "bad"}, "faults": [{"field": "url", "message": "has no host"}]}],
    }
    assert [one["kind"] for one in found["sources"]] == [module.KIND.name for module in KINDS]


@pytest.mark.parametrize("command", [["check"], ["serve"]])
def test_wrong_settings_end_with_2_and_a_line_for_each(command: list[str]) -> None:
    result = run(*command, env={"TARGET_REFRESH_INTERVAL": "0s", "ALERT_REFRESH_THREADS": "1\n\x1b[31m"})
    assert result.exit_code == 2
    assert result.stdout == ""
    assert [line.partition("=")[0] for line in result.stderr.splitlines()] == [
        "TARGET_REFRESH_INTERVAL",
        "ALERT_REFRESH_THREADS",
    ]
    assert result.stderr.replace("\n", "").isprintable()


def test_wrong_settings_are_json_too() -> None:
    result = run("check", "--json", env={"TARGET_REFRESH_INTERVAL": "0s"})
    assert result.exit_code == 2
    assert json.loads(result.stdout) == {
        "settings": [{"name": "TARGET_REFRESH_INTERVAL", "value": "0s", "reason": "must be greater than 0"}],
        "sources": [],
    }


def test_an_unknown_command_is_refused() -> None:
    assert run("fly").exit_code == 2
