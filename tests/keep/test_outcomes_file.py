"""The outcomes of attempts: appended, read after a restart, bounded, and damaged lines left out."""

from __future__ import annotations

import json
import logging
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import Outcome, Result, Trigger
from alert_refresh.keep.folder import FolderRefused, StateFolder
from alert_refresh.keep.outcomes_file import (
    KEPT,
    LONGEST_ERROR,
    MOST,
    NAME,
    OutcomesFile,
    last_of,
    line_of,
    parse,
    worth_keeping,
)

if TYPE_CHECKING:
    from pathlib import Path


def outcome(number: int = 0, result: Result = Result.SUCCESS, kind: str = "targets") -> Outcome:
    failed = result is Result.FAILED
    return Outcome(
        kind=kind,
        trigger=Trigger.PERIODIC,
        request_id=f"request-{number}",
        attempt=1,
        result=result,
        started_at=1_700_000_000.0 + number,
        duration=0.25,
        error="connection refused" if failed else None,
        error_type="network" if failed else None,
        consecutive_failures=int(failed),
    )


ONE = outcome(1, Result.FAILED)


def again(folder: Path) -> list[Outcome]:
    """What is read after a restart."""
    return OutcomesFile(StateFolder(folder)).read()


def numbers(outcomes: list[Outcome]) -> list[int]:
    return [int(one.request_id.removeprefix("request-")) for one in outcomes]


def test_outcomes_come_back_in_their_order(tmp_path: Path) -> None:
    file = OutcomesFile(StateFolder(tmp_path))
    assert file.read() == []
    file.append([outcome(0), ONE])
    file.append([outcome(2, Result.FAILED, "rules")])
    assert again(tmp_path) == [outcome(0), ONE, outcome(2, Result.FAILED, "rules")]
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    for line in (tmp_path / NAME).read_text().splitlines():
        assert json.loads(line)["started_at"] > 0


@given(
    st.builds(
        Outcome,
        kind=st.text(st.characters(codec="utf-8")),
        trigger=st.sampled_from(Trigger),
        request_id=st.text(st.characters(codec="utf-8")),
        attempt=st.integers(0, 1000),
        result=st.sampled_from(Result),
        started_at=st.floats(0, 1e12),
        duration=st.floats(0, 1e12),
        error=st.none() | st.text(st.characters(codec="utf-8")),
        retry_in=st.none() | st.floats(0, 1e6),
        changed=st.booleans(),
    )
)
def test_any_outcome_is_one_line_and_comes_back(one: Outcome) -> None:
    line = line_of(one)
    assert line.count(b"\n") == 1 and line.endswith(b"\n") and len(line.splitlines()) == 1
    assert parse(line[:-1]) == one


@given(st.integers(0, len(line_of(ONE)) - 2), st.integers(0, 7))
def test_a_line_with_one_flipped_bit_is_left_out(at: int, bit: int) -> None:
    line = bytearray(line_of(ONE)[:-1])
    line[at] ^= 1 << bit
    assert parse(bytes(line)) is None


@given(st.binary(max_size=200))
def test_any_line_is_an_outcome_or_left_out(line: bytes) -> None:
    assert parse(line) is None


def test_a_last_line_that_is_torn_is_dropped_without_a_word_and_not_appended_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = line_of(outcome(0)) + line_of(ONE)
    for cut in range(len(line_of(outcome(0))) + 1, len(whole)):
        (tmp_path / NAME).write_bytes(whole[:cut])
        (tmp_path / NAME).chmod(0o600)
        file = OutcomesFile(StateFolder(tmp_path))
        found = file.read()
        assert numbers(found) == ([0, 1] if cut == len(whole) - 1 else [0])
        file.append([outcome(2)])
        assert numbers(again(tmp_path)) == [*numbers(found), 2]
    assert caplog.records == []


