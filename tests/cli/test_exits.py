"""How commands end: every exit status is in the tables, and whatever happens to the output there is no traceback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alert_refresh.cli import exits
from alert_refresh.cli.main import writing
from tests.cli.stub import STREAM, Asked, Stub, answer, event

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "alert_refresh"]
PATIENCE = 50
RULES = answer({"generation": 1, "rules": []})
MANY = answer(
    {
        "generation": 1,
        "rules": [{"id": "x" * 200, "family": "f", "priority": 1, "enabled": True, "match": [], "targets": []}] * 2000,
    }
)
WAYS = {
    "check": ["check"],
    "plan": ["plan"],
    "help": ["--help"],
    "version": ["--version"],
    "targets validate": ["targets", "validate", "config/examples/targets"],
    "rules check": ["rules", "check", "config/examples/rules.yaml"],
    "rules unpack": ["rules", "unpack", "config/examples/rules.yaml"],
    "rules list": ["rules"],
    "rules list in JSON": ["rules", "-o", "json"],
}


def environment(url: str = "", **more: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name in ("PATH", "HOME") or name.startswith("COVERAGE")
    }
    return kept | {"PYTHONPATH": str(ROOT), "ALERT_REFRESH_URL": url} | more


def shell(command: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `command` with `alert-refresh ARGUMENTS` in place of "$@"."""
    words = ["bash", "-c", command, "bash", *COMMAND, *arguments]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=ROOT, env=environment(**env)
    )


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("way", WAYS)
def test_a_full_device_is_a_1_and_one_line(way: str, unbuffered: str) -> None:
    with Stub(lambda _: RULES) as daemon:
        ran = shell('"$@" >/dev/full', *WAYS[way], url=daemon.url, PYTHONUNBUFFERED=unbuffered)
    said = "Standard output cannot be written to: No space left on device\n"
    assert (ran.returncode, ran.stderr[-len(said) :]) == (1, said), ran.stderr
    assert "Traceback" not in ran.stderr and "Exception" not in ran.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("way", ["rules list", "rules list in JSON", "version"])
def test_a_reader_that_has_ended_is_a_141_and_silent(way: str, unbuffered: str) -> None:
    with Stub(lambda _: MANY) as daemon:
        ran = shell('exec 3> >(exec true); wait $!; "$@" >&3', *WAYS[way], url=daemon.url, PYTHONUNBUFFERED=unbuffered)
    assert (ran.returncode, ran.stdout, ran.stderr) == (exits.BROKEN_PIPE, "", "")


def test_a_reader_that_ends_early_gets_what_it_wants() -> None:
    with Stub(lambda _: MANY) as daemon:
        ran = shell('"$@" | head -n 1; exit ${PIPESTATUS[0]}', "rules", url=daemon.url)
    assert ran.stdout.startswith("ID ") and ran.stdout.count("\n") == 1
    assert (ran.returncode, ran.stderr) == (exits.BROKEN_PIPE, "")


def test_both_outputs_may_be_full() -> None:
    assert shell('"$@" >/dev/full 2>/dev/full', "--version").returncode == 1
    assert shell('"$@" 2>/dev/full', "rules", url="http://127.0.0.1:1").returncode == exits.NO_ANSWER


def test_an_error_of_the_operating_system_that_is_not_about_printing_is_left_as_it_is() -> None:
    with pytest.raises(FileNotFoundError), writing():
        (ROOT / "none").read_text()


@pytest.mark.parametrize("way", WAYS)
def test_a_closed_output_is_a_1_and_one_line(way: str) -> None:
    with Stub(lambda _: RULES) as daemon:
        ran = shell('"$@" >&-', *WAYS[way], url=daemon.url)
    said = "Standard output cannot be written to: Bad file descriptor\n"
    assert (ran.returncode, ran.stderr[-len(said) :]) == (1, said), ran.stderr
    assert "Traceback" not in ran.stderr and "Exception" not in ran.stderr


def test_with_all_files_closed_the_exit_status_is_the_same() -> None:
    with Stub(lambda _: RULES) as daemon:
        assert shell('"$@" <&- >&- 2>&-', "rules", url=daemon.url).returncode == 1
        assert shell('"$@" <&- >&- 2>&-', "rules", "--url", "http://127.0.0.1:1").returncode == exits.NO_ANSWER


def test_a_terminal_need_not_know_every_character() -> None:
    with Stub(lambda _: MANY.replace(b"xxx", "\u20ac".encode())) as daemon:
        ran = shell('"$@"', "rules", url=daemon.url, PYTHONIOENCODING="latin-1")
    assert ran.returncode == 0 and "\\u20ac" in ran.stdout and ran.stdout.isascii(), ran.stderr


def test_ctrl_c_ends_a_command_that_follows_and_is_a_130() -> None:
    reached, stopped = threading.Event(), threading.Event()

    def script(_: Asked) -> Iterator[bytes]:
        yield STREAM + event(1, "sync", generations={}, missed=False)
        reached.set()
        stopped.wait(PATIENCE)

    with Stub(script) as daemon:
        process = subprocess.Popen(
            [*COMMAND, "events", "--follow"], env=environment(daemon.url), cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().startswith("event 1764119223123.1"), "each line is there at once"
        assert reached.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE)
        stopped.set()
    assert (process.returncode, out, errors) == (exits.INTERRUPTED, "", "\n")


@pytest.mark.parametrize("page", ["docs/cli.md", "README.md"])
def test_the_table_of_exit_statuses_is_complete(page: str) -> None:
    rows = re.findall(r"^\| (\d+) \| \S", (ROOT / page).read_text(), re.MULTILINE)
    known = {value for name, value in vars(exits).items() if name.isupper()}
    assert list(map(int, rows)) == sorted(known)
