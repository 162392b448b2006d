"""Killed at any moment: what is left is a file that Alertmanager loads, and the next start mends the rest."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

from tests.alertmanager.amtool import amtool
from tests.alertmanager.examples import rule, target
from tests.alertmanager.server import Alertmanager, closed_port
from tests.alertmanager.world import World
from tests.process.program import PATIENCE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST = 0.15
"""Seconds after the first delivery until the kill, at most; one takes some 30 ms."""


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    with Alertmanager(tmp_path) as one:
        yield one


def kill_and_mend(alertmanager: Alertmanager, times: int, *, tool: bool = True) -> int:
    """Kill so many processes; returns after how many of them something was left that the next start mended: temporary
    files, or, without the tool, a configuration that Alertmanager refuses.
    """
    left = 0
    chance = random.Random(15)
    command = [sys.executable, "-m", "tests.alertmanager.killing", str(alertmanager.folder), alertmanager.url]
    command.append("amtool" if tool else "none")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writers:
        assert writers.stdin is not None and writers.stdout is not None
        for number in range(times):
            writers.stdin.write(f"{number}\n")
            writers.stdin.flush()
            child = int(writers.stdout.readline())
            threading.Event().wait(chance.uniform(0, LONGEST))
            os.kill(child, signal.SIGKILL)
            assert writers.stdout.readline() == "killed\n"
            left += check_and_mend(alertmanager, tool)
        writers.stdin.close()
        assert writers.wait(PATIENCE) == 0
    return left


def check_and_mend(alertmanager: Alertmanager, tool: bool) -> bool:
    command = [amtool(), "check-config", str(alertmanager.file)]
    refused = not tool and subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0
    if not tool:
        # Alertmanager is not there at the next start, and nothing can check what was left.
        away = f"http://127.0.0.1:{closed_port()}"
        World(alertmanager.folder, away, targets=(target("team-a"),), rules=(), tool=False).refresh()
    urlopen(Request(f"{alertmanager.url}/-/reload", method="POST"), timeout=PATIENCE).close()
    temporary = [one for one in alertmanager.folder.iterdir() if one.name.startswith(".alertmanager.yml.")]
    world = World(alertmanager.folder, alertmanager.url, targets=(target("team-a"),))
    world.rules.serve(rule("a", targets=["team-a"]))
    world.source.file.remove_leftovers()
    world.good()
    assert world.in_sync == [True] and "alert-refresh/team-a" in alertmanager.receivers()
    names = {one.name for one in alertmanager.folder.iterdir() if "alertmanager.yml" in one.name}
    assert names <= {"alertmanager.yml", "alertmanager.yml.previous"}
    return bool(temporary) if tool else refused


def test_s5_killed_at_any_of_8_moments(alertmanager: Alertmanager) -> None:
    kill_and_mend(alertmanager, 8)


def test_s5_killed_at_any_of_8_moments_without_amtool(alertmanager: Alertmanager) -> None:
    kill_and_mend(alertmanager, 8, tool=False)


@pytest.mark.soak
def test_s5_killed_at_any_of_200_moments(alertmanager: Alertmanager) -> None:
    assert kill_and_mend(alertmanager, 200) > 0, "none was killed while it wrote"


@pytest.mark.soak
def test_s5_killed_at_any_of_200_moments_without_amtool(alertmanager: Alertmanager) -> None:
    assert kill_and_mend(alertmanager, 200, tool=False) > 0, "none was killed in a trial"
