from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import alert_refresh
from alert_refresh import rules, views
from alert_refresh.daemon import Daemon, read_config
from alert_refresh.engine import (
    Adaptive,
    Kind,
    Never,
    Outcome,
    RefreshSettings,
    Result,
    Transient,
    Trigger,
    Worker,
)
from alert_refresh.observe.metrics import EngineMetrics, known
from alert_refresh.web.app import create_app
from tests.fakes import FakeClock, FakeSource
from tests.stage import eventually
from tests.targets.test_metrics import CONTRACTS_NAMES, promtool
from tests.web.world import World, target, targets

KIND = Kind("prices", "PRICES_", ("network", "parse", "unknown"))
LABELS = {"kind": "prices"}
EVERY_KIND = {
    "TARGET_DIRECTORY": "config/examples/targets",
    "RULES_FILE": "config/examples/rules.yaml",
    "VIEWS_DATABASE_URL": "postgresql://user@127.0.0.1:1/none",
    "ALERTMANAGER_CONFIG_TEMPLATE": "config/examples/alertmanager.yml",
    "ALERTMANAGER_CONFIG_FILE": "/nowhere/alertmanager.yml",
    "ALERTMANAGER_URL": "http://127.0.0.1:1",
}


class Engine:
    """One worker, with its metrics."""

    def __init__(self) -> None:
        worker: Worker[Any] = Worker(KIND, FakeSource(), RefreshSettings(), clock=FakeClock())
        self.registry = CollectorRegistry()
        self.metrics = EngineMetrics(self.registry, {"prices": worker})

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"alert_refresh_{name}", LABELS | labels)


def test_every_label_value_is_there_with_0_from_the_start() -> None:
    engine = Engine()
    for status in ("success", "failed", "cancelled"):
        assert engine.value("attempts_total", status=status) == 0
    for error_type in KIND.error_types:
        assert engine.value("errors_total", error_type=error_type) == 0
    assert engine.value("duration_seconds_count") == 0
    for gauge in ("last_success_timestamp_seconds", "in_progress", "consecutive_failures", "held", "breaker_open"):
        assert engine.value(gauge) == 0
    assert engine.registry.get_sample_value("alert_refresh_wrong_tokens_total") == 0


def test_build_info_says_what_runs() -> None:
    metrics = {metric.name: metric for metric in Engine().registry.collect()}
    (sample,) = metrics["alert_refresh_build_info"].samples
    assert (sample.value, sample.labels["version"]) == (1, alert_refresh.__version__)


def test_two_failures_and_a_success_are_counted_as_attempts() -> None:
    with World() as world:
        world.fail(Transient("connection refused", "network"))
        world.start()
        world.clock.wait_for_sleeper(30)
        world.clock.advance(30)
        world.attempt_ends()
        shown = world.metrics()
        assert shown['alert_refresh_consecutive_failures{kind="targets"}'] == 2
        world.source.answer = lambda n: targets(target("one"))
        world.clock.wait_for_sleeper(60)
        world.clock.advance(60)
        world.attempt_ends()
        shown = world.metrics()
        assert shown['alert_refresh_attempts_total{kind="targets",status="failed"}'] == 2
        assert shown['alert_refresh_attempts_total{kind="targets",status="success"}'] == 1
        assert shown['alert_refresh_errors_total{error_type="network",kind="targets"}'] == 2
        assert shown['alert_refresh_duration_seconds_count{kind="targets"}'] == 3
        assert shown['alert_refresh_consecutive_failures{kind="targets"}'] == 0
        assert shown['alert_refresh_last_success_timestamp_seconds{kind="targets"}'] == 1_700_000_090


def test_in_progress_is_1_only_while_an_attempt_runs() -> None:
    name = 'alert_refresh_in_progress{kind="targets"}'
    with World() as world:
        begun, release = world.hang()
        world.daemon.start()
        assert begun.wait(30)
        assert world.metrics()[name] == 1
        world.fail(Transient("refused", "network"))
        release.set()
        world.attempt_ends()
        assert world.metrics()[name] == 0


