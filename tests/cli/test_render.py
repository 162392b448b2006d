"""`alert-refresh render`: Alertmanager's configuration, masked unless it is to be revealed, and nothing written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from alert_refresh.cli.main import main
from tests.targets.folder.folders import CANARY, config, secret, write

if TYPE_CHECKING:
    from pathlib import Path

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
    import base64
    import json

    data = {"config": base64.b64encode(json.dumps(config("b", headers={"X-Team": CANARY})).encode()).decode()}
    write(tmp_path / "targets/b.yaml", secret("b", data=data))
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
    assert result.exit_code == 1 and "alertmanager is off: set ALERTMANAGER_CONFIG_FILE" in result.stderr


def test_a_setting_that_is_invalid_ends_with_2(env: dict[str, str]) -> None:
    assert run(env | {"ALERTMANAGER_ROUTES": "no"}).exit_code == 2
