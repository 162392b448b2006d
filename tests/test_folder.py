"""Reading files safely, and seeing folders change."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inotify_simple import INotify, flags

from alert_refresh import folder as module
from alert_refresh.engine import AttemptError, Permanent, Transient, Trigger
from alert_refresh.folder import Changed, Exhausted, FolderWatch, Missing, read_file, storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def test_what_is_no_regular_file_is_refused_without_opening_it(tmp_path: Path) -> None:
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


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


class Seen:
    """Counts what a watch reports."""

    def __init__(self) -> None:
        self.triggers: list[Trigger] = []
        self._event = threading.Event()

    def __call__(self, trigger: Trigger) -> None:
        self.triggers.append(trigger)
        self._event.set()

    def wait(self) -> None:
        """Wait for a report, and for the burst to be over."""
        assert self._event.wait(5), "nothing was reported"
        self._event.clear()


@contextmanager
def watching(path: Path, **options: object) -> Iterator[Seen]:
    seen = Seen()
    watch = FolderWatch(path, seen, **options)  # type: ignore[arg-type]
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield seen
    finally:
        watch.stop()
        thread.join(5)
        assert not thread.is_alive()


def test_changes_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with watching(tmp_path) as seen:
        for change in (
            lambda: path.write_text("1"),
            lambda: path.write_text("2"),
            lambda: path.chmod(0o600),
            lambda: path.rename(tmp_path / "b.yaml"),
            lambda: (tmp_path / "b.yaml").unlink(),
            lambda: (tmp_path / "..data").symlink_to("x"),
        ):
            change()
            seen.wait()
    assert set(seen.triggers) == {Trigger.FILE}


def test_hidden_files_and_neighbours_are_no_change(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    watch = FolderWatch(root, Seen())
    (root / ".a.yaml.swp").write_text("x")
    (root / "..2024").mkdir()
    (tmp_path / "neighbour").write_text("x")
    assert watch._take() is False
    (root / "a.yaml").write_text("x")
    assert watch._take() is True


def test_only_the_names_asked_for_are_a_change(tmp_path: Path) -> None:
    watch = FolderWatch(tmp_path, Seen(), names={"rules.warm"})
    (tmp_path / "rules.new").write_text("x")
    assert watch._take() is False
    (tmp_path / "rules.new").rename(tmp_path / "rules.warm")
    assert watch._take() is True


def test_folders_inside_count_if_asked(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with watching(tmp_path, subfolders=True) as seen:
        (tmp_path / "old" / "..data").symlink_to("x")
        seen.wait()
        (tmp_path / "new").mkdir()
        seen.wait()
        (tmp_path / "new" / "..data").symlink_to("x")
        seen.wait()
    watch = FolderWatch(tmp_path, Seen())
    (tmp_path / "old" / "x").write_text("x")
    assert watch._take() is False


def test_a_link_that_leads_in_a_circle_does_not_keep_the_others_from_being_watched(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "inside").mkdir()
    with watching(tmp_path, subfolders=True) as seen:
        (tmp_path / "inside" / "..data").symlink_to("x")
        seen.wait()


def test_a_folder_that_is_replaced_is_watched_again(tmp_path: Path) -> None:
    root = tmp_path / "above" / "root"
    root.mkdir(parents=True)
    watch = FolderWatch(root, Seen())
    root.rename(tmp_path / "away")
    assert watch._take() is True
    (tmp_path / "away" / "a").write_text("x")
    assert watch._take() is False
    root.mkdir()
    assert watch._take() is True
    (root / "a").write_text("x")
    assert watch._take() is True


def test_a_folder_that_comes_back_with_those_above_it_is_watched_again(tmp_path: Path) -> None:
    root = tmp_path / "above" / "root"
    root.mkdir(parents=True)
    with watching(root) as seen:
        shutil.rmtree(tmp_path / "above")
        seen.wait()
        root.mkdir(parents=True)
        seen.wait()
        (root / "b").write_text("x")
        seen.wait()


def test_a_folder_above_that_comes_while_the_watch_is_set_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "above" / "root"
    real = INotify.add_watch
    calls = []

    def late(self: INotify, path: Path, mask: int) -> int:
        calls.append(path)
        if len(calls) == 2:
            with pytest.raises(FileNotFoundError):
                real(self, path, mask)
            root.parent.mkdir()
        return int(real(self, path, mask))

    monkeypatch.setattr(INotify, "add_watch", late)
    watch = FolderWatch(root, Seen())
    assert calls == [tmp_path, root, root.parent, root]
    root.mkdir()
    assert watch._take() is True


def test_a_folder_behind_a_symlink_is_followed_when_that_is_swapped(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "root").symlink_to("one")
    with watching(tmp_path / "root") as seen:
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").rename(tmp_path / "root")
        seen.wait()
        (tmp_path / "two" / "a").write_text("x")
        seen.wait()


def test_a_folder_that_comes_later_is_watched(tmp_path: Path) -> None:
    with watching(tmp_path / "root") as seen:
        (tmp_path / "root").mkdir()
        seen.wait()


def test_a_file_in_the_root_can_be_watched() -> None:
    watch = FolderWatch(Path("/"), lambda _trigger: None, names=("x.yaml",))
    watch.stop()
    watch.run()


def test_a_burst_is_one_report(tmp_path: Path) -> None:
    reported: list[Trigger] = []

    def last(trigger: Trigger) -> None:
        reported.append(trigger)
        watch.stop()

    watch = FolderWatch(tmp_path, last)
    for number in range(500):
        (tmp_path / "a").write_text(str(number))
    watch.run()
    assert reported == [Trigger.FILE]
    assert watch._take() is False


def test_a_burst_without_end_is_reported_and_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen()
    watch = FolderWatch(tmp_path, seen)
    monkeypatch.setattr(watch, "_take", lambda: True)
    rounds = iter([False, True])
    monkeypatch.setattr(watch, "_stopped", lambda: next(rounds))
    watch.run()
    watch.stop()
    monkeypatch.setattr(watch, "_stopped", lambda: False)
    watch.run()
    assert seen.triggers == [Trigger.FILE]


def test_events_that_were_lost_count_as_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = FolderWatch(tmp_path, Seen())
    event = type("Lost", (), {"wd": -1, "mask": flags.Q_OVERFLOW, "name": ""})()
    monkeypatch.setattr(INotify, "read", lambda *_args, **_options: [event])
    assert watch._take() is True


def test_what_is_done_before_run_is_not_missed(tmp_path: Path) -> None:
    seen = Seen()
    watch = FolderWatch(tmp_path, seen)
    (tmp_path / "a").write_text("x")
    thread = threading.Thread(target=watch.run)
    thread.start()
    seen.wait()
    watch.stop()
    thread.join(5)


def test_stop_may_come_before_run(tmp_path: Path) -> None:
    watch = FolderWatch(tmp_path, Seen())
    watch.stop()
    watch.run()
    watch.run()


def test_nothing_stays_open(tmp_path: Path) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    FolderWatch(tmp_path, Seen()).stop()
    before = opened()
    for _ in range(10):
        watch = FolderWatch(tmp_path, Seen())
        watch.stop()
        watch.run()
    del watch
    assert opened() == before
