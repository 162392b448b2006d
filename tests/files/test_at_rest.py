"""A file that is written in place is complete once it is unchanged for a while or was closed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from inotify_simple import flags

from alert_refresh.files import at_rest
from alert_refresh.files.at_rest import SETTLED, Writers, signature, written_in_place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x"
    path.write_text("x")
    return path


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic time, which the test advances."""
    at = [100.0]
    monkeypatch.setattr("alert_refresh.files.at_rest.time.monotonic", lambda: at[0])
    return at


def test_only_what_was_just_written_and_not_renamed_may_still_be_written(file: Path) -> None:
    state = file.stat()
    assert written_in_place(state, state.st_mtime + SETTLED - 0.01, None)
    assert not written_in_place(state, state.st_mtime + SETTLED, None)
    assert not written_in_place(state, state.st_mtime - SETTLED, None)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns - 1))  # a change of the file later than its last write
    renamed = file.stat()
    assert not written_in_place(renamed, renamed.st_mtime, None)
    assert not written_in_place(renamed, renamed.st_mtime, ())
    assert written_in_place(renamed, renamed.st_mtime, signature(state)), "a chmod while it is written: the same file"


@pytest.mark.parametrize("event", [flags.CLOSE_WRITE, flags.MOVED_TO])
def test_a_file_is_closed_in_the_state_it_has_then(file: Path, event: int) -> None:
    writers = Writers()
    assert not writers.closed("x", file.stat())
    writers.note(event, "x", file)
    assert writers.closed("x", file.stat())
    assert not writers.closed("y", file.stat())
    file.write_text("another")
    assert not writers.closed("x", file.stat())


@pytest.mark.parametrize("event", [flags.MODIFY, flags.DELETE, flags.MOVED_FROM])
def test_what_is_written_again_or_gone_is_not_closed(file: Path, event: int) -> None:
    writers = Writers()
    writers.note(flags.CLOSE_WRITE, "x", file)
    writers.note(event, "x", file)
    assert not writers.closed("x", file.stat())
    assert (writers.rest_in() is not None) == (event == flags.MODIFY)


def test_a_closed_file_whose_mode_changes_is_closed_still(file: Path) -> None:
    writers = Writers()
    writers.note(flags.CLOSE_WRITE, "x", file)
    file.chmod(0o600)
    writers.note(flags.ATTRIB, "x", file)
    assert writers.closed("x", file.stat())
    assert writers.rest_in() is None


@pytest.mark.parametrize("event", [flags.MODIFY, flags.CREATE, flags.ATTRIB])
def test_a_file_that_is_not_closed_counts_as_written_half_a_second_after_its_last_change(
    file: Path, now: list[float], event: int
) -> None:
    writers = Writers()
    writers.note(event, "x", file)
    assert writers.rest_in() == SETTLED
    now[0] += 0.4
    assert not writers.rested()
    writers.note(flags.MODIFY, "x", file)
    now[0] += 0.4
    assert not writers.rested()
    assert writers.rest_in() == pytest.approx(0.1)
    now[0] += 0.2
    assert writers.rest_in() == 0
    assert writers.rested()
    assert not writers.rested()
    assert writers.rest_in() is None


@pytest.mark.parametrize("event", [flags.CREATE, flags.ATTRIB])
def test_what_is_not_written_need_not_rest(file: Path, event: int) -> None:
    writers = Writers()
    os.utime(file, (1, 1))
    writers.note(event, "x", file)
    writers.note(flags.DELETE_SELF, "x", file)
    assert writers.rest_in() is None


def test_a_file_that_is_gone_again_is_neither(file: Path) -> None:
    writers = Writers()
    state = file.stat()
    file.unlink()
    writers.note(flags.CLOSE_WRITE, "x", file)
    writers.note(flags.CREATE, "x", file)
    assert not writers.closed("x", state)
    assert writers.rest_in() is None


def test_after_lost_events_no_state_is_known(file: Path) -> None:
    writers = Writers()
    writers.note(flags.CLOSE_WRITE, "x", file)
    writers.note(flags.MODIFY, "y", file)
    writers.forget()
    assert not writers.closed("x", file.stat())
    assert writers.rest_in() is None


def test_the_rest_is_the_documented_one() -> None:
    assert at_rest.SETTLED == 0.5
