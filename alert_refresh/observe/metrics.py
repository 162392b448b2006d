"""What every kind has in Prometheus: its attempts, their errors and durations, and the gauges of its status.

Counters and histograms that need each outcome are fed by it; all else is read from one status at scrape
time, so that a gauge never passes through a value that was not true.
"""

from __future__ import annotations

import platform
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

import alert_refresh
from alert_refresh.engine import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from alert_refresh.engine import Kind, Outcome, Worker

ATTEMPT_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60)


class EngineMetrics(Collector):
    """The `alert_refresh_*` metrics of all workers, in `registry`. Listens to each of them from now on.

    `gauges` are measured by others, by name without the prefix; one that ends in `_total` is a counter.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        workers: Mapping[str, Worker[Any]],
        gauges: Mapping[str, Callable[[], float]] = MappingProxyType({}),
    ) -> None:
        self._workers = workers
        self._gauges = gauges
        self._errors = Counter(
            "alert_refresh_errors_total",
            "Failed attempts by kind and type of error.",
            ("kind", "error_type"),
            registry=registry,
        )
        self._durations = Histogram(
            "alert_refresh_duration_seconds",
            "Duration of attempts that succeeded or failed.",
            ("kind",),
            buckets=ATTEMPT_BUCKETS,
            registry=registry,
        )
        self._wrong_tokens = Counter(
            "alert_refresh_wrong_tokens_total", "Requests that carried a token that is not valid.", registry=registry
        )
        for name, worker in workers.items():
            self._durations.labels(name)
            for error_type in worker.kind.error_types:
                self._errors.labels(name, error_type)
            worker.listen(self)
        registry.register(self)

    def __call__(self, outcome: Outcome) -> None:
        """Count one attempt that ended."""
        if outcome.result is Result.CANCELLED:
            return
        self._durations.labels(outcome.kind).observe(outcome.duration)
        if outcome.result is Result.FAILED:
            self._errors.labels(outcome.kind, known(self._workers[outcome.kind].kind, outcome.error_type)).inc()

    def wrong_token(self) -> None:
        """Count one request with a token that is not valid."""
        self._wrong_tokens.inc()

    def collect(self) -> Iterable[Metric]:
        """Everything that is read at scrape time."""
        info = GaugeMetricFamily("alert_refresh_build_info", "Always 1; the labels say what runs.")
        info.add_sample(info.name, {"version": alert_refresh.__version__, "python": platform.python_version()}, 1)
        yield info
        for name, measure in self._gauges.items():
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            help_text = f"{name.removesuffix('_total').replace('_', ' ').capitalize()}."
            yield family(f"alert_refresh_{name}", help_text, value=measure())
        attempts = CounterMetricFamily("alert_refresh_attempts", "Attempts that ended.", labels=("kind", "status"))
        success_at = _gauge("last_success_timestamp_seconds", "Unix time of the last success, 0 before the first.")
        running = _gauge("in_progress", "1 while an attempt executes.")
        streak = _gauge("consecutive_failures", "Failed attempts since the last success.")
        held = _gauge("held", "1 while a refresh that would remove too much waits for approval.")
        breaker = _gauge("breaker_open", "1 while the circuit breaker keeps attempts from being made.")
        for name, worker in self._workers.items():
            status = worker.get_status()
            attempts.add_metric((name, "success"), status.succeeded)
            attempts.add_metric((name, "failed"), status.failed)
            attempts.add_metric((name, "cancelled"), status.cancelled)
            success_at.add_metric((name,), status.last_success_at or 0)
            running.add_metric((name,), status.in_progress)
            streak.add_metric((name,), status.consecutive_failures)
            held.add_metric((name,), 0)
            breaker.add_metric((name,), 0)
        yield from (attempts, success_at, running, streak, held, breaker)


def known(kind: Kind, error_type: str | None) -> str:
    """The error type as a label: one of the kind's own words, `unknown` for any other."""
    return error_type if error_type in kind.error_types and error_type is not None else "unknown"


def _gauge(name: str, help_text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"alert_refresh_{name}", help_text, labels=("kind",))