def test_an_attempt_that_a_stop_ended_is_cancelled_and_neither_a_failure_nor_a_duration() -> None:
    with World().start() as world:
        begun, release = world.hang()
        before = world.source.answer

        def cut_off(number: int) -> Any:
            before(number)
            raise Transient("cut off", "network")

        world.source.answer = cut_off
        world.post()
        assert begun.wait(30)
        world.worker.halt()
        release.set()
        world.attempt_ends()
        shown = world.metrics()
    assert shown['alert_refresh_attempts_total{kind="targets",status="cancelled"}'] == 1
    assert shown['alert_refresh_attempts_total{kind="targets",status="failed"}'] == 0
    assert shown['alert_refresh_errors_total{error_type="network",kind="targets"}'] == 0
    assert shown['alert_refresh_duration_seconds_count{kind="targets"}'] == 1
    assert shown["alert_history_publishing_refresh_cancelled_total"] == 1
    assert 'alert_history_publishing_refresh_errors_total{error_type="network"}' in shown
    assert shown['alert_history_publishing_refresh_errors_total{error_type="network"}'] == 0
    assert not [name for name in shown if "duration" in name and "cancelled" in name]
    assert shown['alert_history_publishing_refresh_duration_seconds_count{status="failed"}'] == 0


def test_durations_fall_into_their_buckets() -> None:
    with World() as world:
        begun, release = world.hang()
        world.daemon.start()
        assert begun.wait(30)
        world.clock.advance(1.5)
        release.set()
        world.attempt_ends()
        shown = world.metrics()
    name = "alert_refresh_duration_seconds"
    buckets = {key.split('"')[3]: value for key, value in shown.items() if key.startswith(f"{name}_bucket")}
    assert buckets == {"0.1": 0, "0.5": 0, "1.0": 0} | dict.fromkeys(("2.0", "5.0", "10.0", "30.0", "60.0", "+Inf"), 1)
    assert shown[f'{name}_sum{{kind="targets"}}'] == 1.5


@pytest.mark.parametrize(("error_type", "label"), [("parse", "parse"), ("made-up", "unknown"), (None, "unknown")])
def test_an_error_type_the_kind_does_not_list_is_unknown(error_type: str | None, label: str) -> None:
    assert known(KIND, error_type) == label


def test_what_the_server_measures_is_read_at_scrape_time() -> None:
    registry, lost = CollectorRegistry(), [3.0]
    EngineMetrics(registry, {}, {"log_lines_dropped_total": lambda: lost[0], "http_connections": lambda: 7})
    lost[0] = 5
    assert registry.get_sample_value("alert_refresh_log_lines_dropped_total") == 5
    assert registry.get_sample_value("alert_refresh_http_connections") == 7
    kinds = {metric.name: metric.type for metric in registry.collect()}
    assert kinds["alert_refresh_log_lines_dropped"] == "counter"
    assert kinds["alert_refresh_http_connections"] == "gauge"


def test_a_wrong_token_is_counted() -> None:
    engine = Engine()
    engine.metrics.wrong_token()
    assert engine.registry.get_sample_value("alert_refresh_wrong_tokens_total") == 1


