from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alert_refresh import rules
from alert_refresh.engine import Adaptive, ConfigErrors, Never, Result, SystemClock, Trigger
from alert_refresh.env import Env
from alert_refresh.files import watch
from alert_refresh.files.at_rest import SETTLED
from alert_refresh.rules import source
from alert_refresh.rules.forms import text_file, warm_file
from alert_refresh.rules.forms.rules_file import is_self_delimiting
from alert_refresh.rules.rule import check
from tests.rules.examples import packed, rule, rule_set
from tests.rules.examples import rules as some
from tests.rules.world import World
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def settings(environ: Mapping[str, str]) -> rules.Settings:
    env = Env(environ)
    found = rules.read(env)
    env.finish((rules.KIND.prefix,))
    return found


def test_without_a_file_rules_are_off() -> None:
    found = settings({})
    assert found.file is None and rules.build(found, SystemClock(), {}) is None


def test_the_defaults_are_the_documented_ones() -> None:
    found = settings({"RULES_FILE": "/x"})
    refresh = found.refresh
    assert (refresh.interval, refresh.rate_limit, refresh.timeout, refresh.warmup) == (21600, 1, 30, 30)
    assert (refresh.max_retries, refresh.base_backoff, refresh.max_backoff) == (5, 30, 300)
    assert refresh.schedule is None and found.capacity == 10_000 and found.state_directory is None


def test_the_schedule_can_be_switched_off() -> None:
    assert settings({"RULES_REFRESH_ENABLED": "false"}).refresh.schedule == Never()


def test_the_interval_can_adapt_between_bounds() -> None:
    found = settings({"RULES_REFRESH_ADAPTIVE": "true"})
    assert found.refresh.schedule == Adaptive(60, 86400, 21600, 30) and found.refresh.interval == 86400
    found = settings({"RULES_REFRESH_ADAPTIVE": "true", "RULES_REFRESH_ADAPTIVE_MAX": "1h"})
    assert found.refresh.schedule == Adaptive(60, 3600, 3600, 30) and found.interval == 3600


def test_an_adaptive_interval_and_a_schedule_are_a_fault() -> None:
    with pytest.raises(ConfigErrors) as raised:
        settings({"RULES_REFRESH_ADAPTIVE": "true", "RULES_REFRESH_SCHEDULE": "@hourly"})
    assert [(fault.field, fault.reason) for fault in raised.value.faults] == [
        ("RULES_REFRESH_SCHEDULE", "RULES_REFRESH_ADAPTIVE is true, and adapts an interval; set one of them")
    ]


def test_bounds_the_wrong_way_round_are_a_fault() -> None:
    with pytest.raises(ConfigErrors) as raised:
        settings({"RULES_REFRESH_ADAPTIVE_MIN": "2h", "RULES_REFRESH_ADAPTIVE_MAX": "1h"})
    assert [fault.field for fault in raised.value.faults] == ["RULES_REFRESH_ADAPTIVE_MIN"]


def test_the_state_directory_is_by_default_the_one_of_systemd() -> None:
    assert settings({"STATE_DIRECTORY": "/a:/b"}).state_directory == Path("/a")
    assert settings({"STATE_DIRECTORY": "/a", "ALERT_REFRESH_STATE_DIR": "/c"}).state_directory == Path("/c")


