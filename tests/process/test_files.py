"""The program and files that are still being written, or are written through another name."""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tests.process.program import SLOW_MACHINE, Program, eventually
from tests.targets.folder.folders import secret, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGETS = "/api/v2/publishing/targets"
RULES = "/api/v2/rules"


def served(program: Program) -> list[str]:
    """The names of the targets that are served, stale ones with a `~`."""
    status, _, answer = program.get(TARGETS)
    assert status == 200 or answer["error"] == "not_loaded", answer
    return [("~" if one["state"] == "stale" else "") + one["name"] for one in answer.get("targets", ())]


@contextmanager
def never_resting(file: Path) -> Iterator[None]:
    """Append rules to a YAML file, with shorter pauses than the time after which it counts as written."""
    ended = threading.Event()

    def append() -> None:
        with file.open("a") as writer:
            for number in range(100_000):
                writer.write(f"- id: rule-{number}\n")
                writer.flush()
                if ended.wait(0.05):
                    return

    thread = threading.Thread(target=append)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_stop_does_not_wait_for_a_rules_file_to_rest(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    with never_resting(file), Program(env={"RULES_FILE": str(file)}) as program:
        program.wait_for("Serving")
        assert eventually(lambda: program.get(f"{RULES}/status")[2]["status"] == "in_progress")
        assert program.stop() < 5 + SLOW_MACHINE
        assert program.process.returncode == 0 and program.stderr == ""
        assert [line["message"] for line in program.log][-1] == "shutdown_clean"


def test_f11_what_a_writer_has_not_finished_is_not_served_while_other_files_change(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", secret("one"), secret("two"), secret("three"))
    write(tmp_path / "b.yaml", secret("b"))
    with Program(env={"TARGET_DIRECTORY": str(tmp_path)}) as program:
        program.wait_for("Serving")
        assert eventually(lambda: served(program) == ["b", "one", "three", "two"])
        with (tmp_path / "a.yaml").open("w") as writer:
            for number, name in enumerate(("one", "two", "four")):
                writer.write(("\n---\n" if number else "") + json.dumps(secret(name)))
                writer.flush()
                write(tmp_path / "b.yaml", secret(f"b{number}"))
                assert eventually(partial(lambda number: f"b{number}" in served(program), number))
        assert eventually(lambda: served(program) == ["b2", "four", "one", "two"])


def test_f11_a_writer_that_never_closes_is_read_once_the_file_is_unchanged(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", secret("a"))
    with Program(env={"TARGET_DIRECTORY": str(tmp_path)}) as program:
        program.wait_for("Serving")
        assert eventually(lambda: served(program) == ["a"])
        with (tmp_path / "a.yaml").open("w") as writer:
            writer.write(json.dumps(secret("b")))
            writer.flush()
            assert eventually(lambda: served(program) == ["b"])


def test_files_that_are_written_through_another_name_are_seen(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    for one in (folder, outside):
        one.mkdir()
    (outside / "rules").write_text('{"rules": [{"id": "one"}]}')
    (outside / "target").write_text(json.dumps(secret("a")))
    os.link(outside / "rules", folder / "rules")
    os.link(outside / "target", folder / "a.yaml")
    env = {"TARGET_DIRECTORY": str(folder), "RULES_FILE": str(folder / "rules")}
    with Program(env=env) as program:
        program.wait_for("Serving")
        assert eventually(lambda: served(program) == ["a"])
        assert eventually(lambda: program.get(f"{RULES}/one")[0] == 200)
        (outside / "rules").write_text('{"rules": [{"id": "two"}]}')
        (outside / "target").write_text(json.dumps(secret("b")))
        assert eventually(lambda: served(program) == ["b"])
        assert eventually(lambda: program.get(f"{RULES}/two")[0] == 200)


def test_f09_odd_names_are_shown_everywhere_and_stop_nothing(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    for name in (b"b\xe4d.yaml", b"two\nlines.yaml", b"\xff" * 250 + b".yaml"):
        with open(os.path.join(root, name), "w") as file:  # noqa: PTH118, PTH123 - a name that is not UTF-8
            file.write("kind: [")
    write(tmp_path / "a.yaml", secret("a"))
    env = {"TARGET_DIRECTORY": str(tmp_path)}
    with Program("alert_refresh", "check", env=env) as check:
        assert check.wait() == 1 or check.process.returncode == 0
        assert r"b\xe4d.yaml: file: " in "".join(check.lines)
        assert r"Secret is rejected: 'b\xe4d.yaml'" in check.stderr
    with Program(env=env) as program:
        program.wait_for("Serving")
        assert eventually(lambda: served(program) == ["a"])
        rejected = [one["source"]["file"] for one in program.get(TARGETS)[2]["rejected"]]
        assert rejected == [r"\xff" * 250 + ".yaml", r"b\xe4d.yaml", r"two\nlines.yaml"]
        assert program.get(f"{TARGETS}/status")[2]["status"] == "success"
        program.wait_for("Secret is rejected", 3)
        assert program.find(r"Secret is rejected: 'two\nlines.yaml'")
