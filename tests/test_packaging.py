"""The files around the package say what the package does."""

from __future__ import annotations

import configparser
import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alert_refresh import daemon
from alert_refresh.config import read_server
from alert_refresh.env import Env

ROOT = Path(__file__).parent.parent
ENV_FILE = ROOT / "config" / "alert-refresh.env"
UNIT = ROOT / "systemd" / "alert-refresh.service"


def documented() -> dict[str, str]:
    found = re.findall(r"^(?:#(?=[A-Z0-9_]+=$))?([A-Z0-9_]+)=(.*)$", ENV_FILE.read_text(), re.MULTILINE)
    return dict(found)


def known() -> dict[str, str]:
    """Every setting that is read, with its default."""
    env = Env({})
    read_server(env, {kind.name: kind.read(env) for kind in daemon.KINDS})
    assert env.faults == []
    return env.defaults


def listed() -> dict[str, tuple[str, str]]:
    """Every setting that the help lists, with its default and its meaning."""
    return {name: setting for group in daemon.read_settings().values() for name, setting in group.items()}


def test_the_help_lists_every_setting_that_is_read_with_its_default() -> None:
    assert {name: default for name, (default, _) in listed().items()} == known()
    assert len(listed()) == sum(map(len, daemon.read_settings().values())), "each is in one group only"
    assert all(meaning and not meaning.endswith(".") for _, meaning in listed().values())


def test_the_env_file_names_every_setting_with_its_default() -> None:
    assert documented() == known()


def test_the_env_file_says_above_every_setting_what_the_help_says() -> None:
    lines = ENV_FILE.read_text().splitlines()
    pairs = [
        (found[1], above) for above, line in itertools.pairwise(lines) if (found := re.match(r"#?([A-Z0-9_]+)=", line))
    ]
    assert dict(pairs) == {name: f"# {meaning}." for name, (_, meaning) in listed().items()}


def test_the_env_file_as_it_is_starts_the_daemon() -> None:
    daemon.read_config({name: value for name, value in documented().items() if value})


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_lock_pins_every_dependency_with_hashes(lock: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options"]["install_requires"] + setup["options.extras_require"]["postgres"]
    if lock == "requirements-dev.lock":
        wanted += setup["options.extras_require"]["dev"]
    names = {re.split(r"[\[<>=]", line)[0].lower().replace("_", "-") for line in wanted.split() if line}
    entries = re.split(r"\n(?=[a-z])", (ROOT / lock).read_text())
    pinned = {entry.split("==")[0]: "--hash=sha256:" in entry for entry in entries if "==" in entry.split("\n")[0]}
    assert {re.sub(r"\[.*\]", "", name) for name in pinned} >= names
    assert all(pinned.values())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_valid_and_its_exposure_is_at_most_1_5() -> None:
    verify = subprocess.run(["systemd-analyze", "verify", UNIT], capture_output=True, text=True)
    faults = [line for line in verify.stderr.splitlines() if "alert-refresh.service" in line]
    assert [line for line in faults if "is not executable" not in line] == []
    report = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", UNIT], capture_output=True, text=True, check=True
    )
    exposure = re.search(r"exposure level for alert-refresh.service: ([0-9.]+)", report.stdout)
    assert exposure and float(exposure[1]) <= 1.5


def test_the_dockerfile_passes_the_linter() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    result = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