def test_a_file_is_loaded_at_the_start(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        assert [one.trigger for one in world.outcomes] == [Trigger.STARTUP]
        assert world.loaded.all() == tuple(some(10))


@pytest.mark.parametrize("write", [text_file.to_yaml, text_file.to_json_lines])
def test_text_and_warm_file_of_the_same_rules_are_the_same_generation(
    tmp_path: Path, write: Callable[..., str]
) -> None:
    with World(tmp_path).start() as world:
        before = world.generation
        outcome = world.put(write(some(10)).encode())
        assert outcome.error is None and not outcome.changed and world.generation == before


def test_a_renamed_file_is_loaded_immediately(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        outcome = world.put(packed(10, word="two"))
        assert (outcome.trigger, outcome.changed, world.word) == (Trigger.FILE, True, "two")


def test_a_swapped_volume_is_loaded_immediately(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    for version in ("one", "two"):
        (volume / f"..{version}").mkdir(parents=True)
        (volume / f"..{version}" / "rules.warm").write_bytes(packed(3, word=version))
    (volume / "..data").symlink_to("..one")
    (volume / "rules.warm").symlink_to("..data/rules.warm")
    with World(volume, None).start() as world:
        assert world.word == "one"
        (volume / "..data_tmp").symlink_to("..two")
        (volume / "..data_tmp").rename(volume / "..data")
        world.attempt_ends()
        assert world.word == "two"


def test_other_files_in_the_folder_cause_nothing(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        (tmp_path / "other").write_text("x")
        world.put(packed(1))
        assert [one.trigger for one in world.outcomes] == [Trigger.STARTUP, Trigger.FILE]


def test_the_same_content_keeps_the_generation_and_costs_no_parsing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with World(tmp_path).start() as world:
        before = world.loaded
        monkeypatch.setattr(warm_file, "unpack", None)
        outcome = world.put(packed(10))
        assert outcome.error is None and not outcome.changed and world.loaded is before


def test_the_same_file_restored_after_an_invalid_one_is_a_success(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        assert world.put(b"bad: yaml").error is not None
        assert world.word == "one" and world.status.consecutive_failures == 1
        outcome = world.put(packed(10))
        assert outcome.error is None and not outcome.changed and world.status.consecutive_failures == 0


def test_a_refresh_of_one_family_swaps_that_family_only(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        changed = [*some(10, word="two"), rule("new", family="family-3", description="two")]
        world.read_from(tmp_path / "elsewhere", warm_file.pack(changed))
        outcome = world.refresh("family-3")
        assert outcome.error is None and outcome.changed
        words = {one.id: one.description for one in world.loaded.all()}
        assert {name for name, word in words.items() if word == "two"} == {"rule-000003", "new"} and len(words) == 11
        assert world.refresh().changed and world.word == "two"


def test_a_family_removed_from_the_file_is_removed(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        world.read_from(tmp_path / "elsewhere", packed(5))
        world.refresh("family-7")
        assert set(world.loaded.families()) == {f"family-{n}" for n in range(10) if n != 7}


def test_a_warning_names_a_family_that_no_rule_is_of_unless_its_last_just_went(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings() -> list[str]:
        return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]

    with World(tmp_path).start() as world:
        assert world.refresh("familly-7").error is None
        assert warnings() == ["No rule has family familly-7, neither in the file nor in the rules loaded before"]
        world.read_from(tmp_path / "elsewhere", packed(5))
        world.refresh("family-7")
        assert len(warnings()) == 1
        world.refresh("family-7")
        assert len(warnings()) == 2
        world.refresh("family-3")
        world.refresh()
        assert len(warnings()) == 2


def test_the_last_family_to_be_refreshed_makes_the_file_loaded(tmp_path: Path) -> None:
    with World(tmp_path, packed(2)).start() as world:
        world.read_from(tmp_path / "elsewhere", packed(2, word="two"))
        world.refresh("family-0")
        partly = world.loaded
        assert partly.file is None
        world.refresh("family-1")
        assert world.loaded.file is not None and world.word == "two"
        assert not world.refresh().changed


def test_a_rule_that_moved_to_the_refreshed_family_is_there_once(tmp_path: Path) -> None:
    with World(tmp_path, warm_file.pack([rule("a", family="x"), rule("b", family="x")])).start() as world:
        world.read_from(tmp_path / "elsewhere", warm_file.pack([rule("a", family="y"), rule("b", family="x")]))
        world.refresh("y")
        assert world.loaded.families() == {"x": 1, "y": 1} and len(world.loaded.rules) == 2


def test_a_family_asked_for_before_anything_is_loaded_loads_all(tmp_path: Path) -> None:
    with World(tmp_path, b"bad: yaml").start() as world:
        world.read_from(tmp_path / "elsewhere", packed(10))
        world.refresh("family-3")
        assert len(world.loaded.rules) == 10


def test_one_invalid_family_keeps_all_others_too(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        world.read_from(tmp_path / "elsewhere", b'[{"id": "rule-000003", "family": "family-3"}, {"id": 5}]')
        outcome = world.refresh("family-3")
        assert (
            outcome.error == "rules[1].id: must be text, not a number, a date or similar: write it in quotes (line 1)"
            and world.loaded.all() == tuple(some(10))
        )


def test_text_that_may_still_be_written_is_read_again_until_it_is_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "written_in_place", lambda *_: True)
    with World(tmp_path, text_file.to_json_lines(some(1)).encode()) as world:
        world.daemon.start()
        for count in (2, 3, 4):
            world.clock.wait_for_sleeper(SETTLED)
            world.file.write_text(text_file.to_json_lines(some(count)))
            world.clock.advance(SETTLED)
        world.clock.wait_for_sleeper(SETTLED)
        assert world.status.in_progress
        monkeypatch.setattr(source, "written_in_place", lambda *_: False)
        world.clock.advance(SETTLED)
        world.attempt_ends()
        assert world.outcomes[0].items == 4


def test_a_file_that_never_stops_changing_is_abandoned_at_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "written_in_place", lambda *_: True)
    with World(tmp_path, b"- id: a", RULES_REFRESH_TIMEOUT="2s", RULES_REFRESH_MAX_RETRIES="0") as world:
        world.daemon.start()
        for count in range(4):
            world.clock.wait_for_sleeper(SETTLED)
            world.file.write_text(text_file.to_yaml(some(count + 1)))
            world.clock.advance(SETTLED)
        world.attempt_ends()
        assert world.outcomes[0].error_type == "timeout" and world.outcomes[0].items == 0
        monkeypatch.setattr(source, "written_in_place", lambda *_: False)
        eventually(lambda: world.clock.advance(SETTLED) or not (world.status.pending or world.status.attempt))


def test_a_stop_ends_the_wait_for_a_file_to_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "written_in_place", lambda *_: True)
    with World(tmp_path, b"- id: a") as world:
        world.daemon.start()
        world.clock.wait_for_sleeper(SETTLED)
        world.daemon.stop()
        assert world.outcomes == [] or world.outcomes[0].result is Result.CANCELLED
        assert world.status.attempt is None and world.status.cancelled == 1


@pytest.mark.parametrize("data", [packed(2), json.dumps([{"id": "a"}]).encode(), b"- id: a\n...\n", b'{"rules": []}'])
def test_a_file_that_is_self_delimiting_is_loaded_immediately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(source, "written_in_place", lambda *_: True)
    with World(tmp_path, data).start() as world:
        assert world.outcomes[0].error is None


def test_a_file_removed_after_it_was_read_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with World(tmp_path, b"- id: a") as world:

        def gone(_: bytes) -> bool:
            world.file.unlink()
            return False

        monkeypatch.setattr(source, "is_self_delimiting", gone)
        world.start()
        assert world.outcomes[0].error == "the rules file is missing" and world.outcomes[0].error_type == "storage"


@pytest.mark.parametrize("data", [packed(2)[:-1], packed(2)[:5], b'{"id": "a"}\n', b"- id: a\n", b"rules:", b""])
def test_what_may_be_a_beginning_does_not_tell_its_end(data: bytes) -> None:
    assert not is_self_delimiting(data)


def test_a_rule_that_left_the_family_that_is_refreshed_is_where_it_went() -> None:
    before = rule_set([rule("a", family="x"), rule("b", family="x"), rule("c", family="z")])
    now = [rule("a", family="x"), rule("b", family="y"), rule("c", family="elsewhere")]
    found = source._with_family(before, check(now, {}), "x")
    assert [one.family for one in found.rules.values()] == ["x", "y", "z"]


def test_a_cron_expression_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "alert_refresh.rules")
    with World(tmp_path, RULES_REFRESH_SCHEDULE="0 4 * * *", ALERT_REFRESH_TIMEZONE="Europe/Berlin").start():
        pass
    assert "Starting scheduled refresh at 0 4 * * * (Europe/Berlin)" in caplog.messages


def test_without_inotify_the_schedule_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(watch, "INotify", refuse)
    with World(tmp_path).start() as world:
        assert len(world.loaded.rules) == 10 and world.status.next_due is not None
    assert "The rules file is not watched: Too many open files" in caplog.messages


def test_a_refresh_every_interval(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        world.clock.wait_for_sleeper(30)
        world.clock.advance(30)
        assert world.attempt_ends().trigger is Trigger.PERIODIC
        world.clock.wait_for_sleeper(21600)
        world.clock.advance(21600)
        assert world.attempt_ends().trigger is Trigger.PERIODIC


def test_an_adaptive_interval_doubles_while_nothing_changes_and_halves_after_a_change(tmp_path: Path) -> None:
    with World(tmp_path, RULES_REFRESH_ADAPTIVE="true", RULES_REFRESH_INTERVAL="10m").start() as world:
        world.clock.wait_for_sleeper(30)
        world.clock.advance(30)
        world.attempt_ends()
        world.clock.wait_for_sleeper(1200)
        world.clock.advance(1200)
        world.attempt_ends()
        world.clock.wait_for_sleeper(2400)
        world.put(packed(10, word="two"))
        world.clock.wait_for_sleeper(1200)
