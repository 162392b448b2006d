"""Schemathesis makes requests from `openapi.json`, good and bad ones, and compares the answers of a running daemon.

It is told what the document cannot say by `schemathesis.toml` and `schemathesis_hooks.py` beside this file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.postgres import hierarchy
from tests.process.program import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.usefixtures("unmeasured")

CONFIG = Path(__file__).with_name("schemathesis.toml")
ADMIN, READ = "admin-token-of-the-fuzzer", "read-token-of-the-fuzzer"
FOLLOW = b"GET /api/v2/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
SETTINGS = {
    "TARGET_DIRECTORY": str(ROOT / "config/examples/targets"),
    "RULES_FILE": str(ROOT / "config/examples/rules.yaml"),
    "VIEWS_REFRESH_WARMUP": "1h",
    "TARGET_REFRESH_RATE_LIMIT": "0s",
    "RULES_REFRESH_RATE_LIMIT": "0s",
    "VIEWS_REFRESH_RATE_LIMIT": "0s",
    "ALERTMANAGER_REFRESH_RATE_LIMIT": "0s",
    "ALERTMANAGER_MIN_RELOAD_INTERVAL": "0s",
    "ALERT_REFRESH_MAX_STREAMS": "1",
}
TOKENS = {"ALERT_REFRESH_ADMIN_TOKEN": ADMIN, "ALERT_REFRESH_READ_TOKEN": READ}


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """All kinds are on, and both tokens are set."""
    database = hierarchy()
    delivered = {
        "ALERTMANAGER_CONFIG_TEMPLATE": str(ROOT / "config/examples/alertmanager.yml"),
        "ALERTMANAGER_CONFIG_FILE": str(tmp_path / "alertmanager.yml"),
    }
    yield {**SETTINGS, **TOKENS, **delivered, "VIEWS_DATABASE_URL": database.dsn()}
    database.drop()


def run(program: Program, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Schemathesis with every check. The one stream that is allowed is taken, so that no answer is endless."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", "--no-color"]
    fixed = ["--checks=all", "--phases=examples,coverage,fuzzing", "--request-timeout=30", "--continue-on-failure"]
    token = ["--header", f"Authorization: Bearer {ADMIN}"]
    with program.connect() as follower:
        follower.sendall(FOLLOW)
        assert follower.recv(1)
        return subprocess.run(
            [*command, f"http://127.0.0.1:{program.port}/openapi.json", *fixed, *token, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=3000,
        )


def answered(program: Program) -> dict[str, int]:
    """How many requests were answered, by the class of the status."""
    lines = program.get("/metrics")[2].decode().splitlines()
    counts = dict.fromkeys(("2xx", "3xx", "4xx", "5xx"), 0)
    for line in lines:
        if line.startswith("alert_refresh_http_requests_total"):
            counts[line.partition('code="')[2][:3]] += int(float(line.rpartition(" ")[2]))
    return counts


def test_h24_a_thousand_requests_have_no_answer_that_is_not_described(
    settings: Mapping[str, str], tmp_path: Path
) -> None:
    with Program(env=settings) as program:
        result = run(program, tmp_path, "--generation-deterministic", "--max-examples=4")
        assert result.returncode == 0, result.stdout + result.stderr
        counts = answered(program)
        assert program.stop() and program.wait() == 0
    assert sum(counts.values()) >= 900 and min(counts["2xx"], counts["4xx"]) >= 200, counts
    assert [line for line in program.log if line["level"] == "ERROR"] == []


def test_h24_an_answer_that_is_not_described_is_found(tmp_path: Path) -> None:
    """Without tokens every POST is open, though the document says that they are not."""
    with Program(env=SETTINGS) as program:
        one = ("--include-path=/api/v2/rules/refresh", "--max-examples=1")
        result = run(program, tmp_path, "--generation-deterministic", *one)
    assert result.returncode == 1
    assert "POST /api/v2/rules/refresh" in result.stdout and "authentication" in result.stdout.lower()


@pytest.mark.soak
def test_h24_five_thousand_requests_have_no_answer_that_is_not_described(
    settings: Mapping[str, str], tmp_path: Path
) -> None:
    with Program(env=settings) as program:
        result = run(program, tmp_path, "--max-examples=150")
        assert result.returncode == 0, result.stdout + result.stderr
        counts = answered(program)
        assert program.stop() and program.wait() == 0
    assert sum(counts.values()) >= 5000, counts
    assert [line for line in program.log if line["level"] == "ERROR"] == []
