"""`GET /metrics`, in the Prometheus text format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint
from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from alert_refresh.web.answers import JsonResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class WithoutCreated(Collector):
    """A registry without the `_created` series that the library adds to every counter and histogram."""

    registry: CollectorRegistry

    def collect(self) -> Iterable[Metric]:
        for metric in self.registry.collect():
            shown = Metric(metric.name, metric.documentation, metric.type)
            shown.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield shown


def build(registry: CollectorRegistry) -> Blueprint:
    """The blueprint that shows `registry`, and the process's own memory, time and files."""
    ProcessCollector(registry=registry)
    shown = WithoutCreated(registry)
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    def metrics() -> JsonResponse:
        return JsonResponse(generate_latest(shown), content_type=CONTENT_TYPE)

    return blueprint
