"""The command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from alert_refresh import __version__, daemon
from alert_refresh.cli.main import main
from alert_refresh.daemon import KINDS
from alert_refresh.engine import Fault, Partial, Permanent, Rejected, Snapshot
from alert_refresh.kind import it
from alert_refresh.observe.notify import describe
from tests.cli.stub import Stub
from tests.cli.stub import answer as http_answer
from tests.fakes import FakeSource
from tests.kinds import with_source
from tests.test_packaging import ROOT, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from click.testing import Result

CANARY = "canary"


def run(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    return CliRunner(env=dict(env or {})).invoke(main, arguments)


def answer(monkeypatch: pytest.MonkeyPatch, how: Callable[[int], Snapshot[Any]]) -> FakeSource:
    source = FakeSource(how)
    monkeypatch.setattr(daemon, "KINDS", with_source("targets", lambda _settings, _clock: source))
    return source


def test_it_has_a_version_and_help() -> None:
    assert run("--version").output == f"main {__version__}\n"
    assert "serve" in run("-h").output


def test_the_help_of_serve_lists_every_setting_with_its_meaning_and_default() -> None:
    found = run("serve", "--help")
    assert found.exit_code == 0
    words = " ".join(found.output.split())
    for name, (default, meaning) in listed().items():
        assert f" {name} {meaning} [default: {default or 'unset'}]" in words
    assert re.findall(r"^ +([A-Z0-9_]{5,})$", found.output, re.MULTILINE) == list(listed())


def test_the_help_does_not_depend_on_the_environment() -> None:
    wrong = {"TARGET_REFRESH_INTERVAL": "0s", "ALERT_REFRESH_ADMIN_TOKEN": CANARY, "VIEWS_DATABASE_URL": CANARY}
    assert run("serve", "--help", env=wrong).output == run("serve", "--help").output
    assert CANARY not in run("serve", "--help", env=wrong).output


def test_check_without_any_kind_succeeds_and_says_what_is_off() -> None:
    result = run("check")
    assert result.exit_code == 0
    off = [f"{kind.name}: off; to switch {it(kind.name)} on, {kind.enable_hint}" for kind in KINDS]
    assert result.output.splitlines() == ["Settings are valid.", describe(None), *off]


def test_check_reads_each_source_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source = answer(monkeypatch, lambda _: Snapshot({"a": "1", "b": "2"}, digest="x"))
    result = run("check")
    assert result.exit_code == 0
    assert "targets from fake: 2 read in " in result.output
    assert (source.calls, source.closed) == (1, 1)


def test_check_says_when_a_schedule_is_due_next(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, lambda _: Snapshot({"a": "1"}, digest="x"))
    env = {"TARGET_REFRESH_SCHEDULE": "30 0 1 1 *", "ALERT_REFRESH_TIMEZONE": "Europe/Berlin"}
    year = datetime.now(UTC).year
    said = next(one for one in run("check", env=env).output.splitlines() if "schedule" in one)
    assert re.fullmatch(rf"  by the schedule 30 0 1 1 \* \(Europe/Berlin\), next at {year}-12-31T23:30:00Z", said), said
    [targets, *others] = json.loads(run("check", "--json", env=env).output)["sources"]
    assert targets["schedule"] == "30 0 1 1 * (Europe/Berlin)"
    assert targets["next_refresh"] == f"{year}-12-31T23:30:00Z"
    assert all("schedule" not in one for one in others)


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
    assert f"targets from fake: {said}\n" in result.output
    assert CANARY not in result.output
    assert source.calls == 1


def test_check_fails_when_something_is_rejected_and_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    rejected = Rejected(
        {"namespace": "default", "secret": "bad"}, (Fault("url", "has no host"), Fault("name", "is empty"))
    )
    answer(monkeypatch, lambda _: Snapshot({"a": "1"}, rejected=(rejected,), digest="x"))
    result = run("check")
    assert result.exit_code == 1
    assert result.output.splitlines()[3:5] == ["  default/bad: url: has no host", "  default/bad: name: is empty"]


def test_check_abandons_a_source_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def hang(_: int) -> Snapshot[Any]:
        let_go.wait(30)
        return Snapshot({}, digest="x")

    answer(monkeypatch, hang)
    monkeypatch.setattr("alert_refresh.engine.attempt_threads.ABANDON_AFTER", 0.1)
    try:
        result = run("check", env={"TARGET_REFRESH_TIMEOUT": "50ms"})
    finally:
        let_go.set()
    assert result.exit_code == 1
    assert "failed (timeout)" in result.output


@pytest.mark.parametrize("kind", ["targets", "rules", "views"])
@pytest.mark.parametrize(
    "env",
    [
        {"VIEWS_REFRESH_ENABLED": "false", "RULES_REFRESH_ENABLED": "false"},
        {"RULES_REFRESH_ADAPTIVE": "true"},
        {f"{prefix}_REFRESH_RATE_LIMIT": "24h" for prefix in ("TARGET", "RULES", "VIEWS")},
        {f"{prefix}_REFRESH_WARMUP": "24h" for prefix in ("TARGET", "RULES", "VIEWS")},
    ],
    ids=["disabled", "adaptive", "rate limit", "warm-up"],
)
def test_check_makes_one_attempt_regardless_of_the_schedule(
    monkeypatch: pytest.MonkeyPatch, kind: str, env: Mapping[str, str]
) -> None:
    source = FakeSource(lambda n: Snapshot({"a": "1"}, digest="x"))
    monkeypatch.setattr(daemon, "KINDS", with_source(kind, lambda _settings, _clock: source))
    result = run("check", env=env)
    assert result.exit_code == 0
    assert f"{kind} from fake: 1 read in " in result.output
    assert source.calls == 1


def test_check_starts_no_watch_that_could_ask_for_a_refresh_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    source = answer(monkeypatch, lambda _: Snapshot({}, digest="x"))

    def watches(sink: Any) -> Any:
        raise AssertionError("check watches nothing")

    monkeypatch.setattr(source, "watches", watches)
    assert run("check").exit_code == 0
    assert source.calls == 1


def test_check_ends_when_no_attempt_does(monkeypatch: pytest.MonkeyPatch) -> None:
    source = answer(monkeypatch, lambda _: Snapshot({}, digest="x"))
    dead = threading.Event()
    monkeypatch.setattr("alert_refresh.engine.worker.Worker.tick", lambda _worker, _run: dead.wait(30))
    monkeypatch.setattr("alert_refresh.cli.once.MARGIN", 0.01)
    monkeypatch.setattr("alert_refresh.cli.once.ABANDON_AFTER", 0.01)
    result = run("check", "--json", env={"TARGET_REFRESH_TIMEOUT": "30ms"})
    dead.set()
    assert result.exit_code == 1
    found = json.loads(result.output)["sources"][0]
    assert (found["error"], found["error_type"]) == ("no attempt ended within 0.05 s", "timeout")
    assert (found["items"], found["duration_ms"], source.calls) == (0, 50, 0)


def test_check_shows_no_control_character_of_what_it_read(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "a\x1b[31m\r\nb\u202e\u2028\udcff\x00"
    rejected = Rejected({"namespace": hostile, "secret": hostile}, (Fault(hostile, hostile),))

    def fail(_: int) -> Snapshot[Any]:
        raise Partial(Snapshot({}, rejected=(rejected,), digest="x"), Permanent(hostile, "auth"))

    answer(monkeypatch, fail)
    result = run("check")
    assert result.exit_code == 1
    assert all(line.isprintable() for line in result.output.split("\n"))
    assert len(result.output.splitlines()) == 2 + 2 + 3, (
        "the settings, the notifications, the targets and their fault, three kinds off"
    )
    assert result.output.count("a\\x1b[31m\\r\\nb\\u202e\\u2028\\udcff\\x00") == 5
    found = json.loads(run("check", "--json").output)["sources"][0]
    assert found["error"] == hostile
    assert found["rejected"] == [
        {"source": {"namespace": hostile, "secret": hostile}, "faults": [{"field": hostile, "message": hostile}]}
    ]


class Asked(FakeSource):
    """A source with scripted missing rights."""

    def __init__(self, tell: Callable[[], list[tuple[str, str]]]) -> None:
        super().__init__(lambda n: Snapshot({}, digest="x"))
        self.tell = tell

    def missing_rights(self, deadline: Any) -> list[tuple[str, str]]:
        return self.tell()

    def role(self, rights: Any, deadline: Any) -> str:
        return ""


def test_check_does_not_wait_for_rights_that_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def hang() -> list[tuple[str, str]]:
        let_go.wait(30)
        return []

    source = Asked(hang)
    monkeypatch.setattr(daemon, "KINDS", with_source("targets", lambda _settings, _clock: source))
    monkeypatch.setattr("alert_refresh.cli.once.ABANDON_AFTER", 0.01)
    result = run("check", "--json", env={"TARGET_REFRESH_TIMEOUT": "2s"})
    let_go.set()
    found = json.loads(result.output)["sources"][0]
    assert result.exit_code == 0
    assert "missing_rights" not in found and source.closed == 2


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
    assert [one["kind"] for one in found["sources"]] == [kind.name for kind in KINDS]


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


def test_check_tells_on_stderr_what_is_probably_not_meant_and_it_is_no_fault() -> None:
    result = run("check", "--json", env={"rules_file\x1b": CANARY})
    assert result.exit_code == 0
    assert json.loads(result.stdout)["settings"] == []
    said = "Warning: rules_file\\x1b is not a setting of this program; did you mean RULES_FILE?\n"
    assert result.stderr == said


def test_an_unknown_command_is_refused() -> None:
    assert run("fly").exit_code == 2


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["plan"],
        ["rules", "check", "config/examples/rules.yaml"],
        ["targets", "validate", "config/examples/targets"],
    ],
    ids=" ".join,
)
def test_both_ways_of_asking_for_json_are_the_same(command: list[str]) -> None:
    found = [run(*command, *form) for form in (["--json"], ["-o", "json"], ["--output=json"], ["-o", "text", "--json"])]
    assert len({one.output for one in found}) == 1 and isinstance(json.loads(found[0].stdout), dict)
    assert run(*command, "-o", "text").stdout == run(*command).stdout
    assert run(*command).stdout != found[0].stdout


def loaded_by(*arguments: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running a command."""
    code = "import sys; from alert_refresh.cli.main import main\ntry:\n    main(sys.argv[1:])\nfinally:\n    "
    code += "print(*sys.modules, file=sys.stderr)"
    words = [sys.executable, "-c", code, *arguments]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=50, check=False, env={"PYTHONPATH": str(ROOT)})
    return set(ran.stderr.split())


def test_help_imports_neither_the_engine_nor_an_http_client() -> None:
    loaded = loaded_by("--help")
    assert "alert_refresh.cli.refreshes" in loaded
    assert not loaded & {"alert_refresh.engine", "alert_refresh.daemon", "http.client", "ssl", "logging", "yaml"}


def test_a_health_check_imports_no_more_than_it_needs() -> None:
    """It runs every few seconds."""
    with Stub(lambda _: http_answer({"status": "ok"})) as daemon:
        loaded = loaded_by("healthcheck", "--url", daemon.url)
    assert "http.client" in loaded and len(daemon.asked) == 1
    assert not loaded & {"alert_refresh.engine", "alert_refresh.daemon", "logging", "yaml"}
