"""The metrics of each view: its age, the durations and the outcomes of its refreshes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from alert_refresh.engine import Worker
    from alert_refresh.views.source import PostgresSource
    from alert_refresh.views.view import ViewState

PREFIX = "alert_refresh_view"
BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800)
"""Seconds; a refresh may take half an hour."""
OUTCOMES = ("refreshed", "blocking", "skipped", "busy", "failed")


class ViewMetrics(Collector):
    """Registers the metrics of each view in VIEWS in `registry` (none while views are off) and listens to the views'
    source.
    """

    def __init__(self, registry: CollectorRegistry, workers: Mapping[str, Worker[Any]]) -> None:
        worker = workers.get("views")
        if worker is None:
            return
        self._worker = worker
        source = cast("PostgresSource", worker.source)
        self._names = source.settings.views
        self._durations = Histogram(
            f"{PREFIX}_refresh_duration_seconds",
            "Duration of refreshes of a view that succeeded.",
            ("view",),
            buckets=BUCKETS,
            registry=registry,
        )
        self._refreshes = Counter(
            f"{PREFIX}_refreshes_total",
            "Refreshes of a view, also those that were skipped, by outcome.",
            ("view", "outcome"),
            registry=registry,
        )
        for name in self._names:
            self._durations.labels(name)
            for outcome in OUTCOMES:
                self._refreshes.labels(name, outcome)
        source.listeners.append(self)
        registry.register(self)

    def __call__(self, state: ViewState) -> None:
        """Count the outcome of one view in one attempt."""
        self._refreshes.labels(state.name, state.outcome).inc()
        if state.refreshed:
            self._durations.labels(state.name).observe(state.duration_ms / 1000)

    def collect(self) -> Iterable[Metric]:
        """Everything that is read at scrape time, all of it from one status."""
        snapshot, now = self._worker.get_status().snapshot, self._worker.clock.monotonic()
        states: list[ViewState] = [] if snapshot is None else list(snapshot.items.values())
        fresh = {state.name: state.fresh_at for state in states if state.fresh_at is not None}
        yield _gauge(
            "age_seconds",
            "Time since a view was last refreshed, by anyone, or proven unchanged; missing before the first time.",
            {state.name: now - (state.since or 0.0) for state in states if state.name in fresh},
        )
        yield _gauge(
            "last_success_timestamp_seconds",
            "Unix time at which a view was last refreshed, by anyone, or proven unchanged, 0 before the first time.",
            {name: fresh.get(name, 0.0) for name in self._names},
        )
        yield _gauge(
            "rows",
            "Rows of a view, as PostgreSQL estimates them.",
            {state.name: float(state.rows) for state in states if state.rows is not None},
        )
        yield _gauge(
            "size_bytes",
            "Size of a view with its indexes.",
            {state.name: float(state.size) for state in states if state.size is not None},
        )


def _gauge(name: str, help_text: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", help_text, labels=("view",))
    for view, value in values.items():
        family.add_metric((view,), value)
    return family
