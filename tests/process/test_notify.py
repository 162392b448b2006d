"""Notifications of the real program: a source that fails and recovers, and webhooks that do not answer."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.observe.notify.hooks import CANARY, Hook, drip, hang
from tests.process.program import SLOW_MACHINE, Program

if TYPE_CHECKING:
    from pathlib import Path

FAST = {
    "TARGET_REFRESH_BASE_BACKOFF": "100ms",
    "TARGET_REFRESH_MAX_BACKOFF": "100ms",
    "TARGET_REFRESH_INTERVAL": "200ms",
    "TARGET_REFRESH_WARMUP": "0s",
    "ALERT_REFRESH_LOG_LEVEL": "DEBUG",
    "ALERT_REFRESH_DEBUG_SAMPLE": "1",
}


def scripted(hook: Hook, *words: str, **env: str) -> Program:
    """The program with a source that follows these words, and notifications to that webhook."""
    return Program("tests.process.scripted", json.dumps(words), env=FAST | {"ALERT_REFRESH_NOTIFY_URL": hook.url} | env)


def counts(program: Program) -> dict[str, int]:
    text = program.get("/metrics")[2].decode()
    found = re.findall(r'^alert_refresh_notifications_total\{status="(\w+)"\} ([0-9.]+)$', text, re.MULTILINE)
    return {status: int(float(value)) for status, value in found}


def shown(program: Program) -> str:
    """Everything the program says and shows."""
    paths = ("/metrics", "/health", "/api/v2/publishing/targets/status", "/api/v2/publishing/targets", "/")
    answers = [str(program.get(path)) for path in paths]
    return "\n".join([*answers, *program.lines, program.proc("cmdline")])


def test_a_source_that_fails_and_recovers_sends_one_firing_and_one_resolved() -> None:
    with Hook() as hook, scripted(hook, "ok", *["fail"] * 4, "ok") as program:
        program.wait_for("Notification sent", count=2)
        program.wait_for("Attempt 9: ok")
        assert counts(program) == {"sent": 2, "failed": 0, "dropped": 0}
        program.wait_for("Refresh recovered after 4 failures")
        assert CANARY not in shown(program)
        program.stop()
        assert program.process.returncode == 0, program.stderr
        assert CANARY not in "".join(program.lines) + program.stderr
    assert hook.told() == [("targets", "failing", "firing"), ("targets", "failing", "resolved")]
    firing, resolved = (post.body for post in hook.posts)
    assert (firing["error"], firing["error_type"], firing["attempts"]) == ("connection refused", "network", 3)
    assert resolved["attempts"] == 4 and resolved["since"] == firing["since"]
    assert firing["since"] < resolved["ended"]
    start = next(line for line in program.log if line["message"].startswith("alert-refresh "))
    assert start["settings"]["ALERT_REFRESH_NOTIFY_URL"] == "***"


@pytest.mark.parametrize("action", [hang, drip])
def test_a_webhook_that_hangs_delays_neither_refreshes_nor_the_stop(action: object) -> None:
    with Hook(action) as hook, scripted(hook, "fail", "fail", "fail", "ok") as program:
        hook.wait_for(1)
        program.wait_for("Attempt 9: ok")
        assert program.answers()
        assert program.find("Notification") == []
        assert program.stop() < 1 + SLOW_MACHINE
        assert program.process.returncode == 0, program.stderr
        assert len(program.find("A notification was abandoned: the program stops")) == 1
        assert program.find("shutdown_clean")


def test_a_stop_is_clean_though_both_a_refresh_and_the_webhook_hang() -> None:
    with (
        Hook(hang) as hook,
        scripted(hook, "fail", "fail", "fail", "hang", ALERT_REFRESH_SHUTDOWN_TIMEOUT="1s") as program,
    ):
        hook.wait_for(1)
        program.wait_for("Attempt 4: hang")
        assert program.stop() < 1 + 2 + SLOW_MACHINE
        assert program.process.returncode == 0, program.stderr
        assert program.find("Stopped; a running refresh was abandoned")


def test_a_webhook_that_refuses_is_a_warning_with_its_host_and_no_more(tmp_path: Path) -> None:
    # A recovery is left out if the next streak is known before it was sent.
    ends = [tmp_path / "one", tmp_path / "two"]
    words = [*["fail"] * 3, *(f"until {end}" for end in ends), *["fail"] * 3, "ok"]
    with Hook(404) as hook, scripted(hook, *words) as program:
        for number, end in enumerate(ends, 1):
            program.wait_for("Notification could not", number)
            end.touch()
        program.wait_for("Notification could not", 3)
        assert counts(program)["failed"] >= 3
        warnings = [line for line in program.find("Notification could not") if line["level"] == "WARNING"]
        assert [(line["notify_host"], line["error"]) for line in warnings] == [("127.0.0.1", "it answered 404")]
        assert CANARY not in shown(program)


def test_without_the_setting_there_is_no_series() -> None:
    with Program("tests.process.scripted", json.dumps(["fail"]), env=FAST) as program:
        program.wait_for("Attempt 4: fail")
        assert counts(program) == {}
