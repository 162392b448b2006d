"""`alert-refresh render`: Alertmanager's configuration, masked unless it is to be revealed, and nothing written."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from alert_refresh.cli.main import main
from tests.alertmanager.amtool import amtool
from tests.targets.folder.folders import CANARY, config, secret, write

if TYPE_CHECKING:
    from click.testing import Result


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "targets").mkdir()
    write(tmp_path / "targets/a.yaml", secret("a"))
    (tmp_path / "rules.yaml").write_text("rules: [{id: r, match: ['severity=\"page\"'], targets: [a]}]\n")
    (tmp_path / "template.yml").write_text("route: {receiver: d}\nreceivers: [{name: d}]\n")
    return {
        "TARGET_DIRECTORY": str(tmp_path / "targets"),
        "RULES_FILE": str(tmp_path / "rules.yaml"),
        "ALERTMANAGER_CONFIG_TEMPLATE": str(tmp_path / "template.yml"),
        "ALERTMANAGER_CONFIG_FILE": str(tmp_path / "alertmanager.yml"),
    }


def undeliverable() -> dict[str, str]:
    """The data of a Secret with a header that Alertmanager, of which nothing is known, may not be able to send."""
    return {"config": b64encode(json.dumps(config("b", headers={"X-Team": CANARY})).encode()).decode()}


def run(env: dict[str, str], *more: str) -> Result:
    return CliRunner().invoke(main, ["render", *more], env=env)


def test_s8_it_prints_the_configuration_masked(env: dict[str, str], tmp_path: Path) -> None:
    result = run(env)
    assert result.exit_code == 0, result.output
    assert '- name: "alert-refresh/a"' in result.stdout and 'severity="page"' in result.stdout
    assert CANARY not in result.output
    assert sorted(one.name for one in tmp_path.iterdir()) == ["rules.yaml", "targets", "template.yml"]


def test_s8_revealed_it_is_what_would_be_written(env: dict[str, str]) -> None:
    assert f"https://hooks.example.com/{CANARY}/a" in run(env, "--reveal").stdout


def test_what_is_undeliverable_is_told_beside_it(env: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "targets/b.yaml", secret("b", data=undeliverable()))
    result = run(env)
    assert result.exit_code == 0 and result.stderr.startswith("b: headers: undeliverable: ")
    assert CANARY not in result.output


def test_what_cannot_be_read_is_a_fault(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("rules: [")
    result = run(env)
    assert result.exit_code == 1 and "rules: " in result.stderr
    assert "alertmanager: there is nothing to render" in result.stderr


def test_a_configuration_that_cannot_be_made_is_a_fault(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "template.yml").write_text("receivers: []\n")
    result = run(env)
    assert (result.exit_code, result.stdout) == (1, "") and "alertmanager: " in result.stderr


def test_off_it_says_how_to_switch_it_on(env: dict[str, str]) -> None:
    result = run({"TARGET_DIRECTORY": env["TARGET_DIRECTORY"]})
    assert result.exit_code == 1 and "alertmanager: it is off: set ALERTMANAGER_CONFIG_FILE" in result.stderr


def test_a_setting_that_is_invalid_ends_with_2(env: dict[str, str]) -> None:
    assert run(env | {"ALERTMANAGER_ROUTES": "no"}).exit_code == 2
    result = run(env | {"ALERTMANAGER_ROUTES": "no"}, "-o", "json")
    found = json.loads(result.stdout)
    assert (result.exit_code, [one["name"] for one in found.pop("settings")]) == (2, ["ALERTMANAGER_ROUTES"])
    assert found == {"text": None, "errors": [], "undeliverable": [], "unchecked": []}


def test_as_json_it_is_one_object(env: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "targets/b.yaml", secret("b", data=undeliverable()))
    result = run(env, "-o", "json")
    found = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, found["settings"], found["errors"]) == (0, "", [], [])
    assert '- name: "alert-refresh/a"' in found["text"] and CANARY not in result.output
    [left_out] = found["undeliverable"]
    assert left_out["target"] == "b" and [one["field"] for one in left_out["faults"]] == ["headers"]
    assert f"https://hooks.example.com/{CANARY}/a" in json.loads(run(env, "--json", "--reveal").stdout)["text"]


def test_as_json_it_says_what_cannot_be_read(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "template.yml").write_text("receivers: []\n")
    result = run(env, "-o", "json")
    found = json.loads(result.stdout)
    [error] = found["errors"]
    assert (result.exit_code, found["text"], found["undeliverable"]) == (1, None, [])
    assert (error["kind"], error["error_type"]) == ("alertmanager", "validate")
    assert json.loads(run({}, "-o", "json").stdout)["errors"][-1]["error_type"] == "config"


def test_what_alertmanager_would_refuse_is_left_out_and_named(env: dict[str, str], tmp_path: Path) -> None:
    bad = "{id: bad, match: ['instance=~\"\\p{Kawi}\"'], targets: [a]}"
    (tmp_path / "rules.yaml").write_text(f"rules: [{{id: r, match: ['severity=\"page\"'], targets: [a]}}, {bad}]\n")
    before = run(env | {"PATH": str(tmp_path)})
    assert "Kawi" in before.stdout and "alertmanager: not checked: amtool is not in the PATH" in before.stderr
    found = run(env | {"PATH": str(Path(amtool()).parent)})
    assert found.exit_code == 0 and "Kawi" not in found.stdout and 'severity="page"' in found.stdout
    assert found.stderr.startswith("bad: alertmanager: undeliverable: Alertmanager")
