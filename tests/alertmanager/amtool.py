"""Debian's amtool: what Alertmanager 0.25, or 0.28, makes of a configuration."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from alert_refresh.rules.matcher import NAME
from tests.alertmanager.server import UNPACKED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from alert_refresh.alertmanager.render import Rendering


def amtool(unpacked: Path = UNPACKED) -> str:
    """The program of a package; skips the test where there is none."""
    found = shutil.which("amtool", path=f"{unpacked}/bin")
    found = found or (shutil.which("amtool") if unpacked == UNPACKED else None)
    if found is None:
        pytest.skip("amtool is not here")
    return found


class Written:
    """A configuration in a file, as the amtool of a package reads it."""

    def __init__(self, folder: Path, text: bytes, unpacked: Path = UNPACKED) -> None:
        self._amtool = amtool(unpacked)
        self._path = folder / "alertmanager.yml"
        self._path.write_bytes(text)

    def accepted(self) -> bool:
        """Whether `amtool check-config` accepts it."""
        return self._run("check-config", str(self._path)).returncode == 0

    def why(self) -> str:
        """What `amtool check-config` says."""
        run = self._run("check-config", str(self._path))
        return run.stdout + run.stderr

    def receivers(self, labels: Mapping[str, str]) -> list[str]:
        """The receivers that get an alert with these labels, in order."""
        given = [f"{name if NAME.fullmatch(name) else quoted(name)}={quoted(value)}" for name, value in labels.items()]
        run = self._run("config", "routes", "test", f"--config.file={self._path}", *given)
        assert run.returncode == 0, run.stderr
        return run.stdout.rstrip("\n").split(",")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self._amtool, *arguments], capture_output=True, text=True, timeout=50)


def quoted(value: str) -> str:
    """The value of a label as amtool reads it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def accepted(folder: Path, rendering: Rendering, unpacked: Path = UNPACKED) -> bool:
    """Whether amtool accepts a rendering; fails with what it says where it does not."""
    written = Written(folder, rendering.text, unpacked)
    assert written.accepted(), written.why()
    return True
