"""Reading regular files safely."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from alert_refresh.engine import AttemptError, Permanent, Transient
from alert_refresh.files import read as module
from alert_refresh.files.read import (
    READ_ONLY,
    Changed,
    Exhausted,
    Missing,
    read_descriptor,
    read_file,
    shown,
    storage_error,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    assert read_file(tmp_path, tmp_path / "a", 100_000) == b"x" * 100_000


def test_a_file_in_a_folder_below_is_read(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a").write_bytes(b"x")
    assert read_file(tmp_path, tmp_path / "below" / "a", 10) == b"x"


def test_a_symlink_inside_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    assert read_file(tmp_path, tmp_path / "link", 10) == b"x"


def test_the_root_may_be_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"x")
    (tmp_path / "root").symlink_to("real")
    assert read_file(tmp_path / "root", tmp_path / "root" / "a", 10) == b"x"


def refused(root: Path, path: Path, limit: int = 10) -> AttemptError:
    with pytest.raises(AttemptError) as raised:
        read_file(root, path, limit)
    assert str(root) not in str(raised.value)
    return raised.value


def test_a_symlink_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "a").write_bytes(b"x")
    (tmp_path / "root" / "link").symlink_to("../root2/a")
    (tmp_path / "root" / "folder").symlink_to("../root2")
    for path in ("link", "folder/a"):
        error = refused(tmp_path / "root", tmp_path / "root" / path)
        assert isinstance(error, Permanent) and error.error_type == "storage"


def test_what_is_not_a_regular_file_is_refused_without_opening_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name in ("fifo", "folder", "loop", "device", "socket"):
            error = refused(tmp_path, tmp_path / name)
            assert isinstance(error, Permanent) and error.error_type == "storage", name


def test_a_fifo_that_takes_the_place_of_a_file_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(module, "_resolved", lambda _root, path, _what: path)
    assert isinstance(refused(tmp_path, tmp_path / "fifo"), Permanent)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert isinstance(refused(tmp_path, tmp_path / "a"), Missing)
    assert isinstance(refused(tmp_path, tmp_path / "link"), Missing)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    error = refused(tmp_path, tmp_path / "sparse")
    assert isinstance(error, Permanent) and error.error_type == "too_large"


def test_a_file_that_changes_while_it_is_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    real = os.fstat
    calls = []

    def grows(descriptor: int) -> os.stat_result:
        calls.append(descriptor)
        if len(calls) == 2:
            os.utime(path, (1, 1))
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", grows)
    assert isinstance(refused(tmp_path, path), Changed)


def test_errors_of_the_system_have_a_kind() -> None:
    for number, kind in (
        (errno.EACCES, Permanent),
        (errno.EMFILE, Exhausted),
        (errno.EIO, Transient),
        (errno.ENOENT, Missing),
    ):
        error = storage_error(OSError(number, "text", "/secret/path"), "it")
        assert type(error) is kind and error.error_type == "storage"
        assert "secret" not in str(error)
    assert "OSError" in str(storage_error(OSError("odd"), "it"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"plain-1.yaml", "plain-1.yaml"),
        ("größe 日本.yaml".encode(), "größe 日本.yaml"),
        (b"b\xe4d.yaml", r"b\xe4d.yaml"),
        (rb"b\xe4d.yaml", r"b\\xe4d.yaml"),
        (b"two\nlines\t.yaml", r"two\nlines\t.yaml"),
        ("\x85\u202e\u200b.yaml".encode(), r"\xc2\x85\xe2\x80\xae\xe2\x80\x8b.yaml"),
        (b"\xff" * 255, r"\xff" * 255),
    ],
)
def test_names_are_shown_as_printable_text(name: bytes, text: str) -> None:
    assert shown(os.fsdecode(name)) == text
    assert text.encode().decode().isprintable()


def test_an_error_shows_an_odd_name_escaped(tmp_path: Path) -> None:
    error = refused(tmp_path, tmp_path / os.fsdecode(b"b\xe4d\n"))
    assert str(error) == r"file 'b\xe4d\n' is missing"


@pytest.mark.parametrize("name", ["folder", "fifo", "large", "file"])
def test_a_descriptor_of_any_kind_is_closed(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"x" * 11)
    (tmp_path / "file").write_bytes(b"x")
    descriptor = os.open(tmp_path / name, READ_ONLY)
    with contextlib.suppress(Permanent, IsADirectoryError):
        read_descriptor(descriptor, name, 10)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
