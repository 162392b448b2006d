"""What a refresh does with a real Alertmanager: written, loaded, verified, and nothing when nothing changed."""

from __future__ import annotations

import os
import socket
import stat
import threading
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from alert_refresh.alertmanager import KIND
from alert_refresh.alertmanager.inputs import Mode
from alert_refresh.engine import Deadline, Fault, Permanent, SystemClock, Transient, Trigger
from alert_refresh.engine import Request as ManualRequest
from alert_refresh.engine.snapshot import difference
from alert_refresh.files.at_rest import SETTLED, signature
from alert_refresh.files.write import temporary_for
from alert_refresh.kind import load
from tests.alertmanager.examples import PLAIN, URL, rule, target
from tests.alertmanager.server import CONFIG, Alertmanager, Between, closed_port
from tests.alertmanager.world import Leaping, Watched, World
from tests.process.program import PATIENCE
from tests.stage import eventually

if TYPE_CHECKING:
    from pathlib import Path

TEAM_A = rule("a", targets=["team-a"])


@pytest.fixture
def world(between: Between) -> World:
    return World(between.alertmanager.folder, between.url, targets=(target("team-a"),), rules=(TEAM_A,))


def test_s1_what_is_served_becomes_what_alertmanager_runs(world: World, between: Between) -> None:
    known = world.good()
    assert "alert-refresh/team-a" in between.alertmanager.receivers()
    assert world.in_sync == [True]
    assert (known.receivers, known.routes, known.instances[0].version) == (1, 1, "0.25.0")
    assert known.state(world.targets.status.snapshot.items["team-a"]) == "ok"  # type: ignore[union-attr]
    assert world.snapshot is not None and list(world.snapshot.items) == ["team-a"]
    assert between.count("POST", "/-/reload") == 1


def test_what_a_refresh_changed_is_told_by_target_and_field(world: World) -> None:
    fields = load(KIND.fields)
    world.good()
    first = world.snapshot
    changed = target("team-a", url="https://new.example.com/", severity=["page"])
    world.targets.serve(changed.stale(1.0, (Fault("url", "is missing"),)), target("team-b"))
    world.good()
    assert first is not None and world.snapshot is not None
    found = difference(first, world.snapshot)
    assert (found.added, found.removed, found.changed) == (("team-b",), (), ("team-a",))
    old, new = fields(first.items["team-a"]), fields(world.snapshot.items["team-a"])
    assert [name for name in new if old[name] != new[name]] == ["url", "filter_config"]
    before = world.snapshot
    world.targets.serve(changed, target("team-b"))
    world.good()
    assert difference(before, world.snapshot).changed == (), "that it is not stale any more changes no delivery"


def test_nothing_changed_writes_nothing_and_reloads_nothing(world: World, between: Between) -> None:
    first = world.good()
    before, digest = signature(world.file.stat()), world.snapshot and world.snapshot.digest
    assert world.good() == first
    world.restart()
    world.good()
    assert signature(world.file.stat()) == before
    assert world.snapshot is not None and world.snapshot.digest == digest
    assert between.count("POST", "/-/reload") == 1


def test_the_mode_of_the_file_stays_and_the_one_before_is_kept_with_it(world: World) -> None:
    world.file.chmod(0o640)
    world.good()
    previous = world.file.with_name("alertmanager.yml.previous")
    assert previous.read_text() == CONFIG
    assert [stat.S_IMODE(one.stat().st_mode) for one in (world.file, previous)] == [0o640, 0o640]


def test_a_file_that_was_not_there_is_for_its_owner_alone(world: World) -> None:
    world.file.unlink()
    world.good()
    assert stat.S_IMODE(world.file.stat().st_mode) == 0o600


def test_s1_nothing_is_rendered_until_everything_is_loaded(world: World, between: Between) -> None:
    loaded = world.rules.status
    world.rules.status = type(loaded)()
    known = world.good()
    assert known.waits_for is not None and world.file.read_text() == CONFIG and between.asked == []
    world.rules.status = loaded
    assert world.good().waits_for is None and world.in_sync == [True]


def test_s1_what_was_restored_replaces_a_file_only_once_it_is_confirmed(world: World, between: Between) -> None:
    world.targets.serve(target("team-a"), restored=True)
    known = world.good()
    assert world.file.read_text() == CONFIG and between.count("POST", "/-/reload") == 0
    assert known.waits_for is not None and known.state(target("team-a")) == "pending"
    world.targets.serve(target("team-a"))
    assert world.good().waits_for is None and world.in_sync == [True]
    assert "alert-refresh/team-a" in world.file.read_text()


