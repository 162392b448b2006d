"""`GET /metrics`, in the Prometheus text format or in OpenMetrics, as negotiated with the client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, request
from prometheus_client import ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from werkzeug.http import parse_options_header

from alert_refresh.web.answers import JsonResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text"
VERSION = "1.0.0"
"""The version of OpenMetrics that is supported."""
TEXT = frozenset(("text/plain", "text/*", "*/*"))


@dataclass(frozen=True, slots=True)
class Named(Collector):
    """The metric families of a registry whose name, or the name of one of whose samples, is in `names`.

    The library's restricted registry requires all families in advance; here they depend on the enabled kinds.
    """

    registry: CollectorRegistry
    names: frozenset[str]

    def collect(self) -> Iterable[Metric]:
        for metric in self.registry.collect():
            if not self.names.isdisjoint((metric.name, *(sample.name for sample in metric.samples))):
                yield metric


def build(registry: CollectorRegistry) -> Blueprint:
    """The blueprint that exports `registry`, including the memory, CPU time and open files of the process."""
    # Applies to the whole process: the library has no other way to omit the `_created` series.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types
    ProcessCollector(registry=registry)
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    def metrics() -> JsonResponse:
        """Metrics for Prometheus, as text or OpenMetrics; ?name[]= restricts them."""
        names = frozenset(request.args.getlist("name[]"))
        shown = Named(registry, names) if names else registry
        if wants_openmetrics():
            text = openmetrics.generate_latest(shown)  # type: ignore[no-untyped-call]  # it has no types
            content_type = openmetrics.CONTENT_TYPE_LATEST
        else:
            text, content_type = generate_latest(shown), CONTENT_TYPE
        return JsonResponse(text, content_type=content_type, headers={"Vary": "Accept"})

    return blueprint


def wants_openmetrics() -> bool:
    """Whether the client accepts OpenMetrics, with a quality not below that of the text format.

    The library's `choose_encoder` ignores quality values, and echoes the version that was sent.
    """
    wanted = text = 0.0
    for accepted, quality in request.accept_mimetypes:
        media_type, options = parse_options_header(accepted.lower())
        if media_type == OPENMETRICS and options.get("version", VERSION) == VERSION:
            wanted = max(wanted, quality)
        elif media_type in TEXT:
            text = max(text, quality)
    return wanted > 0 and wanted >= text
