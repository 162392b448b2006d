"""The state folder: which files are trusted, how they are written, and what is left when that fails."""

from __future__ import annotations

import errno
import logging
import os
import stat
from typing import TYPE_CHECKING

import pytest

from alert_refresh.files.write import temporary_for
from alert_refresh.keep.folder import FolderRefused, Refused, StateFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT = 1000
OTHER = 12345
"""A user that is not us."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def kept(folder: Path, mode: int = 0o600) -> Path:
    file = folder / "one"
    file.write_bytes(b"kept")
    file.chmod(mode)
    return file


def refused(folder: Path) -> str:
    """Why the file is refused, to read and to append to; its content has not changed."""
    with pytest.raises(Refused) as raised:
        StateFolder(folder).read("one", LIMIT)
    return str(raised.value)


def test_what_is_written_is_read_and_belongs_to_us_alone(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    assert state.read("one", LIMIT) is None
    for data in (b"first", b"second"):
        state.write("one", data)
        assert state.read("one", LIMIT) == data
    state.append("two", b"a")
    state.append("two", b"b")
    assert state.read("two", LIMIT) == b"ab"
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert {file.name for file in tmp_path.iterdir()} == {"one", "two"}


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644, 0o666])
def test_p11_a_file_that_others_could_read_is_refused_and_closed(tmp_path: Path, mode: int) -> None:
    file = kept(tmp_path, mode)
    assert refused(tmp_path) == "others could read or write it"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o660, 0o640, 0o670])
def test_p11_bits_of_the_group_are_mended_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    file = kept(tmp_path, mode)
    assert StateFolder(tmp_path).read("one", LIMIT) == b"kept"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    [record] = caplog.records
    assert record.levelno == logging.WARNING and "open to its group" in record.getMessage()
    assert StateFolder(tmp_path).read("one", LIMIT) == b"kept"
    assert len(caplog.records) == 1


@as_root
@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_p11_a_file_of_another_user_is_refused(tmp_path: Path, mode: int) -> None:
    file = kept(tmp_path, mode)
    os.chown(file, OTHER, OTHER)
    assert refused(tmp_path) == "it belongs to another user"
    assert stat.S_IMODE(file.stat().st_mode) == mode, "it is not ours to change"


def test_p11_symbolic_and_hard_links_are_refused(tmp_path: Path) -> None:
    file = kept(tmp_path)
    real = file.rename(tmp_path / "real")
    file.symlink_to(real)
    assert refused(tmp_path) == "it is a symbolic link"
    with pytest.raises(Refused, match="symbolic link"):
        StateFolder(tmp_path).append("one", b"more")
    file.unlink()
    file.hardlink_to(real)
    assert refused(tmp_path) == "it has more than one name (a hard link)"
    with pytest.raises(Refused, match="hard link"):
        StateFolder(tmp_path).append("one", b"more")
    assert real.read_bytes() == b"kept"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "folder"])
def test_p11_what_is_no_file_is_refused_and_blocks_nothing(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "one")
    assert refused(tmp_path) == "it is not a regular file"


def test_p10_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    file = kept(tmp_path)
    os.truncate(file, 2**40)
    assert "larger than" in refused(tmp_path)


@as_root
def test_p11_a_sticky_folder_is_used_and_what_others_put_there_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    StateFolder(tmp_path).check()
    os.chown(kept(tmp_path), OTHER, OTHER)
    assert refused(tmp_path) == "it belongs to another user"


def test_p11_a_folder_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    tmp_path.chmod(0o777)
    for attempt in (state.check, lambda: state.write("one", b""), lambda: state.append("one", b"")):
        with pytest.raises(FolderRefused, match="everybody may write"):
            attempt()
    tmp_path.chmod(0o770)
    state.write("one", b"a volume of a pod is open to its group")


def test_a_folder_that_is_missing_or_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StateFolder(tmp_path / "none").append("one", b"")
    with pytest.raises(FolderRefused):
        StateFolder(kept(tmp_path)).check()


def test_only_our_leftovers_are_removed(tmp_path: Path) -> None:
    ours = [temporary_for(tmp_path / name).name for name in ("one", "two")]
    others = [
        "one",
        ".one.0123abcd",
        temporary_for(tmp_path / "three").name,
        ours[0].removeprefix("."),
        ".one.rejected",
    ]
    for name in (*ours, *others):
        (tmp_path / name).touch()
    folder = temporary_for(tmp_path / "one")
    folder.mkdir()
    StateFolder(tmp_path).remove_leftovers("one", "two")
    assert {file.name for file in tmp_path.iterdir()} == {*others, folder.name}
    StateFolder(tmp_path / "none").remove_leftovers("one")


def test_one_file_is_kept_aside(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    for content in (b"first", b"second"):
        (tmp_path / "one").write_bytes(content)
        state.set_aside("one")
    state.set_aside("one")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("one.rejected", b"second")]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_p08_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    state = StateFolder(tmp_path)
    state.write("one", b"old")
    met = []

    def fail(*_: object, **__: object) -> int:
        met.append(call)
        raise OSError(number, os.strerror(number))

    owner: object = type(tmp_path) if call == "replace" else os
    monkeypatch.setattr(owner, call, fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        state.write("one", b"new")
    monkeypatch.undo()
    assert met == [call]
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("one", b"old")]


def test_p08_an_append_that_is_cut_short_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:2]))
    with pytest.raises(OSError, match="No space left"):
        StateFolder(tmp_path).append("one", b"abcd")
