"""Prometheus metrics of every kind: attempts, their errors and durations, and gauges of the status.

Error counters and histograms are updated with each outcome; all other metrics are computed from one status at scrape
time, so that they are consistent.
"""

from __future__ import annotations

import platform
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

import alert_refresh
from alert_refresh.engine import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from alert_refresh.engine import Kind, Outcome, Status, Worker

DURATION_HELP = "Duration of attempts that succeeded or failed."


class EngineMetrics(Collector):
    """The `alert_refresh_*` metrics of all workers, in `registry`. Adds a listener to each worker.

    `gauges` maps the name of a further metric, without the prefix, to a function that returns its value; a name that
    ends in `_total` is a counter. `off` are the kinds without a worker, `stuck()` the threads without progress.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        workers: Mapping[str, Worker[Any]],
        gauges: Mapping[str, Callable[[], float]] = MappingProxyType({}),
        *,
        off: Collection[str] = (),
        stuck: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._workers = workers
        self._off = off
        self._stuck = stuck
        self._gauges = gauges
        self._errors = Counter(
            "alert_refresh_errors_total",
            "Failed attempts by kind and type of error.",
            ("kind", "error_type"),
            registry=registry,
        )
        self._durations: dict[str, Histogram] = {}
        self._wrong_tokens = Counter(
            "alert_refresh_wrong_tokens_total", "Requests that carried a token that is not valid.", registry=registry
        )
        for name, worker in workers.items():
            self._durations[name] = _durations(name, worker.kind)
            for error_type in worker.kind.error_types:
                self._errors.labels(name, error_type)
            worker.listen(self)
        registry.register(self)

    def __call__(self, outcome: Outcome) -> None:
        """Count one attempt that ended."""
        if outcome.result is Result.CANCELLED:
            return
        self._durations[outcome.kind].labels(outcome.kind).observe(outcome.duration)
        if outcome.result is Result.FAILED:
            self._errors.labels(outcome.kind, known(self._workers[outcome.kind].kind, outcome.error_type)).inc()

    def wrong_token(self) -> None:
        """Count one request with a token that is not valid."""
        self._wrong_tokens.inc()

    def collect(self) -> Iterable[Metric]:
        """All metrics that are computed at scrape time."""
        info = GaugeMetricFamily("alert_refresh_build_info", "Always 1; the labels say what runs.")
        info.add_sample(info.name, {"version": alert_refresh.__version__, "python": platform.python_version()}, 1)
        yield info
        for name, measure in self._gauges.items():
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            help_text = f"{name.removesuffix('_total').replace('_', ' ').capitalize()}."
            yield family(f"alert_refresh_{name}", help_text, value=measure())
        yield from self._health()
        yield self._all_durations()
        yield from self._statuses()

    def _health(self) -> Iterable[Metric]:
        """The result of `/healthz`, and which kinds are enabled."""
        stuck = self._stuck()
        yield GaugeMetricFamily("alert_refresh_healthy", "1 while every thread makes progress.", value=not stuck)
        names = "Threads that make no progress, as /healthz names them."
        yield GaugeMetricFamily("alert_refresh_stuck_threads", names, value=len(stuck))
        enabled = _gauge("kind_enabled", "1 for a kind that is on, 0 for one that is off and has no other series.")
        for name in (*self._workers, *self._off):
            enabled.add_metric((name,), name in self._workers)
        yield enabled

    def _all_durations(self) -> Metric:
        """One metric family, in which each kind has its own buckets."""
        family = HistogramMetricFamily("alert_refresh_duration_seconds", DURATION_HELP)
        family.samples = [
            sample for one in self._durations.values() for shown in one.collect() for sample in shown.samples
        ]
        return family

    def _statuses(self) -> Iterable[Metric]:
        """The metrics computed from each worker's status."""
        attempts = CounterMetricFamily("alert_refresh_attempts", "Attempts that ended.", labels=("kind", "status"))
        success_at = _gauge("last_success_timestamp_seconds", "Unix time of the last success, 0 before the first.")
        running = _gauge("in_progress", "1 while an attempt executes.")
        interval = _gauge("interval_seconds", "Longest time between periodic refreshes, 0 while there are none.")
        hanging = _gauge("hanging_attempts", "Attempts that were abandoned and have not ended yet.")
        streak = _gauge("consecutive_failures", "Failed attempts since the last success.")
        held = _gauge("held", "1 while removals are held.")
        breaker = _gauge("breaker_open", "1 while a cycle makes a single attempt, after many failed ones.")
        age = _gauge("snapshot_age_seconds", "Time since the last success of what is served, NaN before there is one.")
        restored = _gauge("restored", "1 while what is served is from before a restart.")
        for name, worker in self._workers.items():
            status = worker.get_status()
            attempts.add_metric((name, "success"), status.succeeded)
            attempts.add_metric((name, "failed"), status.failed)
            attempts.add_metric((name, "cancelled"), status.cancelled)
            success_at.add_metric((name,), status.last_success_at or 0)
            running.add_metric((name,), status.in_progress)
            resting = status.running and status.next_due is None
            interval.add_metric((name,), 0 if resting else worker.settings.interval)
            hanging.add_metric((name,), len(worker.hanging()))
            streak.add_metric((name,), status.consecutive_failures)
            held.add_metric((name,), status.hold is not None)
            breaker.add_metric((name,), status.breaker_open)
            age.add_metric((name,), snapshot_age(worker, status))
            restored.add_metric((name,), status.restored)
        yield from (attempts, success_at, running, interval, hanging, streak, held, breaker, age, restored)


def snapshot_age(worker: Worker[Any], status: Status[Any]) -> float:
    """Seconds since the last success, also one before a restart; NaN while nothing is served."""
    if status.last_success is None or status.snapshot is None:
        return float("nan")
    return worker.clock.monotonic() - status.last_success


def known(kind: Kind, error_type: str | None) -> str:
    """The error type as a label value: one of the kind's error types, else `unknown`."""
    return error_type if error_type in kind.error_types and error_type is not None else "unknown"


def _durations(name: str, kind: Kind) -> Histogram:
    """The histogram of one kind, exported with 0 from the start."""
    histogram = Histogram(
        "alert_refresh_duration_seconds", DURATION_HELP, ("kind",), buckets=kind.buckets, registry=None
    )
    histogram.labels(name)
    return histogram


def _gauge(name: str, help_text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"alert_refresh_{name}", help_text, labels=("kind",))
