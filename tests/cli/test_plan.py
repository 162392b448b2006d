"""`alert-refresh plan`: what the next refresh would change, what would be held, and nothing published."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from alert_refresh.cli.main import main
from alert_refresh.daemon import Daemon, read_config
from tests.stage import eventually
from tests.targets.folder.folders import CANARY, config, secret, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result


class Planned:
    """Ten targets and three rules; `keep` runs a daemon until it has kept them."""

    def __init__(self, folder: Path) -> None:
        self.root, self.state, self.rules = folder / "targets", folder / "state", folder / "rules.yaml"
        self.root.mkdir()
        self.state.mkdir()
        for number in range(10):
            write(self.root / f"{number}.yaml", secret(f"t{number}"))
        self.rules.write_text("".join(f"- {{id: r{n}, match: ['a=\"{n}\"'], targets: [t{n}]}}\n" for n in range(3)))
        self.before: dict[str, tuple[bytes, int]] = {}
        self.env = {
            "TARGET_DIRECTORY": str(self.root),
            "RULES_FILE": str(self.rules),
            "ALERT_REFRESH_STATE_DIR": str(self.state),
            "TARGET_WATCH": "false",
        }

    def keep(self) -> None:
        daemon = Daemon(read_config(self.env))
        daemon.start()
        try:
            for kind in ("targets", "rules"):
                eventually((self.state / f"snapshot-{kind}").exists, f"the snapshot of {kind}")
        finally:
            daemon.stop()

    def remember(self) -> None:
        """Remember what is in the state directory."""
        self.before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in self.state.iterdir()}

    def plan(self, *more: str, **env: str) -> Result:
        return CliRunner().invoke(main, ["plan", *more], env=self.env | env)

    def kinds(self) -> dict[str, Any]:
        return {one["kind"]: one for one in json.loads(self.plan("--json").stdout)["kinds"]}


@pytest.fixture
def planned(tmp_path: Path) -> Iterator[Planned]:
    it = Planned(tmp_path)
    it.keep()
    it.remember()
    yield it
    before = it.before
    it.remember()
    assert it.before == before, "a plan writes nothing"


def changed(name: str, **changes: Any) -> dict[str, Any]:
    """The manifest of a target with other fields."""
    data = {"config": base64.b64encode(json.dumps(config(name, **changes)).encode()).decode()}
    return secret(name, data=data)


def test_where_nothing_changes_the_exit_status_is_0(planned: Planned) -> None:
    result = planned.plan()
    assert result.output.splitlines() == ["targets from directory: nothing changes", "rules from file: nothing changes"]
    assert result.exit_code == 0


def test_changes_are_shown_name_by_name_and_field_by_field(planned: Planned) -> None:
    write(planned.root / "new.yaml", secret("new"))
    write(planned.root / "0.yaml", changed("t0", enabled=False, url=f"https://hooks.example.com/{CANARY}/other"))
    (planned.root / "9.yaml").unlink()
    planned.rules.write_text(
        "- {id: r0, match: ['a=\"5\"'], targets: [t0]}\n- {id: r1, match: ['a=\"1\"'], targets: [t1]}\n"
    )
    result = planned.plan()
    assert result.output.splitlines() == [
        "targets from directory: 1 added, 1 changed, 1 removed",
        "  + new",
        "  ~ t0: enabled: True -> False; url changed (masked)",
        "  - t9",
        "rules from file: 1 changed, 1 removed",
        "  ~ r0: match: ['a=\"0\"'] -> ['a=\"5\"']",
        "  - r2",
    ]
    assert result.exit_code == 2


def test_removals_that_would_be_held_are_told_with_the_proposal(planned: Planned) -> None:
    for number in range(8):
        (planned.root / f"{number}.yaml").unlink()
    result = planned.plan()
    assert result.exit_code == 3
    found = planned.kinds()["targets"]
    assert found["removed_count"] == 8 and found["held"]["names"] == [f"t{number}" for number in range(8)]
    assert f"  held: the removal of 8, proposal {found['held']['proposal']}" in result.output.splitlines()


def test_a_source_that_cannot_be_read_is_a_fault_before_all_else(planned: Planned) -> None:
    planned.rules.write_text("nonsense: [")
    (planned.root / "9.yaml").unlink()
    result = planned.plan()
    assert result.exit_code == 1
    assert "rules from file: failed (parse): " in result.output


def test_what_is_rejected_is_listed(planned: Planned) -> None:
    write(planned.root / "bad.yaml", changed("bad", type="fax"))
    result = planned.plan()
    assert "default/bad: type: " in result.output and result.exit_code == 0


def test_no_credential_is_ever_shown(planned: Planned) -> None:
    for number in range(10):
        headers = {"Authorization": f"Bearer {CANARY}"}
        write(
            planned.root / f"{number}.yaml",
            changed(f"t{number}", url=f"https://x.example.com/{CANARY}", headers=headers),
        )
    for result in (planned.plan(), planned.plan("--json")):
        assert result.exit_code == 2 and "t9" in result.output and CANARY not in result.output


def test_without_a_kept_snapshot_everything_counts_as_added(tmp_path: Path) -> None:
    it = Planned(tmp_path)
    result = it.plan()
    assert "  no snapshot is kept in the state directory: everything counts as added" in result.output.splitlines()
    assert result.exit_code == 2
    result = it.plan(ALERT_REFRESH_STATE_DIR="")
    assert "no state directory is set" in result.output


def test_a_damaged_snapshot_is_named_and_left_where_it_is(tmp_path: Path) -> None:
    it = Planned(tmp_path)
    it.keep()
    (it.state / "snapshot-targets").write_bytes(b"x" * 500)
    result = it.plan()
    assert "the kept snapshot cannot be used: it is not a kept snapshot" in result.output and result.exit_code == 1
    assert (it.state / "snapshot-targets").read_bytes() == b"x" * 500


def test_an_invalid_setting_is_a_fault_and_no_change(tmp_path: Path) -> None:
    result = Planned(tmp_path).plan(TARGET_REFRESH_INTERVAL="often")
    assert result.exit_code == 1 and "TARGET_REFRESH_INTERVAL" in result.output


def test_wrong_usage_is_a_fault_and_no_change(tmp_path: Path) -> None:
    assert Planned(tmp_path).plan("--jsn").exit_code == 1
    result = CliRunner().invoke(main, ["plan", "--json"], env={"TARGET_REFRESH_INTERVAL": "often"})
    assert json.loads(result.stdout)["kinds"] == [] and result.exit_code == 1


def test_a_rejected_removal_is_told_as_such(planned: Planned) -> None:
    for number in range(8):
        (planned.root / f"{number}.yaml").unlink()
    daemon = Daemon(read_config(planned.env))
    daemon.start()
    try:
        worker = daemon.workers["targets"]
        eventually(lambda: worker.get_status().hold)
        hold = worker.get_status().hold
        assert hold is not None
        worker.decisions.reject(hold.proposal)
    finally:
        daemon.stop()
    planned.remember()
    result = planned.plan()
    assert f"  rejected: the removal of 8, proposal {hold.proposal}" in result.output.splitlines()
    assert result.exit_code == 3
    planned.root.rename(planned.root.with_name("away"))
    found = planned.kinds()["targets"]
    assert (found["error_type"], found["removed_count"], found["held"]) == ("storage", 0, None), "nothing is known"


def test_views_are_not_planned_and_nothing_configured_is_said() -> None:
    env = {"VIEWS_DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    result = CliRunner().invoke(main, ["plan"], env=env)
    assert result.output == "views: not planned; a refresh of views has no items to compare\n"
    assert CliRunner().invoke(main, ["plan"]).output == "Nothing is configured\n"


class TestAlertmanager:
    """The kind that makes one whole."""

    @pytest.fixture
    def delivered(self, planned: Planned) -> Planned:
        (planned.root.parent / "template.yml").write_text("route: {receiver: a}\nreceivers: [{name: a}]\n")
        planned.env |= {
            "ALERTMANAGER_CONFIG_TEMPLATE": str(planned.root.parent / "template.yml"),
            "ALERTMANAGER_CONFIG_FILE": str(planned.root.parent / "alertmanager.yml"),
        }
        return planned

    def test_s8_the_difference_of_the_configuration_is_shown_masked(self, delivered: Planned) -> None:
        result = delivered.plan()
        assert result.exit_code == 2, result.output
        assert "alertmanager from daemon: the file would change" in result.stdout
        assert '  +- name: "alert-refresh/t0"' in result.stdout.splitlines()
        assert CANARY not in result.output
        assert not (delivered.root.parent / "alertmanager.yml").exists()
        assert delivered.kinds()["alertmanager"]["difference"][:2] == ["--- now", "+++ after"]

    def test_s8_where_nothing_differs_it_says_so(self, delivered: Planned) -> None:
        text = CliRunner().invoke(main, ["render", "--reveal"], env=delivered.env).stdout
        (delivered.root.parent / "alertmanager.yml").write_text(text)
        result = delivered.plan()
        assert result.exit_code == 0, result.output
        assert "alertmanager from daemon: nothing changes" in result.stdout

    def test_what_is_undeliverable_is_named(self, delivered: Planned) -> None:
        write(delivered.root / "x.yaml", changed("x", headers={"X-Team": CANARY}))
        result = delivered.plan()
        assert "  x: headers: undeliverable: " in result.stdout and CANARY not in result.output

    def test_a_template_that_cannot_be_used_is_a_fault(self, delivered: Planned) -> None:
        (delivered.root.parent / "template.yml").write_text("route: [")
        result = delivered.plan()
        assert result.exit_code == 1 and "alertmanager from daemon: failed (validate)" in result.stdout
