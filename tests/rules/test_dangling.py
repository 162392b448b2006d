"""Rules that name targets that do not exist: logged once, counted, listed, and a fault of a strict check."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from alert_refresh.cli.main import main
from alert_refresh.daemon import Daemon, read_config
from alert_refresh.rules import dangling as dangling_module
from alert_refresh.rules.dangling import Dangling, dangling
from alert_refresh.web.app import create_app
from tests.fakes import FakeClock
from tests.rules.examples import rule, rule_set
from tests.stage import eventually
from tests.targets.folder.folders import secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

from alert_refresh.engine import Snapshot

RULES = """
- {id: good, targets: [slack]}
- {id: lost, targets: [slack, pager, pager]}
- {id: old, targets: [mail], enabled: false}
"""
PAIRS = [{"rule": "old", "target": "mail"}, {"rule": "lost", "target": "pager"}]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A file with three rules, and a folder with one target."""
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "targets").mkdir()
    add(tmp_path, "slack")
    return {"RULES_FILE": str(tmp_path / "rules.yaml"), "TARGET_DIRECTORY": str(tmp_path / "targets")}


@pytest.fixture
def daemon(environ: dict[str, str]) -> Iterator[Daemon]:
    found = Daemon(read_config(environ), FakeClock())
    Dangling(found.workers)
    yield found
    found.stop()


def load(daemon: Daemon) -> None:
    """Start, and wait until both kinds are loaded and their listeners were called."""
    outcomes: list[object] = []
    for worker in daemon.workers.values():
        worker.listen(outcomes.append)
    daemon.start()
    eventually(lambda: len(outcomes) == 2, "both kinds")


def add(folder: Path, name: str) -> None:
    temporary = folder / f".{name}"
    temporary.write_text(json.dumps(secret(name)))
    temporary.rename(folder / "targets" / f"{name}.json")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "alert_refresh.rules.dangling"]


def loaded(*found: Any) -> Snapshot[Any]:
    read = rule_set(found)
    return Snapshot(items=read.rules, memo=read)


def test_pairs_are_in_the_order_of_targets_and_rules() -> None:
    found = loaded(rule("b", targets=("x", "y")), rule("a", targets=("y", "y", "z")))
    targets: Snapshot[Any] = Snapshot(items={"z": None})
    assert dangling(found, targets) == (("b", "x"), ("a", "y"), ("b", "y"))


@pytest.mark.parametrize("known", [(True, False), (False, True), (False, False)])
def test_nothing_dangles_while_one_kind_is_not_loaded(known: tuple[bool, bool]) -> None:
    rules = loaded(rule("a", targets=("x",)))
    targets: Snapshot[Any] = Snapshot(items={})
    assert dangling(rules if known[0] else None, targets if known[1] else None) == ()
    assert dangling(rules, targets) == (("a", "x"),)


def test_status_and_gauge_tell_which_and_how_many(daemon: Daemon) -> None:
    load(daemon)
    client = create_app(daemon).test_client()
    status: Any = client.get("/api/v2/rules/status").json
    assert (status["dangling_targets"], status["dangling_targets_count"]) == (PAIRS, 2)
    assert (status["missing_targets"], status["missing_targets_count"]) == ([pair["target"] for pair in PAIRS], 2)
    assert "alert_refresh_rules_dangling_targets 2.0" in client.get("/metrics").get_data(as_text=True)


def test_the_list_is_bounded_and_the_count_is_not(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    load(daemon)
    monkeypatch.setattr(dangling_module, "MOST", 1)
    status: Any = create_app(daemon).test_client().get("/api/v2/rules/status").json
    assert (status["dangling_targets"], status["dangling_targets_count"]) == (PAIRS[:1], 2)
    assert (status["missing_targets"], status["missing_targets_count"]) == ([PAIRS[0]["target"]], 2)


def test_a_target_that_several_rules_miss_is_one_missing_target() -> None:
    assert dangling_module.missing((("a", "x"), ("b", "x"), ("a", "y"))) == ("x", "y")


def test_each_pair_is_warned_of_once_until_it_changes(
    daemon: Daemon, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost = "Rule lost names target pager, which does not exist"
    old = "Rule old names target mail, which does not exist"
    load(daemon)
    assert set(warnings(caplog)) == {old, lost}
    assert {one.levelno for one in caplog.records if one.name == "alert_refresh.rules.dangling"} == {logging.WARNING}
    caplog.clear()
    worker = daemon.workers["targets"]

    def publish(*names: str) -> None:
        served = worker.get_status().snapshot
        assert served is not None
        items = dict.fromkeys(names, served.items["slack"])
        assert worker.publish(replace(served, items=items, digest=" ".join(names)), served, seen_at=0.0)

    publish("slack")
    assert warnings(caplog) == []
    publish("slack", "pager")
    assert warnings(caplog) == []
    publish("slack")
    assert warnings(caplog) == [lost]


def test_very_many_are_not_logged_one_by_one(
    daemon: Daemon, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(daemon)
    caplog.clear()
    monkeypatch.setattr(dangling_module, "MOST_LOGGED", 1)
    Dangling(daemon.workers)._warn(None)
    assert warnings(caplog) == [
        "Rule old names target mail, which does not exist",
        "Rules name targets that do not exist 1 times more",
    ]


@pytest.mark.parametrize("off", ["RULES_FILE", "TARGET_DIRECTORY"])
def test_with_a_kind_that_is_off_no_rule_dangles(environ: dict[str, str], off: str) -> None:
    del environ[off]
    found = Daemon(read_config(environ), FakeClock())
    assert Dangling(found.workers)() == ()
    shown = create_app(found).test_client().get("/metrics").get_data(as_text=True)
    assert ("alert_refresh_rules_dangling_targets 0.0" in shown) == (off != "RULES_FILE")


def check(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], *options: str) -> Any:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return CliRunner().invoke(main, ["check", *options])


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1)])
def test_check_names_them_and_fails_if_it_is_strict(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], options: tuple[str, ...], code: int
) -> None:
    result = check(monkeypatch, environ, *options)
    assert result.exit_code == code, result.output
    assert "  rule lost names target pager, which does not exist\n" in result.output
    assert "  rule old names target mail, which does not exist\n" in result.output
    sources = json.loads(check(monkeypatch, environ, *options, "--json").stdout)["sources"]
    (entry,) = [one for one in sources if one["kind"] == "rules"]
    assert (entry["dangling_targets"], entry["dangling_targets_count"]) == (PAIRS, 2)


def test_a_strict_check_passes_once_every_target_is_there(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], tmp_path: Path
) -> None:
    for name in ("pager", "mail"):
        add(tmp_path, name)
    result = check(monkeypatch, environ, "--strict")
    assert result.exit_code == 0 and "does not exist" not in result.output


def test_check_says_how_many_it_does_not_list(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    monkeypatch.setattr(dangling_module, "MOST", 1)
    assert "  and 1 more\n" in check(monkeypatch, environ).output
