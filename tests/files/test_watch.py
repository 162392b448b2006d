"""Watching folders and files for changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from inotify_simple import INotify, flags

from alert_refresh.engine import Trigger
from alert_refresh.files import watch as module
from alert_refresh.files.at_rest import SETTLED
from alert_refresh.files.watch import FolderWatch
from tests.stage import eventually
from tests.unprivileged import as_nobody

if TYPE_CHECKING:
    from collections.abc import Iterator


class Seen:
    """Counts the reports of a watch."""

    def __init__(self) -> None:
        self.triggers: list[Trigger] = []
        self._event = threading.Event()

    def __call__(self, trigger: Trigger) -> None:
        self.triggers.append(trigger)
        self._event.set()

    def wait(self) -> None:
        """Wait for a report, and for the burst to be over."""
        assert self._event.wait(20), "nothing was reported"
        self._event.clear()


@contextmanager
def watching(path: Path, **options: Any) -> Iterator[Seen]:
    seen = Seen()
    watch = FolderWatch(path, seen, **options)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield seen
    finally:
        watch.stop()
        thread.join(20)
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


def test_hidden_files_and_neighbours_are_not_change(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    watch = FolderWatch(root, Seen())
    (root / ".a.yaml.swp").write_text("x")
    (root / "..2024").mkdir()
    (tmp_path / "neighbour").write_text("x")
    assert watch._read_events() is False
    (root / "a.yaml").write_text("x")
    assert watch._read_events() is True


def test_only_the_names_asked_for_are_a_change(tmp_path: Path) -> None:
    watch = FolderWatch(tmp_path, Seen(), names={"rules.warm"})
    (tmp_path / "rules.new").write_text("x")
    assert watch._read_events() is False
    (tmp_path / "rules.new").rename(tmp_path / "rules.warm")
    assert watch._read_events() is True


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
    assert watch._read_events() is False


def test_folders_inside_folders_count_however_deep_but_hidden_ones_do_not(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / ".git").mkdir()
    watch = FolderWatch(tmp_path, Seen(), subfolders=True)
    (tmp_path / "a" / "b" / "x.yaml").write_text("x")
    assert watch._read_events() is True
    (tmp_path / "a" / ".git" / "x").write_text("x")
    assert watch._read_events() is False
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    assert watch._read_events() is True
    (tmp_path / "a" / "b" / "c" / "d" / "y").write_text("y")
    assert watch._read_events() is True


def test_the_writer_of_a_file_in_a_folder_inside_is_known(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    watch = FolderWatch(tmp_path, Seen(), subfolders=True)
    with (tmp_path / "a" / "x.yaml").open("w") as file:
        file.write("x")
        file.flush()
        watch._read_events()
        assert watch.writers.rest_in() is not None
    assert watch._read_events() is True
    assert watch.writers.closed("a/x.yaml", (tmp_path / "a" / "x.yaml").stat())


def test_no_more_folders_are_watched_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_refresh.files.watch.FOLDERS_WATCHED", 4)
    for name in "abc":
        (tmp_path / name).mkdir()
    watch = FolderWatch(tmp_path, Seen(), subfolders=True)
    assert len(watch._watched) == 4, "the folder, the one above, and two inside"


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
    assert watch._read_events() is True
    (tmp_path / "away" / "a").write_text("x")
    assert watch._read_events() is False
    root.mkdir()
    assert watch._read_events() is True
    (root / "a").write_text("x")
    assert watch._read_events() is True


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
    assert watch._read_events() is True


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
    assert watch._read_events() is False


def test_a_burst_without_end_is_reported_and_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen()
    watch = FolderWatch(tmp_path, seen)
    monkeypatch.setattr(watch, "_read_events", lambda: True)
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
    assert watch._read_events() is True


def test_what_is_done_before_run_is_not_missed(tmp_path: Path) -> None:
    seen = Seen()
    watch = FolderWatch(tmp_path, seen)
    (tmp_path / "a").write_text("x")
    thread = threading.Thread(target=watch.run)
    thread.start()
    seen.wait()
    watch.stop()
    thread.join(20)


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
    # Another test's thread may still close something.
    eventually(lambda: opened() <= before, "the end of what was opened")


def test_odd_names_are_watched(tmp_path: Path) -> None:
    name = os.fsdecode(b"b\xe4d\n.yaml")
    (tmp_path / os.fsdecode(b"f\xff")).mkdir()
    watch = FolderWatch(tmp_path, Seen(), subfolders=True)
    (tmp_path / name).write_text("x")
    assert watch._read_events() is True
    assert watch.writers.closed(name, (tmp_path / name).stat())
    (tmp_path / os.fsdecode(b"f\xff") / "x").write_text("x")
    assert watch._read_events() is True


@pytest.fixture
def public() -> Iterator[Path]:
    """A world-readable folder."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_f10_folders_that_may_not_be_entered_do_not_keep_their_siblings_from_being_watched(public: Path) -> None:
    names = [f"{number}" for number in range(6)]
    for name in names:
        (public / name).mkdir()
    for name in ("lost+found", *names[1::2]):
        (public / name).mkdir(exist_ok=True)
        (public / name).chmod(0)
    with as_nobody():
        watch = FolderWatch(public, Seen(), subfolders=True)
    for name in names[::2]:
        (public / name / "x").write_text("x")
        assert watch._read_events() is True, name
    (public / "lost+found" / "x").write_text("x")
    assert watch._read_events() is False
    (public / "lost+found").chmod(0o755)
    assert watch._read_events() is True
    (public / "lost+found" / "y").write_text("x")
    assert watch._read_events() is True, "it may be entered now"


