"""Use counts, kept across restarts."""

from __future__ import annotations

import json
import logging
import stat
from typing import TYPE_CHECKING

import pytest

from alert_refresh.rules import use_counts
from tests.rules.examples import packed
from tests.rules.world import World
from tests.stage import eventually

if TYPE_CHECKING:
    from pathlib import Path


def test_uses_are_kept_across_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    environ = {"ALERT_REFRESH_STATE_DIR": str(state), "RULES_CACHE_CAPACITY": "3"}
    with World(tmp_path / "a", packed(10), **environ).start() as world:
        for _ in range(4):
            world.loaded.get("rule-000007")
    kept = state / use_counts.NAME
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and json.loads(kept.read_bytes()) == {"rule-000007": 4}
    with World(tmp_path / "b", packed(10), **environ).start() as world:
        assert next(iter(world.loaded.hot)) == "rule-000007" and world.loaded.hot["rule-000007"].uses == 2


def test_uses_are_kept_at_each_load_too(tmp_path: Path) -> None:
    with World(tmp_path / "a", ALERT_REFRESH_STATE_DIR=str(tmp_path)).start() as world:
        for _ in range(3):
            world.loaded.get("rule-000001")
        world.put(packed(10, word="two"))
        eventually((tmp_path / use_counts.NAME).exists, "the file of uses")


def test_without_uses_the_saved_counts_are_kept(tmp_path: Path) -> None:
    (tmp_path / use_counts.NAME).write_text('{"rule-000001": 8}')
    with World(tmp_path / "a", ALERT_REFRESH_STATE_DIR=str(tmp_path)).start():
        pass
    assert json.loads((tmp_path / use_counts.NAME).read_bytes()) == {"rule-000001": 8}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": "b"}', b"\xff"])
def test_uses_that_cannot_be_read_cost_a_warning_only(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / use_counts.NAME).write_bytes(content)
    with World(tmp_path / "a", ALERT_REFRESH_STATE_DIR=str(tmp_path)).start() as world:
        assert len(world.loaded.rules) == 10
    assert "The saved use counts of rules cannot be read" in caplog.messages


def test_uses_that_cannot_be_kept_cost_a_warning_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with World(tmp_path / "a", ALERT_REFRESH_STATE_DIR=str(tmp_path / "missing")).start() as world:
        world.loaded.get("rule-000001")
    record = next(one for one in caplog.records if one.msg == "The use counts of rules cannot be saved")
    assert record.levelno == logging.WARNING and vars(record)["error"] == "No such file or directory"