def test_a_kind_is_on_or_off_and_one_that_is_off_has_no_other_series() -> None:
    registry = CollectorRegistry()
    worker: Worker[Any] = Worker(KIND, FakeSource(), RefreshSettings(), clock=FakeClock())
    EngineMetrics(registry, {"prices": worker}, off=("stocks", "bonds"))
    shown = {
        (sample.name, sample.labels["kind"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if "kind" in sample.labels
    }
    assert {kind: value for (name, kind), value in shown.items() if name == "alert_refresh_kind_enabled"} == {
        "prices": 1,
        "stocks": 0,
        "bonds": 0,
    }
    assert [name for name, kind in shown if kind != "prices"] == ["alert_refresh_kind_enabled"] * 2


def test_a_daemon_of_which_all_is_off_says_so_of_every_kind() -> None:
    app = create_app(Daemon(read_config({})))
    shown = app.test_client().get("/metrics").get_data(as_text=True)
    lines = [line for line in shown.splitlines() if line[0] != "#" and 'route="' not in line]
    assert [line for line in lines if re.search("targets|rules|views|publishing|guard", line)] == [
        f'alert_refresh_kind_enabled{{kind="{kind}"}} 0.0' for kind in ("targets", "rules", "views")
    ]
    assert "alert_refresh_healthy 1.0" in lines


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        (RefreshSettings(interval=123), 123),
        (RefreshSettings(interval=123, schedule=Never()), 0),
        (RefreshSettings(interval=123, paused=True), 0),
        (RefreshSettings(interval=900, schedule=Adaptive(60, 900, 300)), 900),
    ],
)
def test_the_interval_is_0_while_nothing_is_scheduled(settings: RefreshSettings, seconds: float) -> None:
    name = 'alert_refresh_interval_seconds{kind="targets"}'
    with World(settings=settings) as world:
        assert world.metrics()[name] == settings.interval, "before the start nothing is paused"
        world.daemon.start()
        assert world.metrics()[name] == seconds
        if settings.paused:
            world.worker.resume()
            assert world.metrics()[name] == settings.interval


def test_an_abandoned_attempt_is_counted_until_it_ends_and_two_are_not_healthy() -> None:
    names = ('alert_refresh_hanging_attempts{kind="targets"}', "alert_refresh_stuck_threads", "alert_refresh_healthy")

    def shown(world: World) -> tuple[float, ...]:
        return tuple(world.metrics()[name] for name in names)

    with World() as world:
        begun, release = world.hang()
        world.daemon.start()
        assert shown(world) == (0, 0, 1)
        for count, expected in ((1, (1, 0, 1)), (2, (2, 1, 0))):
            assert begun.wait(30)
            begun.clear()
            world.clock.wait_for_sleeper(35)
            world.clock.advance(35)
            world.attempt_ends()
            assert shown(world) == expected
            assert world.metrics()['alert_refresh_in_progress{kind="targets"}'] == 0
            assert world.client.get("/healthz").status_code == (200 if expected[2] else 503)
            world.clock.wait_for_sleeper(30 * count)
            world.clock.advance(30 if count == 1 else 0)
        release.set()
        eventually(lambda: shown(world) == (0, 0, 1), "the end of both")


def test_each_kind_has_the_buckets_that_fit_it_in_one_family() -> None:
    registry = CollectorRegistry()
    kinds = [rules.KIND, views.KIND, KIND]
    workers: dict[str, Worker[Any]] = {
        kind.name: Worker(kind, FakeSource(), RefreshSettings(), clock=FakeClock()) for kind in kinds
    }
    metrics = EngineMetrics(registry, workers)
    for kind, seconds in (("rules", 0.008), ("views", 299.0), ("prices", 1.5)):
        metrics(Outcome(kind, Trigger.MANUAL, "id", 1, Result.SUCCESS, 0.0, seconds))
    text = generate_latest(registry).decode()
    assert text.count("# TYPE alert_refresh_duration_seconds histogram") == 1
    (family,) = [one for one in text_string_to_metric_families(text) if one.name == "alert_refresh_duration_seconds"]
    for kind, bound in (("rules", "0.01"), ("views", "300.0"), ("prices", "2.0")):
        buckets = {s.labels["le"]: s.value for s in family.samples if s.labels["kind"] == kind and "le" in s.labels}
        assert len(buckets) == len(workers[kind].kind.buckets) + 1
        below = [le for le, count in buckets.items() if count == 0]
        assert next(le for le in buckets if le not in below) == bound
        assert len(below) >= 2, "the first buckets are for quicker ones"


def test_the_exposition_of_all_kinds_together_is_correct_for_promtool() -> None:
    tool = promtool()
    if tool is None:
        pytest.skip("promtool is not here")
    text = create_app(Daemon(read_config(EVERY_KIND))).test_client().get("/metrics").data
    assert text.count(b"alert_refresh_kind_enabled{") == text.count(b"alert_refresh_duration_seconds_count{") == 4
    checked = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=30)
    faults = [line for line in checked.stderr.decode().splitlines() if line.split(" ")[0] not in CONTRACTS_NAMES]
    assert faults == []
