from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import alert_refresh
from alert_refresh.engine import Kind, RefreshSettings, Transient, Worker
from alert_refresh.observe.metrics import EngineMetrics, known
from tests.fakes import FakeClock, FakeSource
from tests.web.world import World, target, targets

KIND = Kind("prices", "PRICES_", ("network", "parse", "unknown"))
LABELS = {"kind": "prices"}


class Engine:
    """One worker of some kind, with its metrics."""

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
        assert begun.wait(10)
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
        assert begun.wait(10)
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
        assert begun.wait(10)
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
