"""Prometheus metrics of what is delivered to Alertmanager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from alert_refresh.alertmanager.delivered import delivered
from alert_refresh.alertmanager.running.instances import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from alert_refresh.alertmanager.source import AlertmanagerSource
    from alert_refresh.engine import Outcome, Worker

NAME = "alert_refresh_alertmanager"
PROPAGATION_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class AlertmanagerMetrics(Collector):
    """The metrics of the kind's worker, in `registry`; none while the kind is off. Adds a listener to the worker."""

    def __init__(self, registry: CollectorRegistry, workers: Mapping[str, Worker[Any]]) -> None:
        worker = workers.get("alertmanager")
        if worker is None:
            return
        self._worker = worker
        self._source = cast("AlertmanagerSource", worker.source)
        self._propagation = Histogram(
            f"{NAME}_delivery_propagation_seconds",
            "From a change being seen to the configuration with it being verified in every Alertmanager.",
            buckets=PROPAGATION_BUCKETS,
            registry=registry,
        )
        worker.listen(self)
        registry.register(self)

    def __call__(self, outcome: Outcome) -> None:
        """Count one attempt that ended."""
        snapshot = self._worker.get_status().snapshot
        if outcome.error is None and snapshot is not None:
            seconds = snapshot.stats.get("propagation_seconds")
            if seconds is not None:
                self._propagation.observe(seconds)

    def collect(self) -> Iterable[Metric]:
        """All metrics that are computed at scrape time, from one status."""
        known = delivered(self._worker.get_status().snapshot)
        in_sync = GaugeMetricFamily(
            f"{NAME}_in_sync", "1 while an Alertmanager runs what was rendered last.", labels=("instance",)
        )
        reloads = CounterMetricFamily(
            f"{NAME}_reloads", "Reloads by how Alertmanager answered.", labels=("instance", "result")
        )
        for name in self._source.instances.names:
            in_sync.add_metric((name,), name in known.in_sync)
            for result in RESULTS:
                reloads.add_metric((name, result), self._source.instances.reloads[name, result])
        yield from (in_sync, reloads)
        for name, help_text, value in (
            ("receivers", "Targets that have a receiver.", known.receivers),
            ("routes", "Routes that lead to targets.", known.routes),
            ("undeliverable_targets", "Enabled targets that Alertmanager cannot deliver to.", len(known.undeliverable)),
            ("undeliverable_rules", "Rules that Alertmanager cannot route by.", len(known.undeliverable_rules)),
        ):
            yield GaugeMetricFamily(f"{NAME}_{name}", help_text, value=value)
        drift = "Times that somebody else had changed the file, which was written again."
        yield CounterMetricFamily(f"{NAME}_drift_corrected", drift, value=self._source.delivery.written.drift)