class TestFilesWrittenInPlace:
    def test_a_file_counts_when_its_writer_closes_it(self, tmp_path: Path) -> None:
        watch = FolderWatch(tmp_path, Seen())
        with (tmp_path / "a").open("w") as file:
            watch._read_events()
            for _ in range(2):
                file.write("x")
                file.flush()
                assert watch._read_events() is False
                assert watch.writers.rest_in() is not None
        assert watch._read_events() is True
        assert watch.writers.rest_in() is None
        assert watch.writers.closed("a", (tmp_path / "a").stat())

    def test_one_that_is_never_closed_counts_once_it_has_rested(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("x")
        with watching(tmp_path) as seen, (tmp_path / "a").open("a") as file:
            file.write("y")
            file.flush()
            seen.wait()
            assert abs(time.time() - (tmp_path / "a").stat().st_mtime) >= SETTLED

    def test_one_that_is_opened_again_immediately_is_not_closed(self, tmp_path: Path) -> None:
        watch = FolderWatch(tmp_path, Seen())
        (tmp_path / "a").write_text("x")
        with (tmp_path / "a").open("w"):
            watch._read_events()
            assert not watch.writers.closed("a", (tmp_path / "a").stat())

    def test_one_that_is_renamed_into_place_is_whole(self, tmp_path: Path) -> None:
        watch = FolderWatch(tmp_path, Seen(), names={"a"})
        (tmp_path / "b").write_text("x")
        (tmp_path / "b").rename(tmp_path / "a")
        assert watch._read_events() is True
        assert watch.writers.closed("a", (tmp_path / "a").stat())

    def test_after_lost_events_nothing_is_known_to_be_closed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watch = FolderWatch(tmp_path, Seen())
        (tmp_path / "a").write_text("x")
        watch._read_events()
        event = type("Lost", (), {"wd": -1, "mask": flags.Q_OVERFLOW, "name": ""})()
        monkeypatch.setattr(INotify, "read", lambda *_args, **_options: [event])
        assert watch._read_events() is True
        assert not watch.writers.closed("a", (tmp_path / "a").stat())


@contextmanager
def linked(folder: Path) -> Iterator[Path]:
    """Another name of the file `a` of a folder."""
    outside = folder.with_name("outside")
    outside.mkdir()
    os.link(folder / "a", outside / "other")
    yield outside / "other"


@contextmanager
def symlinked(folder: Path) -> Iterator[Path]:
    """The file that `a` is a symlink to."""
    outside = folder.with_name("outside")
    outside.mkdir()
    (folder / "a").rename(outside / "other")
    (folder / "a").symlink_to(outside / "other")
    yield outside / "other"


@contextmanager
def bound(folder: Path) -> Iterator[Path]:
    """The file that is mounted over `a`, as `docker run -v FILE:FILE` and a pod's `subPath` do."""
    outside = folder.with_name("outside")
    outside.mkdir()
    (outside / "other").write_text("x")
    run = subprocess.run(["mount", "--bind", outside / "other", folder / "a"], capture_output=True, text=True)
    if run.returncode:
        pytest.skip(f"mount --bind is not permitted here: {run.stderr.strip()}")
    try:
        yield outside / "other"
    finally:
        subprocess.run(["umount", folder / "a"], check=True)


@pytest.mark.parametrize("options", [{}, {"names": ("a", "..data")}], ids=["all", "names"])
class TestFilesWithAnotherName:
    @pytest.mark.parametrize("elsewhere", [linked, symlinked, bound])
    def test_what_is_written_there_in_place_is_a_change(
        self, tmp_path: Path, elsewhere: Any, options: dict[str, Any]
    ) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "a").write_text("x")
        with elsewhere(folder) as other:
            watch = FolderWatch(folder, Seen(), **options)
            for text in ("one", "two"):
                other.write_text(text)
                assert watch._read_events() is True
                assert watch.writers.closed("a", (folder / "a").stat())
            with other.open("a") as file:
                file.write("half")
                file.flush()
                assert watch._read_events() is False
                assert watch.writers.rest_in() is not None

    @pytest.mark.parametrize("elsewhere", [linked, symlinked])
    def test_the_file_that_replaces_it_is_watched_in_its_place(
        self, tmp_path: Path, elsewhere: Any, options: dict[str, Any]
    ) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "a").write_text("x")
        with elsewhere(folder) as other:
            watch = FolderWatch(folder, Seen(), **options)
            (folder / ".new").write_text("new")
            os.link(folder / ".new", tmp_path / "name")
            (folder / ".new").rename(folder / "a")
            assert watch._read_events() is True
            other.write_text("old")
            assert watch._read_events() is False
            (tmp_path / "name").write_text("new again")
            assert watch._read_events() is True
            (folder / "a").unlink()
            assert watch._read_events() is True
            (tmp_path / "name").write_text("gone")
            assert watch._read_events() is False


