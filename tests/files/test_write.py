from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from alert_refresh.files import write as atomic_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "x"
    for data in (b"one", b"", b"three" * 1000):
        atomic_file.write(file, data)
        assert file.read_bytes() == data and list(tmp_path.iterdir()) == [file]


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        atomic_file.write(tmp_path / "private", b"x")
        atomic_file.write(tmp_path / "public", b"x", mode=0o644)
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("private", "public")] == [0o600, 0o644]


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", range(-1, 11))
def test_a_crash_at_any_byte_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    file, new = tmp_path / "x", b"0123456789"
    file.write_bytes(b"old")
    written = 0
    write = os.write

    def one_byte(descriptor: int, data: memoryview) -> int:
        nonlocal written
        if written == at:
            raise Crash
        written += 1
        return write(descriptor, data[:1])

    def at_once(path: object) -> None:
        raise Crash

    monkeypatch.setattr(os, "write", one_byte)
    if at in (-1, 10):
        monkeypatch.setattr(os, "fsync", at_once)
    with pytest.raises(Crash):
        atomic_file.write(file, new)
    assert file.read_bytes() == b"old"


def test_the_data_is_on_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def renamed(*arguments: str) -> None:
        steps.append("rename")
        replace(*arguments)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    atomic_file.write(tmp_path / "x", b"data")
    assert steps == ["file", "rename", "folder"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"old")

    def full(descriptor: int, data: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=os.strerror(number)):
        atomic_file.write(file, b"new")
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_file.write(tmp_path / "no" / "x", b"new")


def test_leftovers_of_killed_writes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    ours = [atomic_file.temporary_for(tmp_path / "x.yml") for _ in range(2)]
    others = [
        "x.yml",
        ".x.yml.20251126",
        ".x.yml.0123abcd",
        f"{ours[0].name}.bak",
        ours[0].name.replace("x.yml", "xayml"),
    ]
    for name in (*others, *(one.name for one in ours)):
        (tmp_path / name).touch()
    assert ours[0] != ours[1]
    atomic_file.remove_leftovers(tmp_path, ("x.yml", "y"))
    assert {one.name for one in tmp_path.iterdir()} == set(others)
    atomic_file.remove_leftovers(tmp_path / "none", ("x.yml",))
