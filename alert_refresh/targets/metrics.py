"""The targets' Prometheus metrics. See `observe.metrics` for what is read when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from alert_refresh.engine import Result
from alert_refresh.observe.metrics import known, snapshot_age
from alert_refresh.targets import KIND
from alert_refresh.targets.counts import MAX_FAULTY, CachedCounts, Faulty, undeliverable
from alert_refresh.targets.secret.fields import TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prometheus_client.core import Metric

    from alert_refresh.engine import Outcome, Publication, Status, WatchHealth, Worker
    from alert_refresh.targets.counts import Counts
    from alert_refresh.targets.target import Target

REFRESH = "alert_history_publishing_refresh"
DISCOVERY = "alert_history_publishing_discovery"
API = "publishing_refresh_api"

OPERATIONS = ("discover", "parse", "validate")
SECRETS = ("valid", "invalid", "skipped")
DISCOVERY_ERRORS = {"parse": "parse", "validate": "validate"} | dict.fromkeys(
    ("network", "timeout", "dns", "tls", "auth", "k8s_api", "too_large"), "k8s_api"
)
"""The discovery error of a failed attempt, by its error type; other error types are no discovery errors."""
API_STATUS = {
    "accepted": "success",
    "rate_limit_exceeded": "rate_limited",
    "refresh_in_progress": "in_progress",
    "manager_not_started": "not_started",
    "invalid_request": "bad_request",
    "payload_too_large": "bad_request",
    "not_found": "bad_request",
    "unauthorized": "unauthorized",
    "forbidden": "unauthorized",
    "internal_error": "error",
}
"""How a POST was answered, as a label."""

WATCH_COUNTS = {
    "drift_corrected": "Secrets that a list corrected and for which no event of the watch arrived in time.",
    "watch_reconnects": "Watches that broke or were refused and were tried again from where they ended.",
    "watch_relists": "Lists that were requested because a watch may have lost events.",
}

DISCOVERY_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5)
API_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
PROPAGATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class TargetMetrics(Collector):
    """Registers the metrics of the targets' worker in `registry` (none without a worker) and listens to the worker."""

    def __init__(self, registry: CollectorRegistry, workers: Mapping[str, Worker[Any]]) -> None:
        worker: Worker[Target] | None = workers.get("targets")
        if worker is None:
            registry = CollectorRegistry()
        self._worker = worker
        self._others = [other for name, other in workers.items() if name != "targets"]
        self._counted = CachedCounts()

        self._count_refreshes(registry)
        self._count_discoveries(registry)
        self._count_requests(registry)
        if worker is not None:
            worker.listen(self)
            worker.listen_publish(self._propagated)
            registry.register(self)

    def _count_refreshes(self, registry: CollectorRegistry) -> None:
        self._errors = _counter(
            registry, f"{REFRESH}_errors_total", "Failed attempts by type of error.", ("error_type", KIND.error_types)
        )
        self._durations = _histogram(
            registry,
            f"{REFRESH}_duration_seconds",
            "Duration of attempts.",
            KIND.buckets,
            "status",
            "success",
            "failed",
        )
        self.propagation = Histogram(
            f"{REFRESH}_propagation_seconds",
            "From a change being seen to its being served.",
            buckets=PROPAGATION_BUCKETS,
            registry=registry,
        )

    def _count_discoveries(self, registry: CollectorRegistry) -> None:
        self._operations = _histogram(
            registry,
            f"{DISCOVERY}_duration_seconds",
            "Duration of the parts of a discovery.",
            DISCOVERY_BUCKETS,
            "operation",
            *OPERATIONS,
        )
        self._discovery_errors = _counter(
            registry,
            f"{DISCOVERY}_errors_total",
            "Discoveries that failed, and Secrets that were not valid.",
            ("error_type", ("k8s_api", "parse", "validate")),
        )
        self._secrets = _counter(
            registry, f"{DISCOVERY}_secrets_total", "Secrets that were looked at.", ("status", SECRETS)
        )

    def _count_requests(self, registry: CollectorRegistry) -> None:
        self._lookups = _counter(
            registry,
            "alert_history_publishing_target_lookups_total",
            "Queries for targets, and whether any was found.",
            ("operation", ("get", "list", "get_by_type")),
            ("status", ("hit", "miss")),
        )
        statuses = sorted(set(API_STATUS.values()))
        self._requests = _counter(
            registry, f"{API}_requests_total", "Refreshes asked for over HTTP.", ("status", statuses)
        )
        self._request_durations = _histogram(
            registry,
            f"{API}_duration_seconds",
            "Time to accept or refuse a refresh asked for over HTTP.",
            API_BUCKETS,
            "status",
            *statuses,
        )
        self._limited = _counter(registry, f"{API}_rate_limit_hits_total", "Refreshes refused by the rate limit.")

    def __call__(self, outcome: Outcome) -> None:
        """Count one attempt that ended."""
        if outcome.result is Result.CANCELLED:
            return
        self._durations.labels(outcome.result.value).observe(outcome.duration)
        if outcome.result is Result.SUCCESS:
            self._discovered()
        else:
            self._errors.labels(known(KIND, outcome.error_type)).inc()
            if outcome.error_type in DISCOVERY_ERRORS:
                self._discovery_errors.labels(DISCOVERY_ERRORS[outcome.error_type]).inc()

    def _propagated(self, published: Publication) -> None:
        if published.seconds is not None:
            self.propagation.observe(published.seconds)

    def asked(self, result: str, seconds: float) -> None:
        """Count a POST by how it was answered: `accepted` or an error code."""
        status = API_STATUS.get(result, "error")
        self._requests.labels(status).inc()
        self._request_durations.labels(status).observe(seconds)
        if status == "rate_limited":
            self._limited.inc()

    def looked_up(self, operation: str, *, hit: bool) -> None:
        """Count a query for targets: `get`, `list` or `get_by_type`."""
        self._lookups.labels(operation, "hit" if hit else "miss").inc()

    def collect(self) -> Iterable[Metric]:
        """Everything that is read at scrape time, all of it from one status."""
        assert self._worker is not None
        status = self._worker.get_status()
        counts = self._counted(status.snapshot)
        attempts = CounterMetricFamily(f"{REFRESH}_total", "Attempts that succeeded or failed.", labels=("status",))
        attempts.add_metric(("success",), status.succeeded)
        attempts.add_metric(("failed",), status.failed)
        yield attempts
        cancelled = "Attempts that were ended by a stop."
        yield CounterMetricFamily(f"{REFRESH}_cancelled_total", cancelled, value=status.cancelled)
        targets = GaugeMetricFamily(f"{DISCOVERY}_targets_total", "Targets served now.", labels=("type", "enabled"))
        for kind in TYPES:
            for enabled in (True, False):
                targets.add_metric((kind, str(enabled).lower()), counts.by_type.get((kind, enabled), 0))
        yield targets
        others = [other.get_status().snapshot for other in self._others]
        yield from _invalid(counts, undeliverable(status.snapshot, others))
        if (health := self._worker.watch_health()) is not None:
            yield from _watching(health)
        yield from self._gauges(self._worker, status, counts)

    def _gauges(self, worker: Worker[Target], status: Status[Target], counts: Counts) -> Iterable[Metric]:
        """What has no labels."""
        age = snapshot_age(worker, status)
        last_success = "Unix time of the last successful refresh, 0 before the first."
        generation = status.snapshot.generation if status.snapshot else 0
        for name, help_text, value in (
            (f"{REFRESH}_last_success_timestamp", last_success, status.last_success_at or 0),
            (f"{DISCOVERY}_last_success_timestamp", last_success, status.last_success_at or 0),
            (f"{REFRESH}_in_progress", "1 while an attempt executes.", status.in_progress),
            (f"{REFRESH}_consecutive_failures", "Failed attempts since the last success.", status.consecutive_failures),
            (f"{REFRESH}_stale_targets", "Targets served in their last valid version.", counts.stale),
            (f"{REFRESH}_snapshot_age_seconds", "Time since the last success, NaN before the first.", age),
            (f"{REFRESH}_generation", "Generation that is served, 0 before the first.", generation),
            (
                f"{REFRESH}_held",
                "1 while removals are held.",
                status.hold is not None,
            ),
        ):
            yield GaugeMetricFamily(name, help_text, value=value)

    def _discovered(self) -> None:
        """Count what the source measured during the attempt that just succeeded."""
        assert self._worker is not None
        good = self._worker.get_status().last_good
        stats = {} if good is None else good.stats
        for operation in OPERATIONS:
            if (seconds := stats.get(f"{operation}_seconds")) is not None:
                self._operations.labels(operation).observe(seconds)
        for status in SECRETS:
            self._secrets.labels(status).inc(stats.get(f"secrets_{status}", 0))
        self._discovery_errors.labels("validate").inc(stats.get("secrets_invalid", 0))