def test_the_number_of_watched_files_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILES_WATCHED", 2)
    for name in "abcd":
        (tmp_path / name).write_text("x")
    watch = FolderWatch(tmp_path, Seen())
    assert len(watch._files) == 2
    (tmp_path / "e").write_text("x")
    assert watch._read_events() is True
    assert len(watch._files) == 2


def test_two_names_of_one_file_in_the_folder_are_fine(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    os.link(tmp_path / "a", tmp_path / "b")
    watch = FolderWatch(tmp_path, Seen())
    for name in ("a", "b"):
        (tmp_path / name).write_text("y")
        assert watch._read_events() is True
        (tmp_path / name).unlink()
        assert watch._read_events() is True
    assert watch._files == {}


def test_files_of_a_folder_that_was_replaced_are_not_watched_any_more(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("x")
    watch = FolderWatch(folder, Seen())
    folder.rename(tmp_path / "away")
    assert watch._read_events() is True
    (tmp_path / "away" / "a").write_text("y")
    assert watch._read_events() is False
    assert watch._files == {}


def test_a_symlink_to_a_folder_is_not_watched_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "real").mkdir()
    watch = FolderWatch(tmp_path / "folder", Seen())
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "real")
    assert watch._read_events() is True
    assert watch._files == {}


def test_a_file_that_is_written_elsewhere_and_then_gone_there_and_here_is_one_change(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("x")
    with linked(folder) as other:
        watch = FolderWatch(folder, Seen())
        other.write_text("y")
        other.unlink()
        (folder / "a").unlink()
        assert watch._read_events() is True
        assert watch._files == {}


def test_a_removed_file_does_not_cause_a_rescan_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("x")
    watch = FolderWatch(tmp_path, Seen(), subfolders=True)
    monkeypatch.setattr(watch, "_arm", None)
    (tmp_path / "a").unlink()
    assert watch._read_events() is True


def test_a_file_that_is_replaced_is_watched_itself_also_when_no_more_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILES_WATCHED", 1)
    (tmp_path / "a").write_text("x")
    watch = FolderWatch(tmp_path, Seen())
    (tmp_path / ".new").write_text("y")
    (tmp_path / ".new").rename(tmp_path / "a")
    assert watch._read_events() is True
    assert list(watch._files.values()) == ["a"]
