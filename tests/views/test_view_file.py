"""VIEWS_CONFIG_FILE: the settings of single views, and when each is due."""

from __future__ import annotations

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
        ("views: []\nviews: []", ["the key 'views' comes twice, line 1"]),
        ("views:\n- {name: mv_a, skip: true, skip: false}", ["the key 'skip' comes twice, line 2"]),
        ("views: [3, {interval: 1s}, {name: 3}]", [f"entry {n}: is not a mapping with a name" for n in (1, 2, 3)]),
        (
            "views: [{name: mv_b, when: x}, {name: mv_a, interval: 0s, skip: perhaps}, {name: mv_a}, {name: mv_a}]",
            [
                "entry 1: unknown key 'when'; known are name, cron, interval, lock_timeout, statement_timeout, max_age,"
                " skip, analyze",
                "entry 1: VIEWS does not name 'mv_b'",
                "entry 2: interval must be greater than 0",
                "entry 2: skip is neither true nor false",
                "entry 3: 'mv_a' comes twice",
                "entry 4: 'mv_a' comes twice",
            ],
        ),
    ],
)
def test_every_fault_is_reported_with_its_place(tmp_path: Path, text: str, reasons: list[str]) -> None:
    file = tmp_path / "views.yaml"
    file.write_text(text)
    assert read(file, VIEWS="mv_a")[1] == reasons


def test_a_file_that_is_missing_or_too_large_is_a_fault(tmp_path: Path) -> None:
    assert read(tmp_path / "none")[1] == ["the file cannot be read (FileNotFoundError)"]
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
def test_an_invalid_cron_expression_is_a_fault(tmp_path: Path, text: str) -> None:
    file = tmp_path / "views.yaml"
    file.write_text(f"views: [{{name: mv_a, cron: '{text}'}}, {{name: mv_b, cron: '* * * * *', interval: 1m}}]")
    assert read(file, VIEWS="mv_a,mv_b")[1] == [
        "entry 1: cron is not a cron expression such as */5 * * * *",
        "entry 2: has both cron and interval",
    ]


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