def test_damaged_lines_are_left_out_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [line_of(outcome(n)) for n in range(4)]
    (tmp_path / NAME).write_bytes(lines[0] + b"{}\n\n" + lines[1][5:] + lines[2] + lines[3])
    (tmp_path / NAME).chmod(0o600)
    file = OutcomesFile(StateFolder(tmp_path))
    assert numbers(file.read()) == [0, 2, 3]
    assert [record.getMessage() for record in caplog.records] == ["3 kept outcomes are damaged and are left out"]
    file.append([outcome(4)])
    caplog.clear()
    assert numbers(again(tmp_path)) == [0, 2, 3, 4]
    assert caplog.records == []


def test_the_file_is_bounded_and_what_counts_of_a_rare_kind_stays(tmp_path: Path) -> None:
    file = OutcomesFile(StateFolder(tmp_path))
    file.read()
    file.append([outcome(0, kind="rules"), outcome(1, Result.FAILED, "rules"), outcome(2, Result.CANCELLED, "rules")])
    for start in range(3, MOST, 100):
        file.append([outcome(n, Result.FAILED) for n in range(start, min(start + 100, MOST))])
    assert len(again(tmp_path)) == MOST
    file.append([outcome(MOST)])
    assert numbers(again(tmp_path)) == [0, 1, *range(MOST - KEPT + 1, MOST + 1)]
    file.append([outcome(MOST + 1)])
    found = again(tmp_path)
    assert numbers(found) == [0, 1, *range(MOST - KEPT + 1, MOST + 2)]
    assert last_of(found, "rules") == (outcome(1, Result.FAILED, "rules"), 1_700_000_000.25)
    assert {path.name for path in tmp_path.iterdir()} == {NAME}


def test_the_last_outcome_is_one_that_was_not_cancelled() -> None:
    found = [outcome(0), ONE, outcome(2, Result.CANCELLED)]
    assert last_of(found, "targets") == (ONE, 1_700_000_000.25)
    assert last_of(found, "rules") == (None, None)
    assert last_of(found[1:], "targets") == (ONE, None)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(Result)), max_size=40))
def test_nothing_that_counts_is_lost_by_rewriting(steps: list[tuple[str, Result]]) -> None:
    outcomes = [outcome(n, result, kind) for n, (kind, result) in enumerate(steps)]
    outcomes += [outcome(n, kind="often") for n in range(KEPT)]
    kept = worth_keeping(outcomes)
    assert KEPT <= len(kept) <= KEPT + 6
    for kind in "abc":
        assert last_of(kept, kind) == last_of(outcomes, kind)


def test_a_long_error_is_cut() -> None:
    found = parse(line_of(replace(ONE, error="x" * 10_000))[:-1])
    assert found is not None and found.error == "x" * LONGEST_ERROR


def test_a_file_that_may_not_be_trusted_is_moved_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / NAME).write_bytes(line_of(outcome(0)))
    (tmp_path / NAME).chmod(0o644)
    file = OutcomesFile(StateFolder(tmp_path))
    assert file.read() == []
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "outcomes_rejected")
    assert record.error == "others could read or write it"  # type: ignore[attr-defined]
    file.append([outcome(1)])
    assert numbers(again(tmp_path)) == [1]
    (tmp_path / "other").hardlink_to(tmp_path / NAME)
    file.append([outcome(2)])
    assert numbers(again(tmp_path)) == [2]
    assert {path.name for path in tmp_path.iterdir()} == {NAME, f"{NAME}.rejected", "other"}
    tmp_path.chmod(0o777)
    with pytest.raises(FolderRefused):
        file.append([outcome(3)])
    tmp_path.chmod(0o700)
    assert numbers(again(tmp_path)) == [2]


def test_after_an_append_that_failed_the_file_is_whole_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = OutcomesFile(StateFolder(tmp_path))
    file.append([outcome(0)])
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    with pytest.raises(OSError, match="No space left"):
        file.append([outcome(1)])
    assert len((tmp_path / NAME).read_bytes()) == len(line_of(outcome(0))) + 7
    monkeypatch.undo()
    file.append([outcome(1), outcome(2)])
    assert numbers(again(tmp_path)) == [0, 1, 2]
    assert (tmp_path / NAME).read_bytes().count(b"\n") == 3
