"""The file that is written: whole or not at all, with the mode and owner that it had."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.alertmanager.file import ConfigFile
from alert_refresh.engine import Permanent, Transient

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alertmanager.yml"


@pytest.fixture
def file(path: Path) -> ConfigFile:
    return ConfigFile(path)


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


def test_a_new_file_is_for_its_owner_alone_and_has_none_before_it(file: ConfigFile, path: Path) -> None:
    assert file.read() is None and file.previous() is None
    file.write(b"one")
    assert file.read() == b"one" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path) == ["alertmanager.yml"]


def test_the_content_before_is_kept_each_time(file: ConfigFile, path: Path) -> None:
    for text in (b"one", b"two", b"three"):
        file.write(text)
    assert (file.read(), file.previous()) == (b"three", b"two")
    file.write(b"four", keep=False)
    assert (file.read(), file.previous()) == (b"four", b"two")
    assert names(path) == ["alertmanager.yml", "alertmanager.yml.previous"]


def test_what_is_kept_is_not_changed_by_a_hand_that_edits_the_file(file: ConfigFile, path: Path) -> None:
    file.write(b"one")
    file.write(b"two")
    path.write_bytes(b"edited")
    assert file.previous() == b"one"


def test_a_crash_between_the_two_steps_leaves_nothing_behind_in_the_end(file: ConfigFile, path: Path) -> None:
    file.write(b"one")
    os.link(path, path.with_name("alertmanager.yml.previous"))
    file.write(b"two")
    assert (file.read(), file.previous()) == (b"two", b"one")
    assert names(path) == ["alertmanager.yml", "alertmanager.yml.previous"]


def test_where_there_are_no_second_names_it_is_copied(
    file: ConfigFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "link", refuse)
    path.write_bytes(b"one")
    path.chmod(0o640)
    file.write(b"two")
    previous = path.with_name("alertmanager.yml.previous")
    assert previous.read_bytes() == b"one" and stat.S_IMODE(previous.stat().st_mode) == 0o640
    file.restore(b"one")
    assert file.read() == b"one"


def test_what_was_before_comes_back_without_room_on_the_disk(
    file: ConfigFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"one")
    path.chmod(0o640)
    file.write(b"two")

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(Transient, match="No space left") as raised:
        file.write(b"three")
    assert raised.value.error_type == "storage" and file.read() == b"two"
    assert file.previous() == b"one"
    for _ in range(2):
        file.restore(b"one")
    assert file.read() == b"one" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(path) == ["alertmanager.yml", "alertmanager.yml.previous"]


def test_a_symlink_leads_to_the_file_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real/a.yml", tmp_path / "a.yml"
    real.write_bytes(b"one")
    link.symlink_to(real)
    file = ConfigFile(link)
    file.write(b"two")
    assert link.is_symlink() and real.read_bytes() == b"two"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.yml", "real"]


def test_what_is_no_regular_file_is_never_replaced(file: ConfigFile, path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(Permanent, match="not a regular file"):
        file.write(b"one")
    with pytest.raises(Permanent, match="not a regular file"):
        file.read()


def test_where_the_owner_cannot_be_kept_nothing_is_replaced(
    file: ConfigFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"one")
    state = os.fstat

    def others(descriptor: int) -> Any:
        found = state(descriptor)
        return os.stat_result((*found[:4], found[4] + 1, *found[5:10]))

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not yours")

    monkeypatch.setattr("alert_refresh.files.write.os.fstat", others)
    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(Permanent, match="Operation not permitted") as raised:
        file.write(b"two")
    assert raised.value.error_type == "storage"
    monkeypatch.undo()
    assert path.read_bytes() == b"one"
    assert [name for name in names(path) if name.startswith(".")] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_of_the_file_is_kept(file: ConfigFile, path: Path) -> None:
    path.write_bytes(b"one")
    os.chown(path, 12345, 23456)
    path.chmod(0o640)
    file.write(b"two")
    for one in (path, path.with_name("alertmanager.yml.previous")):
        state = one.stat()
        assert (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) == (12345, 23456, 0o640)


def test_a_file_that_was_not_there_can_be_removed_again(file: ConfigFile, path: Path) -> None:
    file.write(b"one")
    file.remove()
    file.remove()
    assert names(path) == []
