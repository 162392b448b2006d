"""The commands of README.md, run one after the other against the real program, answer what README.md shows.

Blocks with the same mark (`run: tour`) are about one program, in their order. What differs from run to run, such as
times and ids, is left out of the comparison. A line `...` stands for any lines.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.postgres import hierarchy
from tests.process.program import ROOT, Program, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^<!-- run: (\w+) -->\n```\n(.+?)^```", README, re.DOTALL | re.MULTILINE)
[LOG] = re.findall(r"^<!-- log: tour -->\n```\n(.+?)^```", README, re.DOTALL | re.MULTILINE)
ADDRESS = "http://127.0.0.1:8080"

VARYING = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:Z| UTC)", "TIME"),
    (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"\b\d+(?:ms| ms|s|m)\b", "AGE"),
    (r" +", " "),  # columns are as wide as what is in them
    (r'(?<=generation":)\d+|(?<=duration_ms":)[\d.]+|(?<=retry_after_seconds":)\d+|(?<=Retry-After: )\d+', "NUMBER"),
)

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def fixed(text: str) -> str:
    """The text with a word in the place of what differs from run to run."""
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a block, with what is shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next(number for number, line in enumerate(lines) if not line.endswith("\\")) + 1
        yield "\n".join(lines[:end]), "\n".join(lines[end:]).strip()


def matches(shown: str, answer: str) -> bool:
    pattern = "\n".join(".*" if line == "..." else re.escape(line) for line in fixed(shown).splitlines())
    return re.fullmatch(pattern, fixed(answer).strip().replace("\r", ""), re.DOTALL) is not None


@contextmanager
def running(world: str, folder: Path) -> Iterator[Program]:
    """The program as `make run` starts it, on a copy of the examples; for views a database in their place."""
    makefile = (ROOT / "Makefile").read_text()
    examples = folder / "config" / "examples"
    shutil.copytree(ROOT / "config" / "examples", examples)
    environ = {}
    for name in ("TARGET_DIRECTORY", "RULES_FILE"):
        (default,) = re.findall(rf"{name}=\"\$\$\{{{name}-(\S+)\}}\"", makefile)
        environ[name] = str(folder / default)
    database = None
    if world == "tokens":
        (settings,) = re.findall(r"^With `(.+) make run`", README, re.MULTILINE)
        environ |= dict(one.split("=") for one in settings.split())
    if world == "views":
        database = hierarchy()
        environ = {"VIEWS_DATABASE_URL": database.dsn()}
    try:
        with Program(env=environ) as program:
            program.wait_for("Views refreshed" if database else "Targets refreshed")
            if database is None:
                program.wait_for("Rules refreshed")
            yield program
    finally:
        if database is not None:
            database.drop()


@needs_curl
@pytest.mark.parametrize("world", ["tour", "tokens", "views"])
def test_every_command_of_the_readme_answers_what_it_shows(world: str, tmp_path: Path) -> None:
    with running(world, tmp_path) as program:
        for mark, text in BLOCKS:
            if mark == world:
                for command, shown in steps(text):
                    run_step(command, shown, tmp_path, f"http://127.0.0.1:{program.port}")


def run_step(command: str, shown: str, folder: Path, url: str) -> None:
    """Run a command until it answers what is shown, and one that asks for something once."""
    answers: list[str] = []
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ALERT_REFRESH_URL": url}
    command = re.sub(r"^(?:\.venv/bin/)?alert-refresh(?= )", f"{sys.executable} -m alert_refresh", command)
    command = command.replace(ADDRESS, url)

    def as_shown() -> bool:
        run = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environ, capture_output=True, text=True, timeout=30
        )
        answers.append(run.stdout)
        assert run.stderr == ""
        return matches(shown, run.stdout)

    def is_over() -> bool:
        """Whether it is as shown, or was more than told to wait for a refresh that runs."""
        return as_shown() or "refresh_in_progress" not in answers[-1]

    once = "-X POST" in command or "refresh targets" in command
    assert eventually(is_over if once else as_shown), f"{command}\n{answers[-1]}"
    assert matches(shown, answers[-1]), f"{command}\n{answers[-1]}"


def test_every_block_of_commands_is_run() -> None:
    shown = re.findall(r"^\$ ", README, re.MULTILINE)
    assert len(shown) == sum(len(list(steps(text))) for _, text in BLOCKS) >= 10
    assert {mark for mark, _ in BLOCKS} == {"tour", "tokens", "views"}


def test_an_answer_that_differs_would_be_found() -> None:
    assert matches("a\n...\nb 2026-11-26T01:50:51Z", "a\r\nx\r\ny\r\nb 2027-01-01T00:00:00Z\n")
    assert not matches("a\n...\nb", "a\nx\nc")
    assert not matches('{"state":"stale"}', '{"state":"fresh"}')


def test_the_log_of_the_readme_is_what_the_program_prints(tmp_path: Path) -> None:
    with running("tour", tmp_path) as program:
        program.wait_for("Scheduled refresh completed")
        for line in LOG.splitlines():
            message, *fields = re.split(r"\s+(?=\w+=)", re.sub(r"^\S+ INFO +", "", line))
            printed = program.wait_for(re.sub(r"\d+ms$", "", message))
            assert {one.partition("=")[0] for one in fields} <= set(printed), line