def _invalid(counts: Counts, refused: Sequence[Faulty]) -> Iterable[Metric]:
    """What is invalid now: how much, and the first of it by name, with what is `refused` later."""
    yield GaugeMetricFamily(
        "alert_refresh_targets_invalid", "Stale targets and rejected Secrets now.", value=counts.invalid
    )
    faulty = GaugeMetricFamily(
        "alert_refresh_target_faulty",
        "1 for each stale or undeliverable target and each rejected Secret.",
        labels=Faulty._fields,
    )
    together = (*counts.faulty, *refused)
    for one in together[:MAX_FAULTY]:
        faulty.add_metric(one, 1)
    yield faulty
    omitted = "Stale or undeliverable targets and rejected Secrets that alert_refresh_target_faulty does not name."
    beyond = counts.omitted + max(0, len(together) - MAX_FAULTY)
    yield GaugeMetricFamily("alert_refresh_target_faulty_omitted", omitted, value=beyond)


def _watching(health: WatchHealth) -> Iterable[Metric]:
    """The health of the watches."""
    for name, help_text in WATCH_COUNTS.items():
        count = health.counts.get(name.removeprefix("watch_"), 0)
        yield CounterMetricFamily(f"{REFRESH}_{name}", help_text, value=count)
    connected = "1 while every watch is connected."
    yield GaugeMetricFamily(f"{REFRESH}_watch_connected", connected, value=health.connected)
    proof = "Unix time at which the watch that has been silent the longest received something, 0 before the first."
    name = f"{REFRESH}_watch_last_proof_of_life_timestamp"
    yield GaugeMetricFamily(name, proof, value=health.last_proof_of_life or 0)


def _counter(registry: CollectorRegistry, name: str, help_text: str, *labels: tuple[str, Iterable[str]]) -> Counter:
    """A counter with 0 for every combination of these label values."""
    metric = Counter(name, help_text, [label for label, _ in labels], registry=registry)
    _fill(metric, [list(values) for _, values in labels])
    return metric


def _histogram(
    registry: CollectorRegistry, name: str, help_text: str, buckets: tuple[float, ...], label: str, *values: str
) -> Histogram:
    """A histogram with a series for each of these label values."""
    metric = Histogram(name, help_text, [label], buckets=buckets, registry=registry)
    _fill(metric, [values])
    return metric


def _fill(metric: Counter | Histogram, values: list[Iterable[str]]) -> None:
    """Initialize every combination of label values, so that each series exists with 0 from the start."""
    combinations: list[tuple[str, ...]] = [()]
    for options in values:
        combinations = [(*head, value) for head in combinations for value in options]
    for labels in combinations if values else ():
        metric.labels(*labels)
