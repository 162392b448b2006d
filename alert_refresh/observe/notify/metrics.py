"""How many notifications were sent, failed or were dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from alert_refresh.observe.notify.notifier import Notifier


class NotifyMetrics(Collector):
    """The metric of one notifier."""

    def __init__(self, notifier: Notifier) -> None:
        self._delivery = notifier.delivery

    def collect(self) -> Iterable[Metric]:
        """The counts now."""
        family = CounterMetricFamily(
            "alert_refresh_notifications", "Notifications by what became of them.", labels=("status",)
        )
        for status in ("sent", "failed", "dropped"):
            family.add_metric((status,), getattr(self._delivery, status))
        yield family


def measure(registry: CollectorRegistry, notifier: Notifier | None) -> None:
    """Register the metric, if there are notifications."""
    if notifier is not None:
        registry.register(NotifyMetrics(notifier))
