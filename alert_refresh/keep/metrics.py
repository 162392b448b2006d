"""How the keeping of snapshots fares, in Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

    from alert_refresh.keep.keeper import Keeper

PREFIX = "alert_refresh_snapshot"


class KeeperMetrics(Collector):
    """Read at scrape time. There are no series where nothing is kept."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def collect(self) -> Iterable[Metric]:
        """One series for each kind that is kept."""
        failures = CounterMetricFamily(
            f"{PREFIX}_write_failures", "Writes of a kept snapshot that failed.", labels=("kind",)
        )
        written = GaugeMetricFamily(
            f"{PREFIX}_last_write_timestamp_seconds",
            "Unix time at which what is kept was written, 0 while nothing is.",
            labels=("kind",),
        )
        behind = GaugeMetricFamily(
            f"{PREFIX}_not_written",
            "1 while what is served could not be written, so that a restart would not have it.",
            labels=("kind",),
        )
        for name, kind in self._keeper.kinds.items():
            failures.add_metric((name,), kind.failures)
            written.add_metric((name,), kind.written_at)
            behind.add_metric((name,), self._keeper.is_behind(name))
        yield failures
        yield written
        yield behind
        dropped = "Outcomes of attempts that were not written, since the state folder could not be written for long."
        yield CounterMetricFamily("alert_refresh_outcomes_dropped", dropped, value=self._keeper.dropped)