def test_s1_what_was_restored_makes_a_file_where_none_is(world: World) -> None:
    world.file.unlink()
    world.targets.serve(target("team-a"), restored=True)
    world.good()
    assert "alert-refresh/team-a" in world.file.read_text()


def test_s6_alertmanager_is_away_and_caught_up_when_it_is_back(world: World, between: Between) -> None:
    world.good()
    alertmanager = between.alertmanager
    alertmanager.stop()
    world.targets.serve(target("team-a"), target("team-b"))
    world.refresh()
    assert isinstance(world.error, Transient) and world.error.error_type == "network"
    assert world.in_sync == [False] and world.known.state(target("team-b")) == "pending"
    assert "alert-refresh/team-b" in world.file.read_text(), "amtool has checked it"
    alertmanager.start()
    world.good()
    assert world.in_sync == [True] and "alert-refresh/team-b" in alertmanager.receivers()
    assert between.count("POST", "/-/reload") == 1, "it loaded the file when it started"


def test_s5_while_none_answers_and_amtool_is_missing_an_existing_file_stays(tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text(CONFIG)
    url = f"http://127.0.0.1:{closed_port()}"
    world = World(tmp_path, url, targets=(target("team-a"),), rules=(TEAM_A,), tool=False)
    world.refresh()
    assert isinstance(world.error, Transient) and world.file.read_text() == CONFIG
    world.file.unlink()
    world.refresh()
    assert isinstance(world.error, Transient) and "alert-refresh/team-a" in world.file.read_text()


@pytest.mark.parametrize("tool", [True, False])
def test_without_a_url_the_file_is_written_and_that_is_all(tmp_path: Path, tool: bool) -> None:
    world = World(tmp_path, targets=(target("team-a"),), rules=(TEAM_A,), tool=tool)
    known = world.good()
    assert "alert-refresh/team-a" in world.file.read_text()
    assert known.instances == () and known.state(target("team-a")) == "ok"


@pytest.mark.parametrize(
    ("path", "answer", "error_type", "transient"),
    [
        ("*", (500, b"no"), "api", True),
        ("*", (503, b"no"), "api", True),
        ("*", (401, b"no"), "auth", False),
        ("*", (404, b"no"), "config", False),
        ("*", (200, b"<html>"), "config", False),
        ("/-/reload", (500, b"no"), "api", True),
        ("/-/reload", (401, b"no"), "auth", False),
        ("/-/reload", (404, b"no"), "config", False),
        ("/-/reload", (200, b""), "config", False),
    ],
)
def test_s6_what_it_answers_is_told_and_caught_up_in_the_next_refresh(
    world: World, between: Between, path: str, answer: tuple[int, bytes], error_type: str, transient: bool
) -> None:
    between.answers[path] = answer
    world.refresh()
    assert world.error is not None and world.error.error_type == error_type
    assert isinstance(world.error, Transient if transient else Permanent)
    assert world.in_sync == [False]
    assert world.known.state(target("team-a")) == "pending"
    between.answers.clear()
    world.good()
    assert world.in_sync == [True] and "alert-refresh/team-a" in between.alertmanager.receivers()


def test_s6_a_slow_reload_is_a_timeout_and_is_not_made_again_once_it_was_done(world: World, between: Between) -> None:
    between.delay = 30.0
    world.refresh(timeout=5)
    assert isinstance(world.error, Transient) and world.error.error_type == "timeout"
    between.let_go.set()
    eventually(lambda: "alert-refresh/team-a" in between.alertmanager.receivers(), "the slow reload")
    world.good()
    assert world.in_sync == [True] and between.count("POST", "/-/reload") == 1


def test_s6_a_restarted_alertmanager_that_loaded_something_else_loads_the_file_again(
    world: World, between: Between
) -> None:
    world.good()
    ours = world.file.read_bytes()
    between.alertmanager.stop()
    world.file.write_text(CONFIG)
    between.alertmanager.start()
    world.file.write_bytes(ours)
    world.good()
    assert world.in_sync == [True] and between.count("POST", "/-/reload") == 2


def test_s6_without_metrics_an_edit_beside_the_marker_that_alertmanager_loaded_is_loaded_over(
    world: World, between: Between
) -> None:
    between.answers["/metrics"] = (404, b"")
    world.good()
    ours = between.alertmanager.metric("alertmanager_config_hash")
    world.file.write_bytes(world.file.read_bytes().replace(URL.encode(), b"http://127.0.0.1:9/elsewhere"))
    urlopen(Request(f"{between.alertmanager.url}/-/reload", method="POST"), timeout=PATIENCE).close()
    assert between.alertmanager.metric("alertmanager_config_hash") != ours
    world.good()
    assert between.alertmanager.metric("alertmanager_config_hash") == ours and world.in_sync == [True]
    told = between.count("POST", "/-/reload")
    world.good()
    assert between.count("POST", "/-/reload") == told


def test_s6_a_file_changed_by_hand_is_written_again_and_counted(world: World, between: Between) -> None:
    world.good()
    ours = world.file.read_bytes()
    world.file.write_text(CONFIG)
    world.good()
    assert world.file.read_bytes() == ours and world.source.delivery.written.drift == 1
    assert world.file.with_name("alertmanager.yml.previous").read_text() == CONFIG
    assert between.count("POST", "/-/reload") == 1, "Alertmanager had not loaded the change"


def test_s6_a_change_by_hand_is_counted_once_it_is_written_again(world: World, between: Between) -> None:
    world.source.amtool.path = None
    world.good()
    between.answers["*"] = (503, b"")
    world.file.write_text(CONFIG)
    for _ in range(3):
        world.refresh()
        assert world.file.read_text() == CONFIG, "nothing can check ours"
    assert world.source.delivery.written.drift == 0
    between.answers.clear()
    world.good()
    assert world.source.delivery.written.drift == 1 and world.file.read_text() != CONFIG
    world.good()
    assert world.source.delivery.written.drift == 1


def test_a_template_that_is_broken_or_missing_leaves_everything_as_it_is(world: World, between: Between) -> None:
    world.good()
    ours = world.file.read_bytes()
    for broken in ("route: [", "receivers: []\n", None):
        if broken is None:
            world.template.unlink()
        else:
            world.template.write_text(broken)
        world.refresh()
        assert world.error is not None and world.error.error_type in ("validate", "storage")
        assert world.file.read_bytes() == ours and world.in_sync == [True]
    world.template.write_text(PLAIN + "templates: ['/nowhere/*.tmpl']\n")
    world.good()
    assert between.count("POST", "/-/reload") == 2


def test_a_template_that_only_alertmanager_refuses_is_named_and_the_file_before_comes_back(
    world: World, between: Between
) -> None:
    world.good()
    ours = world.file.read_bytes()
    world.template.write_text(PLAIN + "global: {smtp_smarthost: nonsense}\n")
    world.refresh()
    assert isinstance(world.error, Permanent) and "template" in str(world.error)
    assert world.file.read_bytes() == ours
    assert between.alertmanager.metric("alertmanager_config_last_reload_successful") == "1"
    assert world.known.undeliverable == {}


def test_a_folder_that_may_not_be_written_is_a_storage_error_and_the_file_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("alert_refresh.files.write.write_new", refuse)
    world.refresh()
    assert isinstance(world.error, Permanent) and world.error.error_type == "storage"
    assert world.file.read_text() == CONFIG and world.in_sync == [False]
    monkeypatch.undo()
    world.good()


def test_a_full_disk_leaves_the_file_and_is_caught_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    world.good()
    ours = world.file.read_bytes()
    monkeypatch.setattr(os, "write", refuse)
    world.targets.serve(target("team-a"), target("team-b"))
    world.refresh()
    assert isinstance(world.error, Transient) and world.error.error_type == "storage"
    assert world.file.read_bytes() == ours
    assert [one.name for one in world.folder.iterdir() if one.name.startswith(".")] == []
    monkeypatch.undo()
    world.good()
    assert world.in_sync == [True]


def test_s6_of_several_alertmanagers_each_has_its_own_state(world: World, between: Between, tmp_path: Path) -> None:
    away = f"http://127.0.0.1:{closed_port()}"
    several = World(world.folder, between.url, away, targets=(target("team-a"),), rules=(TEAM_A,))
    several.refresh()
    assert isinstance(several.error, Transient)
    assert several.in_sync == [True, False]
    assert [one.error is None for one in several.known.instances] == [True, False]
    assert several.known.state(target("team-a")) == "pending"


def test_s6_one_that_never_answers_does_not_keep_the_others_from_being_delivered(
    world: World, between: Between
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        several = World(world.folder, between.url, url, targets=(target("team-a"),), rules=(TEAM_A,))
        several.refresh(timeout=9.0)
    assert isinstance(several.error, Transient) and several.error.error_type == "timeout"
    assert several.in_sync == [True, False]
    assert "alert-refresh/team-a" in between.alertmanager.receivers()


class Ended(Between):
    """An Alertmanager whose process ends in a reload of what has this target."""

    ends_it = b"alert-refresh/team-b"

    def handle_one(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        if method == "POST" and self.ends_it in self.alertmanager.file.read_bytes():
            self.answers["*"] = (503, b"")
        return super().handle_one(method, path, body, headers)


def test_a_configuration_in_whose_reload_alertmanager_ended_gives_way_to_the_one_before_so_that_it_starts_again(
    alertmanager: Alertmanager,
) -> None:
    alertmanager.reset()
    with Ended(alertmanager) as between:
        world = World(alertmanager.folder, between.url, targets=(target("team-a"),), tool=False, routes=Mode.NONE)
        world.good()
        ours = world.file.read_bytes()
        world.targets.serve(target("team-a"), target("team-b"))
        world.refresh()
        assert isinstance(world.error, Transient) and Ended.ends_it in world.file.read_bytes()
        world.refresh()
        assert isinstance(world.error, Transient) and world.file.read_bytes() == ours
        world.refresh()
        assert world.file.read_bytes() == ours, "it stays until an Alertmanager answers"
        between.answers.clear()
        between.ends_it = b"nothing"
        world.good()
        assert world.in_sync == [True] and Ended.ends_it in world.file.read_bytes()


def test_an_alertmanager_that_went_away_in_a_reload_and_runs_the_file_again_is_told_nothing(
    alertmanager: Alertmanager,
) -> None:
    alertmanager.reset()
    with Ended(alertmanager) as between:
        world = World(alertmanager.folder, between.url, targets=(target("team-a"),), tool=False, routes=Mode.NONE)
        world.good()
        world.targets.serve(target("team-a"), target("team-b"))
        world.refresh()
        urlopen(Request(f"{alertmanager.url}/-/reload", method="POST"), timeout=PATIENCE).close()
        between.answers.clear()
        told = between.count("POST", "/-/reload")
        world.good()
        assert world.in_sync == [True] and between.count("POST", "/-/reload") == told


def test_a_refused_file_that_a_killed_process_left_is_mended_though_no_alertmanager_starts_with_it(
    tmp_path: Path,
) -> None:
    bad = rule("bad", r'x=~"\\p{Kawi}"', targets=["team-a"])
    rules = (rule("good", 'team="ops"', targets=["team-a"]), bad)
    url = f"http://127.0.0.1:{closed_port()}"
    killed = World(tmp_path, targets=(target("team-a"),), rules=rules, tool=False)
    killed.good()
    assert "Kawi" in killed.file.read_text()
    world = World(tmp_path, url, targets=(target("team-a"),), rules=rules)
    world.refresh()
    assert isinstance(world.error, Transient) and world.error.error_type == "network"
    assert "Kawi" not in world.file.read_text()
    assert "alert-refresh/team-a" in world.file.read_text()
    assert list(world.known.undeliverable_rules) == ["bad"]


def test_s6_a_change_by_hand_is_seen_also_if_the_file_was_right_at_the_start(world: World) -> None:
    world.good()
    world.restart()
    world.good()
    assert not world.source.delivery.written.changed_by_others()
    world.file.write_text(CONFIG)
    assert world.source.delivery.written.changed_by_others()
    world.good()
    assert world.source.delivery.written.drift == 1


def test_filters_need_no_rules(between: Between) -> None:
    one = target("team-a", severity=["critical"])
    world = World(between.alertmanager.folder, between.url, targets=(one,), routes=Mode.FILTERS)
    world.good()
    assert "severity" in world.file.read_text()


def test_at_most_one_reload_in_the_interval_and_then_with_what_is_served_by_then(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, clock = between.alertmanager.folder, Leaping(monkeypatch)
    world = World(folder, between.url, targets=(target("team-a"),), rules=(TEAM_A,), interval=600, clock=clock)
    world.good()
    began = clock.monotonic()
    world.targets.serve(target("team-a"), target("team-b"))
    world.refresh(1000)
    assert world.error is None and clock.monotonic() - began > 500
    assert "alert-refresh/team-b" in world.file.read_text() and between.count("POST", "/-/reload") == 2


def test_s1_our_own_write_triggers_nothing_and_that_of_others_does(world: World) -> None:
    with Watched(world.source) as watched:
        world.good()
        world.targets.serve(target("team-a"), target("team-b"))
        world.good()
        assert not watched.news.wait(0.3) and watched.triggers == []
        world.file.write_text(CONFIG)
        assert watched.news.wait(PATIENCE) and watched.triggers[0] is Trigger.FILE
        watched.news.clear()
        world.good()
        world.template.write_text(PLAIN + "# other\n")
        assert watched.news.wait(PATIENCE)


def test_leftovers_of_a_killed_process_are_removed_at_the_start(world: World) -> None:
    ours = [temporary_for(world.folder / f"alertmanager.yml{end}").name for end in ("", ".previous")]
    others = [".alertmanager.yml.swp", ".alertmanager.yml.20251126", ours[0].removeprefix(".")]
    for name in (*ours, *others):
        (world.folder / name).write_text("x")
    with Watched(world.source):
        left = {one.name for one in world.folder.iterdir()}
    assert left.isdisjoint(ours) and left.issuperset(others)
    for name in others:
        (world.folder / name).unlink()


def test_the_token_is_sent_and_read_anew_each_time(between: Between, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    world = World(between.alertmanager.folder, between.url, targets=(), token_file=token)
    world.good()
    token.write_text("second\n")
    world.good()
    assert set(between.tokens) == {"Bearer first", "Bearer second"}
    token.write_text(" \n")
    world.refresh()
    assert world.error is not None and world.error.error_type == "auth"


def test_the_propagation_is_measured_from_what_was_seen_until_it_is_verified(world: World, between: Between) -> None:
    world.source.upstream.give_back(world.clock.monotonic() - 5)
    between.answers["*"] = (503, b"")
    world.refresh()
    assert world.snapshot is not None and "propagation_seconds" not in world.snapshot.stats
    between.answers.clear()
    world.good()
    assert 5 <= world.snapshot.stats["propagation_seconds"] < 60
    world.good()
    assert "propagation_seconds" not in world.snapshot.stats


class SinceWritten(SystemClock):
    """A clock on which a file was written so many seconds ago, however slow the machine is."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.seconds = 0.0

    def time(self) -> float:
        return self._file.stat().st_mtime + self.seconds


def test_a_template_that_is_being_written_in_place_is_read_once_it_rests(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SinceWritten(between.alertmanager.folder / "template.yml")
    world = World(between.alertmanager.folder, between.url, targets=(target("team-a"),), rules=(TEAM_A,), clock=clock)
    half = "route: {receiver: default}\nreceivers: [{name: default}]\n"
    rest = "inhibit_rules: [{source_matchers: [a=b], target_matchers: [a=c]}]\n"
    waits: list[float] = []
    with world.template.open("w") as file:
        file.write(half)
        file.flush()

        def go_on(_: Deadline, seconds: float) -> None:
            if seconds:  # no wait for the interval between reloads
                waits.append(seconds)
                file.write(rest)
                file.flush()
                clock.seconds = seconds

        monkeypatch.setattr(Deadline, "wait", go_on)
        world.good()
    assert "inhibit_rules" in world.file.read_text() and waits == [SETTLED]


def test_while_a_template_is_being_written_targets_are_delivered_with_the_one_before(world: World) -> None:
    world.good()
    begun, done = threading.Event(), threading.Event()

    def write() -> None:
        with world.template.open("a") as file:
            while not done.wait(0.02):
                file.write("# and more\n")
                file.flush()
                begun.set()
            file.write("inhibit_rules: [{source_matchers: [a=b], target_matchers: [a=c]}]\n")

    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(PATIENCE)
    world.targets.serve(target("team-a"), target("team-b"))
    try:
        world.good()
    finally:
        done.set()
        thread.join(PATIENCE)
    assert "team-b" in world.file.read_text() and "inhibit_rules" not in world.file.read_text()
    world.good()
    assert "inhibit_rules" in world.file.read_text()


def test_a_link_that_leads_elsewhere_is_followed_at_each_write_and_seen(tmp_path: Path) -> None:
    world = World(tmp_path, targets=(target("team-a"),), rules=(TEAM_A,))
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    (tmp_path / "one/a.yml").write_text(CONFIG)
    current = tmp_path / "current"
    current.symlink_to("one")
    world.file.symlink_to("current/a.yml")
    world.restart()
    with Watched(world.source) as watched:
        assert [one.name for one in watched.watches] == ["publications", "template", "file", "linked-file"]
        world.good()
        text = world.file.read_bytes()
        assert b"team-a" in text and (tmp_path / "one/a.yml").read_bytes() == text
        (tmp_path / "other").symlink_to("two/b.yml")
        (tmp_path / "other").replace(world.file)
        eventually(watched.news.is_set)
        world.good()
        assert (tmp_path / "two/b.yml").read_bytes() == text and world.file.is_symlink()
    assert world.source.amtool.refuses(b"nonsense", Deadline(world.clock, 60))
    assert {one.name for one in (tmp_path / "two").iterdir()} == {"b.yml"}
    assert {one.name for one in (tmp_path / "one").iterdir()} == {"a.yml", "a.yml.previous"}


def test_a_folder_on_the_way_that_leads_elsewhere_is_followed_and_seen(tmp_path: Path) -> None:
    world = World(tmp_path, targets=(target("team-a"),), rules=(TEAM_A,))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "current").symlink_to("one")
    world.configure(file=tmp_path / "current/a.yml")
    with Watched(world.source) as watched:
        world.good()
        (tmp_path / "other").symlink_to("two")
        (tmp_path / "other").replace(tmp_path / "current")
        eventually(watched.news.is_set)
        world.good()
    assert (tmp_path / "two/a.yml").read_bytes() == (tmp_path / "one/a.yml").read_bytes()


def test_a_link_that_leads_to_the_template_or_to_itself_overwrites_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, targets=(target("team-a"),), rules=(TEAM_A,))
    world.file.symlink_to("template.yml")
    world.refresh()
    assert isinstance(world.error, Permanent) and "leads to the template" in str(world.error)
    world.file.unlink()
    world.file.symlink_to("alertmanager.yml")
    world.refresh()
    assert isinstance(world.error, Permanent) and world.error.error_type == "storage"
    assert world.template.read_text() == PLAIN


def test_an_alertmanager_that_runs_the_file_is_in_sync_while_nothing_is_confirmed(world: World) -> None:
    world.targets.serve(target("team-a"), restored=True)
    world.good()
    assert world.in_sync == [True]


def test_a_folder_that_cannot_be_watched_is_a_warning_and_the_others_are(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("alert_refresh.alertmanager.source.FolderWatch", refuse)
    with Watched(world.source) as watched:
        assert [watch.name for watch in watched.watches] == ["publications"]
    assert "is not watched: Too many open files" in caplog.text


def test_warnings_of_the_template_are_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    text = "route: {receiver: default, routes: [{receiver: alert-refresh/nobody}]}\nreceivers: [{name: default}]\n"
    world.template.write_text(text)
    for _ in range(3):
        world.good()
    assert len([one for one in caplog.records if "nobody" in one.getMessage()]) == 1
    assert any("nobody" in one for one in world.known.warnings)


def test_a_template_that_goes_away_while_it_is_read_is_a_storage_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alert_refresh.alertmanager.source.read_file", lambda *_: PLAIN.encode())
    world.template.unlink()
    world.refresh()
    assert world.error is not None and world.error.error_type == "storage"


def test_a_file_that_cannot_be_read_any_more_counts_as_changed(world: World) -> None:
    assert not world.source.delivery.written.changed_by_others(), "nothing was written"
    world.good()
    assert not world.source.delivery.written.changed_by_others()
    world.file.unlink()
    world.file.mkdir()
    assert world.source.delivery.written.changed_by_others()
    world.file.rmdir()


def test_an_alertmanager_that_refused_what_somebody_else_wrote_loads_ours_again(world: World, between: Between) -> None:
    world.good()
    world.file.write_text("nonsense")
    with pytest.raises(HTTPError):
        urlopen(Request(f"{between.alertmanager.url}/-/reload", method="POST"))
    assert between.alertmanager.metric("alertmanager_config_last_reload_successful") == "0"
    world.good()
    assert between.alertmanager.metric("alertmanager_config_last_reload_successful") == "1"
    assert world.in_sync == [True]


def test_a_rendering_that_takes_too_long_ends_with_the_attempt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.good()
    before = world.file.read_bytes()
    deadline = Deadline(world.clock, 20)

    def slow(*_: object) -> str:
        deadline.at = world.clock.monotonic()
        return "- name: x\n"

    monkeypatch.setattr("alert_refresh.alertmanager.render.receiver", slow)
    world.targets.serve(target("team-a"), target("team-b"))
    with pytest.raises(Transient, match="did not end within"):
        world.source.refresh(world.snapshot, ManualRequest(Trigger.MANUAL), deadline)
    assert world.file.read_bytes() == before
