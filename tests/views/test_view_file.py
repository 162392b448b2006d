"""VIEWS_CONFIG_FILE: the settings of single views, and when each is due."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh import views
from alert_refresh.config import Env
from alert_refresh.engine import Interval, Outcome, Result, Trigger
from alert_refresh.views.view_file import LARGEST
from alert_refresh.views.view_settings import Cron, Earliest, ViewSettings
from tests.fakes import FakeClock
from tests.postgres import VIEWS
from tests.views.world import World

if TYPE_CHECKING:
    from alert_refresh.views import Settings

NO_CRON = "is not a cron expression of five fields such as */5 * * * *"
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
    assert set(schedule.schedules) == {Interval(60, 30), Interval(300, 30), Cron("0 * * * *")}


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
        ("views:\n- {name: mv_a, cron: '* * * * * *'}", ["entry 1 in line 2: cron='* * * * * *': " + NO_CRON]),
        ("views:\n- {name: mv_a, interval: }", ["entry 1 in line 2: interval has no value, or one of several parts"]),
        ("views:\n- {name: mv_a, skip: [a]}", ["entry 1 in line 2: skip has no value, or one of several parts"]),
    ],
)
def test_every_fault_is_told_with_its_place(tmp_path: Path, text: str, reasons: list[str]) -> None:
    file = tmp_path / "views.yaml"
    file.write_text(text)
    assert read(file, VIEWS="mv_a")[1] == reasons


def test_a_file_that_is_missing_or_too_large_is_a_fault(tmp_path: Path) -> None:
    assert read(tmp_path / "none")[1] == ["the file is missing"]
    assert read(tmp_path)[1] == ["the file cannot be read: Is a directory"]
    (tmp_path / "large").write_bytes(b"#" * (LARGEST + 1))
    assert read(tmp_path / "large")[1] == [f"the file is larger than {LARGEST} bytes"]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=4), st.integers(0, 20), st.integers(0, 300))
def test_a_schedule_of_several_intervals_is_due_when_the_first_of_them_is(
    intervals: list[int], warmup: int, now: int
) -> None:
    schedule = Earliest(tuple(Interval(float(interval), float(warmup)) for interval in intervals))
    due = schedule.next_due(0.0, float(now))
    assert due is not None and due > now
    times = {(warmup or interval) + n * interval for interval in intervals for n in range(400)}
    assert due == min(one for one in times if one > now)
    outcome = Outcome("views", Trigger.PERIODIC, "id", 1, Result.SUCCESS, started_at=0.0, duration=0.0)
    assert schedule.after(outcome, 1.0) is schedule


def test_a_cron_expression_is_due_at_its_minutes_and_no_tick_comes_twice() -> None:
    clock = FakeClock()
    clock.wall_offset = 1_700_000_100.0  # 22:15:00 UTC
    cron = Cron("*/15 22 * * *", clock)
    assert cron.next_due(0.0, 0.0) == 15 * 60
    clock.advance(15 * 60 - 0.1)
    assert cron.next_due(0.0, clock.monotonic()) == pytest.approx(30 * 60), "the tick that comes just now is past"
    assert cron.next_due(0.0, 1.0) == pytest.approx(15 * 60), "of a time that has passed, too"
    assert cron.longest() == 23 * 3600 + 15 * 60
    outcome = Outcome("views", Trigger.PERIODIC, "id", 1, Result.SUCCESS, started_at=0.0, duration=0.0)
    assert cron.after(outcome, 1.0) is cron


@pytest.mark.parametrize("text", ["x", "0 0 30 2 *", "@daily", "* * * *", ""])
def test_what_is_no_cron_expression_is_a_fault(tmp_path: Path, text: str) -> None:
    file = tmp_path / "views.yaml"
    file.write_text(f"views: [{{name: mv_a, cron: '{text}'}}, {{name: mv_b, cron: '* * * * *', interval: 1m}}]")
    assert read(file, VIEWS="mv_a,mv_b")[1] == [
        f"entry 1 in line 1: cron={text!r}: {NO_CRON}",
        "entry 2 in line 1: has both cron and interval; write one of them",
    ]


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_a_file_that_is_no_regular_one_is_a_fault_and_holds_up_nothing(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "fifo"
    if kind == "fifo":
        os.mkfifo(path)
    assert read(path)[1] == ["the file is not a regular file"]


def own(interval: float, **changes: float | bool) -> ViewSettings:
    return ViewSettings(interval, 1.0, 300.0, **{"skip_max_age": 0.0} | changes)  # type: ignore[arg-type]


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
