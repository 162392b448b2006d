"""The command line tool: what it accepts, and what comes of it when it is not what it should be."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.alertmanager.inputs import UNKNOWN, Capabilities
from alert_refresh.alertmanager.running.amtool import Amtool, NoVerdict, _in_portions
from alert_refresh.engine import Deadline, Permanent, SystemClock, Transient
from tests.alertmanager.amtool import amtool
from tests.alertmanager.server import NEWER, UNPACKED

if TYPE_CHECKING:
    from pathlib import Path

GOOD = b"route: {receiver: a}\nreceivers: [{name: a}]\n"


def deadline(seconds: float = 60.0) -> Deadline:
    return Deadline(SystemClock(), seconds)


@pytest.fixture
def tool(tmp_path: Path) -> Amtool:
    one = Amtool(tmp_path / "alertmanager.yml")
    one.path = amtool()
    return one


def script(tmp_path: Path, text: str) -> Amtool:
    """A program that stands for the tool."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/amtool"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    one = Amtool(tmp_path / "alertmanager.yml")
    one.path = str(program)
    return one


def test_it_refuses_what_alertmanager_would_and_leaves_nothing_behind(tool: Amtool, tmp_path: Path) -> None:
    assert not tool.refuses(GOOD, deadline())
    assert tool.refuses(GOOD + b"nonsense: 1\n", deadline())
    assert list(tmp_path.iterdir()) == []


