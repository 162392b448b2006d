"""The commands in docs/cli.md, run against a real daemon; the page shows what they print.

To write the answers anew: `python -m tests.process.cli_page`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.alertmanager.amtool import amtool
from tests.process.program import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = ROOT / "docs" / "cli.md"
BLOCK = re.compile(r"```\n(\$ .*?)```\n", re.DOTALL)
DIFFERENT = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\b\d{13}\.", "PROCESS."),
    (r"\b\d{13}\b", "GENERATION"),
    (r"\b\d+ ms\b", "MS"),
    (r'"(duration_ms|refresh_duration_ms)": \d+', r'"\1": MS'),
    (r"(duration_ms: +)\d+", r"\1MS"),
    (r'"seconds_since_success": [0-9.]+', '"seconds_since_success": S'),
    (r"\b(\d+[smhd]){1,2}\b", "AGE"),
    (r"\b\d+ s\b", "S"),
    (r" {2,}", "  "),
)
"""What differs from run to run, and what stands for it when answers are compared."""

RENDERED = {"ALERTMANAGER_CONFIG_TEMPLATE": "alertmanager.yml", "ALERTMANAGER_CONFIG_FILE": "written.yml"}
"""Settings of the commands alone: with this kind the events of the daemon would not come in one order."""


@contextmanager
def running() -> Iterator[Path]:
    """A daemon on a copy of the examples; yields the folder, in which `alert-refresh` is a command that asks it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "config/examples/targets", folder / "targets")
        shutil.copy(ROOT / "config/examples/rules.yaml", folder)
        env = {"TARGET_DIRECTORY": f"{folder}/targets", "RULES_FILE": f"{folder}/rules.yaml", "TARGET_WATCH": "false"}
        with Program(env=env | {"TARGET_REFRESH_WARMUP": "1h", "RULES_REFRESH_WARMUP": "1h"}) as program:
            program.wait_for("Rules refreshed")
            program.wait_for("Targets refreshed")
            command = folder / "alert-refresh"
            url = f"http://127.0.0.1:{program.port}"
            command.write_text(
                f'#!/bin/sh\nexport ALERT_REFRESH_URL="${{ALERT_REFRESH_URL:-{url}}}"\n'
                f'exec "{sys.executable}" -m alert_refresh "$@"\n'
            )
            command.chmod(0o755)
            (folder / "amtool").symlink_to(amtool())
            (folder / "daemon.env").write_text("".join(f"{name}={value}\n" for name, value in (env | RENDERED).items()))
            shutil.copy(ROOT / "config/examples/alertmanager.yml", folder)
            yield folder


def answer(folder: Path, line: str) -> str:
    """What a line that is typed there prints; its standard error too, as on a terminal."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    ran = subprocess.run(
        ["bash", "-c", line],
        env=kept | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
        cwd=folder,
    )
    return ran.stdout


def rewritten(page: str, folder: Path) -> str:
    """The page with the answers that the commands print now."""

    def block(found: re.Match[str]) -> str:
        lines = [line[2:] for line in found[1].splitlines() if line.startswith("$ ")]
        return "```\n" + "\n".join(f"$ {line}\n{answer(folder, line)}" for line in lines) + "```\n"

    return BLOCK.sub(block, page)


def comparable(page: str) -> str:
    """The page without what differs from run to run."""
    for pattern, stands in DIFFERENT:
        page = re.sub(pattern, stands, page)
    return page


if __name__ == "__main__":
    with running() as place:
        PAGE.write_text(rewritten(PAGE.read_text(), place))
