"""The log lines of the rules."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from alert_refresh.rules.forms.foreign import READ
from tests.rules.examples import packed
from tests.rules.world import World

if TYPE_CHECKING:
    from pathlib import Path


def test_the_log_has_the_documented_messages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "alert_refresh.rules")
    with World(tmp_path).start() as world:
        world.put(b"bad: yaml")
    said = [(one.levelname, one.getMessage()) for one in caplog.records if one.name.startswith("alert_refresh.rules")]
    odd = '"bad" is not a field of the file (line 1)'
    assert said == [
        ("INFO", "Spawning scheduled refresh background task"),
        ("INFO", "Starting scheduled refresh with 21600 second interval"),
        ("INFO", "Scheduled refresh completed: 10 rules refreshed in 0ms"),
        ("WARNING", f"Scheduled refresh failed: the rules file holds no list of rules: {odd}; {READ}"),
    ]


def test_a_disabled_schedule_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "alert_refresh.rules")
    with World(tmp_path, RULES_REFRESH_ENABLED="false").start() as world:
        assert world.status.next_due is None
        assert world.put(packed(9)).items == 9
    assert "The schedule is disabled; a change of the file or a POST triggers a refresh" in caplog.messages


@pytest.mark.parametrize("data", [b"[]", b"rules: []\n", b'{"rules": []}'])
def test_a_file_without_a_rule_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    with World(tmp_path, data).start() as world:
        for _ in range(2):
            world.refresh()
    said = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert said == ["The rules file holds no rule"]
