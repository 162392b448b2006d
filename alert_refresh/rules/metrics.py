"""Prometheus metrics of the rules, with the names that existing dashboards use, and of the hot cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from alert_refresh.engine import Result
from alert_refresh.rules.dangling import Dangling
from alert_refresh.rules.hot_cache import CacheStats
from alert_refresh.rules.rule_set import rule_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from alert_refresh.engine import Outcome, Worker
    from alert_refresh.rules.rule import Rule

SCHEDULER = "guard_scheduler"
CACHE = "alert_refresh_rules_hot_cache"
MILLISECONDS = (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)


class RuleMetrics(Collector):
    """The metrics of the rules' worker, in `registry`; none while rules are off. Adds a listener to the worker.


    `dangling` returns which rules name targets that do not exist.
    """

    def __init__(self, registry: CollectorRegistry, workers: Mapping[str, Worker[Any]]) -> None:
        self.dangling = Dangling(workers)
        worker: Worker[Rule] | None = workers.get("rules")
        if worker is None:
            return
        self._worker = worker
        self._durations = Histogram(
            f"{SCHEDULER}_refresh_duration_ms",
            "Duration of attempts in milliseconds.",
            buckets=MILLISECONDS,
            registry=registry,
        )
        worker.listen(self)
        registry.register(self)

    def __call__(self, outcome: Outcome) -> None:
        """Count one attempt that ended."""
        if outcome.result is not Result.CANCELLED:
            self._durations.observe(outcome.duration * 1000)

    def collect(self) -> Iterable[Metric]:
        """All metrics that are computed at scrape time, from one status."""
        status = self._worker.get_status()
        found = rule_set(status.snapshot)
        cache = CacheStats() if found is None else found.stats()
        for name, help_text, count in (
            (f"{SCHEDULER}_refresh_count", "Attempts that succeeded or failed.", status.succeeded + status.failed),
            (f"{SCHEDULER}_refresh_errors", "Attempts that failed.", status.failed),
            (f"{CACHE}_hits", "Lookups that found the rule in the hot cache.", cache.hits),
            (f"{CACHE}_misses", "Lookups that did not find the rule in the hot cache.", cache.misses),
            (f"{CACHE}_evictions", "Rules evicted from the hot cache.", cache.evictions),
        ):
            yield CounterMetricFamily(name, help_text, value=count)
        last = "Unix time of the last success in milliseconds, 0 before the first."
        for name, help_text, value in (
            (f"{SCHEDULER}_last_refresh_timestamp_ms", last, round((status.last_success_at or 0) * 1000)),
            (f"{CACHE}_size", "Rules in the hot cache.", cache.size),
            (f"{CACHE}_capacity", "Maximum number of rules in the hot cache.", cache.capacity),
            ("alert_refresh_rules_loaded", "Rules that are loaded.", 0 if found is None else len(found.rules)),
            ("alert_refresh_rules_dangling_targets", "Pairs of a rule and a missing target.", len(self.dangling())),
        ):
            yield GaugeMetricFamily(name, help_text, value=value)
