"""The file as far as it is ours: changes by others, and what a killed process left before it was loaded."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from alert_refresh.alertmanager.delivery.written import Written
from alert_refresh.alertmanager.file import ConfigFile
from alert_refresh.engine import Permanent, Transient
from tests.alertmanager.examples import rule, target
from tests.alertmanager.server import Alertmanager, Between, closed_port
from tests.alertmanager.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> ConfigFile:
    (tmp_path / "alertmanager.yml").write_bytes(b"good")
    return ConfigFile(tmp_path / "alertmanager.yml")


def mark(file: ConfigFile) -> Path:
    return file.real.with_name(".alertmanager.yml.trial")


def test_what_a_killed_process_left_before_it_was_loaded_gives_way_to_the_one_before(file: ConfigFile) -> None:
    Written(file).write(b"trial", b"good")
    assert Written(file).without_trial(b"trial") == b"good"
    assert file.read() == b"good" and not mark(file).exists()


def test_what_was_loaded_stays(file: ConfigFile) -> None:
    written = Written(file)
    written.write(b"new", b"good")
    written.loaded()
    assert Written(file).without_trial(b"new") == b"new" and file.read() == b"new"


def test_what_is_on_trial_is_known_by_the_mark(file: ConfigFile) -> None:
    written = Written(file)
    assert not written.on_trial(b"good") and not written.on_trial(None)
    written.write(b"trial", b"good")
    assert written.on_trial(b"trial") and not written.on_trial(b"good") and not written.on_trial(None)
    written.loaded()
    assert not written.on_trial(b"trial")


@pytest.mark.parametrize("lost", [".alertmanager.yml.trial", "alertmanager.yml.previous"])
def test_a_mark_that_does_not_fit_means_nothing(file: ConfigFile, lost: str) -> None:
    Written(file).write(b"trial", b"good")
    path = file.real.with_name(lost)
    path.write_bytes(b"\xffother")
    assert Written(file).without_trial(b"trial") == b"trial" and file.read() == b"trial"
    path.unlink()
    assert Written(file).without_trial(b"trial") == b"trial"
    assert Written(file).without_trial(b"by hand") == b"by hand"


def test_the_mark_has_digests_alone_and_is_for_its_owner(file: ConfigFile) -> None:
    Written(file).write(b"trial", b"good")
    assert stat.S_IMODE(mark(file).stat().st_mode) == 0o600
    assert len(mark(file).read_text()) == 64 + 1 + 64


def test_a_mark_is_never_written_through_a_link(file: ConfigFile) -> None:
    other = file.real.with_name("other")
    other.write_text("precious")
    mark(file).symlink_to(other)
    Written(file).write(b"trial", b"good")
    assert other.read_text() == "precious" and not mark(file).is_symlink()


def test_a_file_that_cannot_be_written_leaves_no_mark_and_is_no_change_by_others(
    file: ConfigFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(file)
    written.write(b"first", b"good")
    written.loaded()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Transient):
        written.write(b"second", b"first")
    assert not mark(file).exists() and not written.changed_by_others()


def test_a_folder_without_room_for_the_mark_does_not_keep_the_file_from_being_written(
    file: ConfigFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark(file).mkdir()
    Written(file).write(b"trial", b"good")
    assert file.read() == b"trial"


def test_drift_counts_what_is_written_over_a_change_by_others(file: ConfigFile) -> None:
    written = Written(file)
    written.write(b"first", None)
    assert written.drift == 0 and not written.changed_by_others(), "what was there before is nobody's change"
    file.real.write_bytes(b"by hand")
    assert written.changed_by_others() and written.drift == 0
    written.write(b"second", None)
    assert written.drift == 1
    written.put_back(None)
    assert file.read() is None and not written.changed_by_others()


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    with Alertmanager(tmp_path) as one:
        yield one


class Killed(BaseException):
    """The process is killed."""


def test_s5_after_a_kill_in_a_trial_alertmanager_starts_with_the_good_file_although_there_is_no_tool(
    alertmanager: Alertmanager,
) -> None:
    bad = rule("bad", r'x=~"\p{Kawi}"', targets=["team-a"])
    good = rule("good", 'team="ops"', targets=["team-a"])
    with Between(alertmanager) as between:
        killed = World(alertmanager.folder, between.url, targets=(target("team-a"),), rules=(good,), tool=False)
        killed.good()
        ours = killed.file.read_bytes()
        killed.rules.serve(good, bad)

        def kill(*_: object) -> None:
            raise Killed

        killed.source.instances.reload = kill  # type: ignore[method-assign,assignment]
        with pytest.raises(Killed):
            killed.refresh()
        assert b"Kawi" in killed.file.read_bytes()
        alertmanager.stop()
        away = World(alertmanager.folder, between.url, targets=(target("team-a"),), rules=(good, bad), tool=False)
        away.refresh()
        assert away.error is not None and away.file.read_bytes() == ours
        alertmanager.start()
        known = away.good()
        assert list(known.undeliverable_rules) == ["bad"] and away.in_sync == [True]


def test_s5_what_was_verified_stays_though_no_alertmanager_answers_at_the_next_start(
    alertmanager: Alertmanager,
) -> None:
    world = World(alertmanager.folder, alertmanager.url, targets=(target("team-a"),), rules=(), tool=False)
    world.good()
    ours = world.file.read_bytes()
    url = f"http://127.0.0.1:{closed_port()}"
    next_one = World(alertmanager.folder, url, targets=(target("team-b"),), rules=(), tool=False)
    next_one.refresh()
    assert not isinstance(next_one.error, Permanent) and next_one.file.read_bytes() == ours
