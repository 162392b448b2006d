"""P07: killed at any moment, also while it writes, and restarted with the source away: old or new, and whole."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import RefreshSettings, SystemClock, Worker
from alert_refresh.keep import outcomes_file, snapshot_file
from alert_refresh.keep.keeper import Keeper
from alert_refresh.keep.key import Key
from alert_refresh.targets import KIND
from alert_refresh.targets.keep import TargetCodec
from tests.fakes import FakeSource
from tests.kube import secret
from tests.process.keeping import version_of
from tests.process.program import PATIENCE, ROOT, Program, eventually
from tests.web.world import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = Key(bytes(range(32)))
LONGEST = 0.02
"""Seconds after the first write until the kill, at most; a write takes a few milliseconds."""


class Writers:
    """Processes that write until they are killed, one after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._ask: IO[str] = process.stdin
        self._told: IO[str] = process.stdout

    def killed(self, first: int, seconds: float) -> int:
        """Have one write from version `first` on, kill it so many seconds after that is written, and return the last
        version that it said is written.
        """
        self._ask.write(f"{first}\n")
        self._ask.flush()
        told: dict[str, int] = {}
        while len(told) < 2:
            word, _, number = self._told.readline().partition(" ")
            told[word] = int(number)
        threading.Event().wait(seconds)
        # Its parent still waits for it, so the number is its own.
        os.kill(told["process"], signal.SIGKILL)
        while (line := self._told.readline()) != "killed\n":
            told["wrote"] = int(line.partition(" ")[2])
        return told["wrote"]


@contextmanager
def writers(folder: Path, key: Key | None) -> Iterator[Writers]:
    command = [sys.executable, "-m", "tests.process.keeping", str(folder)] + ([key.value.hex()] if key else [])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield Writers(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


def restored(folder: Path, key: Key | None) -> tuple[int, int]:
    """The version of the targets that a start serves, and of the last outcome that it knows."""
    source: Any = FakeSource()
    worker: Worker[Any] = Worker(KIND, source, RefreshSettings(), clock=SystemClock())
    keeper = Keeper(folder, key, None, SystemClock())
    keeper.start({KIND.name: worker}, {KIND.name: TargetCodec})
    keeper.stop()
    status = worker.get_status()
    assert status.snapshot is not None and status.last is not None
    return version_of(status.snapshot), int(status.last.request_id.removeprefix("request-"))


def kill_often(folder: Path, key: Key | None, times: int, caplog: pytest.LogCaptureFixture) -> None:
    chance, interrupted, version = random.Random(times), 0, 0
    with writers(folder, key) as running:
        for _ in range(times):
            written = running.killed(version, chance.uniform(0, LONGEST))
            interrupted += any(one.name.startswith(".") for one in folder.iterdir())
            version, outcome = restored(folder, key)
            assert version in (written, written + 1)
            assert outcome in (written, written + 1)
            names = {snapshot_file.name_of(KIND.name), outcomes_file.NAME}
            assert {one.name for one in folder.iterdir()} == names
            version += 1
    assert interrupted >= times // 20, f"only {interrupted} kills met a write"
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_p07_a_writer_killed_at_any_moment_leaves_the_old_or_the_new_snapshot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: Key | None
) -> None:
    kill_often(tmp_path, key, 50, caplog)


@pytest.mark.soak
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_p07_a_thousand_kills(tmp_path: Path, caplog: pytest.LogCaptureFixture, key: Key | None) -> None:
    kill_often(tmp_path, key, 500, caplog)


# The whole program

ITEMS = 30


def put(folder: Path, version: int) -> None:
    """All Secrets in one file, of one version."""
    found = [secret(f"target-{n:02}", url=f"https://version-{version}.example.com/x") for n in range(ITEMS)]
    items = [{"apiVersion": "v1", "kind": "Secret"} | one for one in found]
    document = {"apiVersion": "v1", "kind": "List", "items": items}
    temporary = folder / ".new"
    temporary.write_text(json.dumps(document))
    temporary.rename(folder / "all.json")


def served(program: Program) -> int:
    """The version of all targets that it serves."""
    status, _, body = program.get(TARGETS)
    assert status == 200 and len(body["targets"]) == ITEMS
    (url,) = {one["url"] for one in body["targets"]}
    return int(url.removeprefix("https://version-").partition(".")[0])


def written(program: Program) -> bool:
    """Whether something is kept."""
    text = program.get("/metrics")[2].decode()
    found = re.search(
        r'^alert_refresh_snapshot_last_write_timestamp_seconds\{kind="targets"\} (\S+)', text, re.MULTILINE
    )
    return found is not None and float(found[1]) > 0


def kill_the_program(folder: Path, times: int) -> None:
    state, source, away = (folder / name for name in ("state", "source", "away"))
    state.mkdir()
    source.mkdir()
    put(source, 0)
    env = {"TARGET_DIRECTORY": str(source), "ALERT_REFRESH_STATE_DIR": str(state), "ALERT_REFRESH_DEBUG_SAMPLE": "0"}
    chance, kept, known = random.Random(times), 0, 0
    for turn in range(times):
        with Program(env=env, bare=True) as program:
            program.wait_for("Targets refreshed successfully")
            assert served(program) == known
            assert eventually(partial(written, program)), "that there is something to restore"
            put(source, turn + 1)
            threading.Event().wait(chance.uniform(0, 0.1))
            program.process.kill()
            program.wait()
        source.rename(away)
        with Program(env=env, bare=True) as program:
            program.wait_for("Serving")
            began = time.monotonic()
            version = served(program)
            assert time.monotonic() - began < 15
            assert version in (kept, known, turn + 1), "nobody waits for a write, which the kill may come before"
            kept = version
            status: Any = program.get(f"{TARGETS}/status")[2]
            assert status["restored"] is True and status["restored_age_seconds"] >= 0
            assert program.get("/readyz")[0] == 200
            program.wait_for("Refresh failed")
            assert served(program) == version
            assert program.find("snapshot_rejected") == []
            program.process.kill()
            program.wait()
        away.rename(source)
        known = turn + 1


def test_p07_the_program_killed_and_restarted_without_its_source_serves_what_it_had(tmp_path: Path) -> None:
    kill_the_program(tmp_path, 3)


@pytest.mark.soak
def test_p07_the_program_killed_again_and_again(tmp_path: Path) -> None:
    kill_the_program(tmp_path, 40)