def test_many_are_checked_in_one_call_and_each_gets_its_own_verdict(
    tool: Amtool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.tmpl").write_text("{{ define")
    templates = GOOD + b"templates: ['bad.tmpl']\n"
    said_twice = GOOD + b"\"Checking '/x'  SUCCESS\\nChecking '/y'  SUCCESS\": 1\n"
    texts = [GOOD, GOOD + b"nonsense: 1\n", GOOD, templates, b"", GOOD]
    refused = [False, True, False, True, True, False]
    calls: list[int] = []
    run = tool._run

    def counted(*told: Any) -> Any:
        calls.append(len(told))
        return run(*told)

    monkeypatch.setattr(tool, "_run", counted)
    assert list(tool.refused(texts, deadline())) == refused
    assert len(calls) == 1
    assert list(tool.refused([], deadline())) == [] and len(calls) == 1
    assert list(tool.refused([GOOD, said_twice, GOOD], deadline())) == [False, True, False], (
        "words of a file are no verdict"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tmpl"]


def test_very_many_are_checked_in_several_calls(tool: Amtool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_refresh.alertmanager.running.amtool.MOST_FILES", 3)
    monkeypatch.setattr("alert_refresh.alertmanager.running.amtool.MOST_BYTES", 3 * len(GOOD) + 1)
    texts = [GOOD, GOOD, GOOD, GOOD, GOOD * 9, GOOD, GOOD]
    assert list(_in_portions(texts)) == [[GOOD] * 3, [GOOD], [GOOD * 9], [GOOD] * 2]
    assert list(tool.refused(texts, deadline())) == [False] * 4 + [True, False, False]


@pytest.mark.parametrize("says", ["", "Checking '1'  SUCCESS", "Checking '1'  SUCCESS\nChecking '2'  SUCCESS"])
def test_one_that_says_it_in_other_words_is_asked_about_each(tmp_path: Path, says: str) -> None:
    one = script(tmp_path, f'echo "{says}"; grep -q nonsense "$2" "${{3:-$2}}" && exit 1; exit 0')
    assert list(one.refused([GOOD, GOOD + b"nonsense: 1\n"], deadline())) == [False, True]


def test_relative_paths_count_from_the_folder_of_the_file(tool: Amtool, tmp_path: Path) -> None:
    (tmp_path / "a.tmpl").write_text('{{ define "a" }}{{ end }}')
    assert not tool.refuses(GOOD + b"templates: ['*.tmpl']\n", deadline())
    (tmp_path / "a.tmpl").write_text("{{ define")
    assert tool.refuses(GOOD + b"templates: ['*.tmpl']\n", deadline())


def test_what_it_checks_is_for_the_owner_alone(tmp_path: Path) -> None:
    one = script(tmp_path, f'stat -c %a "$2" > {tmp_path}/mode')
    assert not one.refuses(GOOD, deadline())
    assert (tmp_path / "mode").read_text() == "600\n"


def test_its_version_and_what_that_knows(tool: Amtool) -> None:
    assert tool.version(deadline()) == "0.25.0"
    assert tool.capabilities(deadline()) == Capabilities()


def test_what_a_later_one_knows(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    one = script(tmp_path, f"echo $1 >> {asked}; [ $1 = check-config ] || echo amtool, version 0.28.1")
    assert one.version(deadline()) == "0.28.1"
    assert one.capabilities(deadline()) == Capabilities(http_headers=True, utf8=True)
    said = asked.read_text()
    assert one.version(deadline()) == "0.28.1" and one.capabilities(deadline()) == Capabilities(True, True)
    assert asked.read_text() == said, "it is asked once"


def test_one_that_is_upgraded_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "amtool"
    path.symlink_to(amtool())
    one = Amtool(tmp_path / "alertmanager.yml")
    one.path = str(path)
    assert one.version(deadline()) == "0.25.0" and one.capabilities(deadline()) == Capabilities()
    path.unlink()
    path.symlink_to(amtool(NEWER))
    assert one.capabilities(deadline()) == Capabilities(http_headers=True, utf8=True)
    assert str(one.version(deadline())).startswith("0.28.1")


def test_one_that_refuses_everything_knows_nothing(tmp_path: Path) -> None:
    one = script(tmp_path, "exit 1")
    assert one.version(deadline()) == "" and one.capabilities(deadline()) == UNKNOWN


def test_without_the_tool_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    one = Amtool(tmp_path / "alertmanager.yml")
    assert one.path is None and one.version(deadline()) is None and one.capabilities(deadline()) == UNKNOWN


def test_it_hangs(tmp_path: Path) -> None:
    one = script(tmp_path, "exec sleep 60")
    with pytest.raises(NoVerdict, match=r"amtool did not end within [01][.\d]* s") as raised:
        one.refuses(GOOD, deadline(3))
    assert raised.value.error_type == "timeout"
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_one_that_is_ended_by_a_signal_has_refused_nothing(tmp_path: Path) -> None:
    tool = script(tmp_path, "kill -9 $$")
    with pytest.raises(NoVerdict, match="ended by signal 9"):
        tool.refuses(GOOD, deadline())
    with pytest.raises(NoVerdict):
        list(tool.refused([GOOD, GOOD], deadline()))
    assert [one.name for one in tmp_path.iterdir()] == ["bin"]


def test_it_cannot_be_started(tmp_path: Path) -> None:
    one = Amtool(tmp_path / "alertmanager.yml")
    one.path = str(tmp_path / "none")
    with pytest.raises(Transient, match="cannot be started"):
        one.refuses(GOOD, deadline())


@pytest.mark.parametrize("unpacked", [UNPACKED, NEWER], ids=["0.25", "0.28"])
def test_where_the_folder_may_not_be_written_it_is_given_by_input_without_templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpacked: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "no")

    one = Amtool(tmp_path / "alertmanager.yml")
    one.path = amtool(unpacked)
    assert one.templates_checked is True
    monkeypatch.setattr("alert_refresh.files.write.write_new", refuse)
    assert not one.refuses(GOOD, deadline()) and one.refuses(GOOD + b"nonsense: 1\n", deadline())
    assert not one.refuses(GOOD + b"templates:\n- '*'\n- \"[\"\n", deadline())
    assert vars(one)["templates_checked"] is False and one.capabilities(deadline()).utf8 is (unpacked == NEWER)


def test_the_folder_is_missing(tmp_path: Path) -> None:
    one = Amtool(tmp_path / "no" / "alertmanager.yml")
    one.path = "/bin/true"
    with pytest.raises(Permanent) as raised:
        one.refuses(GOOD, deadline())
    assert raised.value.error_type == "storage"
