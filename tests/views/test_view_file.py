"""VIEWS_CONFIG_FILE: the settings of single views, and when each is due."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh import views
from alert_refresh.engine import Cron, Earliest, Interval, Trigger
from alert_refresh.env import Env
from alert_refresh.views.view_file import LARGEST
from alert_refresh.views.view_settings import Moment, ViewSettings
from tests.postgres import VIEWS
from tests.views.world import World

if TYPE_CHECKING:
    from alert_refresh.views import Settings

KNOWN = (
    "known are name, cron, interval, lock_timeout, statement_timeout, max_age, skip, analyze; did you mean interval?"
)
EXAMPLE = Path(__file__).parent.parent.parent / "config" / "examples" / "views.yaml"


def read(path: Path, **environ: str) -> tuple[Settings, list[str]]:
    env = Env({"VIEWS_CONFIG_FILE": str(path), **environ})
    settings = views.read(env)
    assert {fault.field for fault in env.faults} <= {"VIEWS_CONFIG_FILE"}
    return settings, [fault.reason for fault in env.faults]


def test_the_example_is_read_and_the_others_have_the_general_settings() -> None:
    settings, faults = read(EXAMPLE)
    assert not faults
    assert settings.of("mv_entity_ancestors") == ViewSettings(60, 2, 600, 1800, analyze=True)
    assert settings.of("mv_entity_hierarchy_stats") == ViewSettings(3600, 5, 300, 0, cron=Cron("0 * * * *"))
    assert settings.of("mv_descendant_counts") == ViewSettings(300, 5, 300, 3600)
    assert settings.refresh.interval == 60, "the longest time between two ticks"
    schedule = settings.refresh.schedule
    assert isinstance(schedule, Earliest)
    assert set(schedule.parts) == {Interval(60, 30), Interval(300, 30), Cron("0 * * * *")}


def test_a_view_whose_name_needs_quotes_is_found(tmp_path: Path) -> None:
    file = tmp_path / "views.yaml"
    file.write_text("""views: [{name: '"sales-2024"', interval: 7s}, {name: '"mv_a"', interval: 9s}]""")
    settings, faults = read(file, VIEWS='"sales-2024",mv_a')
    assert not faults
    assert [settings.of(name).interval for name in settings.views] == [7, 9]


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("", ["the file must hold one key, views, with a list"]),
        ("views: {}", ["the file must hold one key, views, with a list"]),
        ("- name: x", ["the file must hold one key, views, with a list"]),
        ("views: [\n", ["the file is not YAML, line 2"]),
        ("views: [!!python/object:os.system x]", ["the file is not YAML, line 1"]),
        ("\x00", ["the file is not YAML"]),
        ("views: []\nviews: []", ["line 2: the key 'views' comes twice"]),
        ("views:\n- {name: mv_a, skip: true, skip: false}", ["line 2: the key 'skip' comes twice"]),
        ("view: []", ["line 1: the key 'view' is unknown; views is the only one"]),
        ("views: []\nversion: 1", ["line 2: the key 'version' is unknown; views is the only one"]),
        (
            "views: [3,\n {interval: 1s},\n {name: 3}]",
            [f"entry {n} in line {n}: is not a mapping with a name" for n in (1, 2, 3)],
        ),
        (
            "views:\n- {name: mv_b, when: x}\n- {name: mv_a, interval: 0s, skip: perhaps}\n"
            "- {name: mv_a}\n- {name: mv_a}",
            [
                "entry 1 in line 2: has the unknown key 'when'; known are name, cron, interval, lock_timeout,"
                " statement_timeout, max_age, skip, analyze",
                "entry 1 in line 2: VIEWS does not name 'mv_b'; did you mean mv_a?",
                "entry 2 in line 3: interval='0s': must be greater than 0",
                "entry 2 in line 3: skip='perhaps': is neither true nor false",
                "entry 3 in line 4: 'mv_a' comes twice",
                "entry 4 in line 5: 'mv_a' comes twice",
            ],
        ),
        ("views:\n- {name: mv_a, intervall: 1m}", [f"entry 1 in line 2: has the unknown key 'intervall'; {KNOWN}"]),
        (
            "views:\n- {name: mv_a, cron: '* * * * * *'}",
            [
                "entry 1 in line 2: cron='* * * * * *': has 6 fields; seconds and years are not known, "
                "only minute, hour, day of month, month and day of week"
            ],
        ),
        ("views:\n- {name: mv_a, interval: }", ["entry 1 in line 2: interval has no value, or one of several parts"]),
        ("views:\n- {name: mv_a, skip: [a]}", ["entry 1 in line 2: skip has no value, or one of several parts"]),
    ],
)
def test_every_fault_is_reported_with_its_place(tmp_path: Path, text: str, reasons: list[str]) -> None:
    file = tmp_path / "views.yaml"
    file.write_text(text)
    assert read(file, VIEWS="mv_a")[1] == reasons


def test_a_file_that_is_missing_or_too_large_is_a_fault(tmp_path: Path) -> None:
    assert read(tmp_path / "none")[1] == ["the file is missing"]
    assert read(tmp_path)[1] == ["the file cannot be read: Is a directory"]
    (tmp_path / "large").write_bytes(b"#" * (LARGEST + 1))
    assert read(tmp_path / "large")[1] == [f"the file is larger than {LARGEST} bytes"]


def test_a_view_may_have_a_cron_expression_in_the_time_zone(tmp_path: Path) -> None:
    file = tmp_path / "views.yaml"
    file.write_text("views: [{name: mv_a, cron: '@daily'}, {name: mv_b, interval: 1m}]")
    general = {"VIEWS": "mv_a,mv_b,mv_c", "ALERT_REFRESH_TIMEZONE": "Europe/Berlin"}
    settings, faults = read(file, VIEWS_REFRESH_SCHEDULE="0 9 * * 1-5", **general)
    assert not faults
    daily, workdays = Cron("@daily", "Europe/Berlin"), Cron("0 9 * * 1-5", "Europe/Berlin")
    assert [settings.of(name).cron for name in settings.views] == [daily, None, workdays]
    assert [settings.of(name).interval for name in settings.views] == [86400, 60, 3 * 86400]
    assert isinstance(settings.refresh.schedule, Earliest)
    assert set(settings.refresh.schedule.parts) == {daily, workdays, Interval(60, 30)}
    assert settings.refresh.interval == 60


def test_without_a_file_the_schedule_is_that_of_every_view() -> None:
    settings = views.read(Env({"VIEWS_REFRESH_SCHEDULE": "0 4 * * *"}))
    assert settings.of("any").cron == Cron("0 4 * * *") and settings.of("any").interval == 86400


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x", "has 1 fields instead of five: minute, hour, day of month, month and day of week"),
        ("0 0 30 2 *", "is never due: no month has such a day"),
        ("0 0 * * 9", "day of week: '9' is none of *, a number from 0 to 7, a name from SUN to SAT,"
         " a range such as 1-5, a step such as */5"),
        ("", "is empty"),
    ],
)  # fmt: skip
def test_an_invalid_cron_expression_is_a_fault(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "views.yaml"
    file.write_text(f"views: [{{name: mv_a, cron: '{text}'}}, {{name: mv_b, cron: '* * * * *', interval: 1m}}]")
    assert read(file, VIEWS="mv_a,mv_b")[1] == [
        f"entry 1 in line 1: cron={text!r}: {reason}",
        "entry 2 in line 1: has both cron and interval; write one of them",
    ]


@pytest.mark.parametrize(
    ("taken", "now", "due"),
    [
        (600.0, 899.4, False),
        (600.0, 899.6, True),  # the cycle may come a little early by the wall clock
        (600.0, 900.0, True),
        (600.0, 5000.0, True),
        (899.6, 900.0, False),  # that tick it was taken up for
        (600.0, 599.0, False),  # set back by a second
        (600.0, 301.0, False),
        (600.0, 200.0, True),  # set back by more than two intervals
    ],
)
def test_a_view_is_due_once_for_each_tick_of_the_wall_clock(taken: float, now: float, due: bool) -> None:
    settings = own(300, cron=Cron("*/5 * * * *"))
    assert settings.is_due(0.0, Moment(5.0, taken), Moment(6.0, now), 30.0) is due
    assert settings.next_due(0.0, Moment(6.0, 899.0), 30.0) == 7.0


@pytest.mark.parametrize(("age", "fresh"), [(50.0, True), (60.0, True), (60.4, True), (70.0, False), (290.0, False)])
def test_a_view_refreshed_elsewhere_since_the_last_tick_needs_no_refresh(age: float, fresh: bool) -> None:
    assert own(300, cron=Cron("*/5 * * * *")).is_fresh(age, 960.0) is fresh, "the last tick was at 900"
    assert own(300).is_fresh(age, 960.0), "by an interval, since one interval ago"


def test_a_view_is_refreshed_at_the_ticks_of_its_cron_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {VIEWS[0]: own(3600, cron=Cron("0 * * * *")), VIEWS[1]: own(1800), VIEWS[2]: own(1e6)}
    with World(own=settings, skip_unchanged=False) as world:
        wall = [1_700_002_740.0]  # 22:59 UTC
        monkeypatch.setattr(world.clock, "time", lambda: wall[0])
        assert world.upkeep
        world.refresh(Trigger.STARTUP)

        def refreshed(seconds: float) -> list[int]:
            wall[0] += seconds
            world.clock.ahead += seconds
            before = {name: state.generation for name, state in world.served.items.items()}
            states = world.refresh(Trigger.PERIODIC)
            return [VIEWS.index(name) for name in VIEWS if states[name].generation != before[name]]

        assert refreshed(31) == [1, 2], "after the warm-up, which a cron expression has not"
        assert refreshed(30) == [0], "at 23:00"
        assert refreshed(1800) == [1], "half an hour later"
        assert refreshed(1800) == [0, 1], "at 24:00"


def test_by_an_interval_the_wall_clock_plays_no_part() -> None:
    settings = own(300)
    assert not settings.is_due(0.0, Moment(330.0, 0.0), Moment(629.0, 9e9), 30.0)
    assert settings.is_due(0.0, Moment(330.0, 0.0), Moment(630.0, -9e9), 30.0)
    assert settings.next_due(0.0, Moment(330.0, 5.0), 30.0) == 630


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_a_file_that_is_no_regular_one_is_a_fault_and_holds_up_nothing(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "fifo"
    if kind == "fifo":
        os.mkfifo(path)
    assert read(path)[1] == ["the file is not a regular file"]


def own(interval: float, **changes: Any) -> ViewSettings:
    return ViewSettings(interval, 1.0, 300.0, **{"skip_max_age": 0.0} | changes)


def test_each_view_is_refreshed_when_it_is_due_in_the_order_of_dependencies() -> None:
    settings = {VIEWS[0]: own(60), VIEWS[1]: own(120)}
    with World(own=settings, skip_unchanged=False) as world:
        assert world.upkeep
        world.refresh(Trigger.STARTUP)
        rounds = []
        for _ in range(10):
            world.clock.ahead += 30
            before = {name: state.generation for name, state in world.served.items.items()}
            world.request.request_id = ""
            states = world.refresh(Trigger.PERIODIC)
            rounds.append([VIEWS.index(name) for name in VIEWS if states[name].generation != before[name]])
        due = [found for found in rounds if found != [0, 1, 2]]
        assert [0] in due and [0, 1] in due
        assert sum(2 in found for found in rounds) < 8, "the third one has five minutes"


def test_a_view_may_be_analyzed_after_each_refresh() -> None:
    with World(own={VIEWS[0]: own(60, analyze=True)}) as world:
        states = world.refresh()
        assert [states[name].analyzed for name in VIEWS] == ["ok", None, None]
        analyzed = "select last_analyze is not null from pg_stat_user_tables where relname = %s"
        assert world.database.value(analyzed, VIEWS[0]) is True


def test_an_analyze_that_fails_does_not_fail_the_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    from psycopg import sql

    real = sql.SQL

    def broken(text: Any) -> object:
        return real(text.replace("analyze {}", "analyze {} (nowhere)"))

    monkeypatch.setattr(sql, "SQL", broken)
    with World(own={VIEWS[0]: own(60, analyze=True)}) as world:
        state = world.refresh()[VIEWS[0]]
        assert state.refreshed and not state.failed and world.error is None
        assert state.analyzed is not None and "42703" in state.analyzed


def test_with_a_file_and_no_view_the_fault_is_that_of_views(tmp_path: Path) -> None:
    file = tmp_path / "views.yaml"
    file.write_text("views: []")
    env = Env({"VIEWS_CONFIG_FILE": str(file), "VIEWS": ","})
    views.read(env)
    assert [fault.field for fault in env.faults] == ["VIEWS"]
