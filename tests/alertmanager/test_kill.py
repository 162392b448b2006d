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

from tests.alertmanager.examples import rule, target
from tests.alertmanager.server import Alertmanager
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


def kill_and_mend(alertmanager: Alertmanager, times: int) -> int:
    """Kill so many processes; returns after how many of them something was left that the next start removed."""
    left = 0
    chance = random.Random(15)
    command = [sys.executable, "-m", "tests.alertmanager.killing", str(alertmanager.folder), alertmanager.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writers:
        assert writers.stdin is not None and writers.stdout is not None
        for number in range(times):
            writers.stdin.write(f"{number}\n")
            writers.stdin.flush()
            child = int(writers.stdout.readline())
            threading.Event().wait(chance.uniform(0, LONGEST))
            os.kill(child, signal.SIGKILL)
            assert writers.stdout.readline() == "killed\n"
            left += check_and_mend(alertmanager)
        writers.stdin.close()
        assert writers.wait(PATIENCE) == 0
    return left


def check_and_mend(alertmanager: Alertmanager) -> bool:
    urlopen(Request(f"{alertmanager.url}/-/reload", method="POST"), timeout=PATIENCE).close()
    temporary = [one for one in alertmanager.folder.iterdir() if one.name.startswith(".alertmanager.yml.")]
    world = World(alertmanager.folder, alertmanager.url, targets=(target("team-a"),))
    world.rules.serve(rule("a", targets=["team-a"]))
    world.source.file.remove_leftovers()
    world.good()
    assert world.in_sync == [True] and "alert-refresh/team-a" in alertmanager.receivers()
    names = {one.name for one in alertmanager.folder.iterdir() if "alertmanager.yml" in one.name}
    assert names <= {"alertmanager.yml", "alertmanager.yml.previous"}
    return bool(temporary)


def test_s5_killed_at_any_of_20_moments(alertmanager: Alertmanager) -> None:
    kill_and_mend(alertmanager, 20)


@pytest.mark.soak
def test_s5_killed_at_any_of_200_moments(alertmanager: Alertmanager) -> None:
    assert kill_and_mend(alertmanager, 200) > 0, "none was killed while it wrote"
