from __future__ import annotations

import math
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from alert_refresh.engine import Fault, Rejected, Transient, WatchHealth
from alert_refresh.targets import KIND
from alert_refresh.targets.counts import LONGEST_LABEL
from alert_refresh.targets.metrics import TargetMetrics
from tests.fakes import START, LivingWatch
from tests.web.world import ADMIN, World, target, targets

ATTEMPT_BUCKETS = ["0.1", "0.5", "1.0", "2.0", "5.0", "10.0", "30.0", "60.0", "+Inf"]
DISCOVERY_BUCKETS = ["0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1.0", "2.0", "5.0", "+Inf"]
API_BUCKETS = ["0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "+Inf"]
STATUSES = {"success", "rate_limited", "in_progress", "not_started", "bad_request", "unauthorized", "error"}

HISTORY = "alert_history_publishing"
CONTRACT = {
    f"{HISTORY}_refresh_total": ("counter", {"status": {"success", "failed"}}),
    f"{HISTORY}_refresh_duration_seconds": ("histogram", {"status": {"success", "failed"}}),
    f"{HISTORY}_refresh_errors_total": ("counter", {"error_type": set(KIND.error_types)}),
    f"{HISTORY}_refresh_last_success_timestamp": ("gauge", {}),
    f"{HISTORY}_refresh_in_progress": ("gauge", {}),
    f"{HISTORY}_refresh_cancelled_total": ("counter", {}),
    f"{HISTORY}_refresh_consecutive_failures": ("gauge", {}),
    f"{HISTORY}_refresh_stale_targets": ("gauge", {}),
    f"{HISTORY}_refresh_snapshot_age_seconds": ("gauge", {}),
    f"{HISTORY}_refresh_generation": ("gauge", {}),
    f"{HISTORY}_refresh_held": ("gauge", {}),
    f"{HISTORY}_refresh_propagation_seconds": ("histogram", {}),
    f"{HISTORY}_discovery_targets_total": (
        "gauge",
        {"type": {"rootly", "pagerduty", "slack", "webhook"}, "enabled": {"true", "false"}},
    ),
    f"{HISTORY}_discovery_duration_seconds": ("histogram", {"operation": {"discover", "parse", "validate"}}),
    f"{HISTORY}_discovery_errors_total": ("counter", {"error_type": {"k8s_api", "parse", "validate"}}),
    f"{HISTORY}_discovery_secrets_total": ("counter", {"status": {"valid", "invalid", "skipped"}}),
    f"{HISTORY}_discovery_last_success_timestamp": ("gauge", {}),
    f"{HISTORY}_target_lookups_total": (
        "counter",
        {"operation": {"get", "list", "get_by_type"}, "status": {"hit", "miss"}},
    ),
    "publishing_refresh_api_requests_total": ("counter", {"status": STATUSES}),
    "publishing_refresh_api_duration_seconds": ("histogram", {"status": STATUSES}),
    "publishing_refresh_api_rate_limit_hits_total": ("counter", {}),
    "alert_refresh_targets_invalid": ("gauge", {}),
    "alert_refresh_target_faulty_omitted": ("gauge", {}),
}
WATCH = {
    f"{HISTORY}_refresh_drift_corrected_total": "counter",
    f"{HISTORY}_refresh_watch_connected": "gauge",
    f"{HISTORY}_refresh_watch_last_proof_of_life_timestamp": "gauge",
    f"{HISTORY}_refresh_watch_reconnects_total": "counter",
    f"{HISTORY}_refresh_watch_relists_total": "counter",
}
BUCKETS = {
    f"{HISTORY}_refresh_duration_seconds": ATTEMPT_BUCKETS,
    f"{HISTORY}_discovery_duration_seconds": DISCOVERY_BUCKETS,
    "publishing_refresh_api_duration_seconds": API_BUCKETS,
}

CONTRACTS_NAMES = {
    f"{HISTORY}_discovery_targets_total",
    "guard_scheduler_refresh_duration_ms",
    "guard_scheduler_last_refresh_timestamp_ms",
}
"""Names that promtool would have otherwise, but that others rely on."""


def promtool() -> str | None:
    """Where promtool is, if anywhere."""
    unpacked = Path(__file__).parents[2] / ".cache/promtool/usr/bin/promtool"
    return str(unpacked) if unpacked.exists() else shutil.which("promtool")


@pytest.mark.parametrize("name", CONTRACT)
def test_every_metric_has_its_name_type_labels_and_a_0_from_the_start(name: str) -> None:
    type_, labels = CONTRACT[name]
    with World() as world:
        text = world.client.get("/metrics").get_data(as_text=True)
    assert f"# TYPE {name} {type_}\n" in text
    suffix = "_count" if type_ == "histogram" else ""
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name + suffix]
    assert len(samples) == math.prod(len(values) for values in labels.values())
    for label, values in labels.items():
        assert {sample.labels[label] for sample in samples} == values
    assert all(set(sample.labels) == set(labels) for sample in samples)
    if name.endswith("snapshot_age_seconds"):
        assert math.isnan(samples[0].value), "an age of 0 would say that it is fresh"
    else:
        assert all(sample.value == 0 for sample in samples)


def test_targets_that_are_off_have_no_series_of_their_own() -> None:
    with World(off=True) as world:
        world.post()
        world.get("")
        text = world.client.get("/metrics").get_data(as_text=True)
        shown = world.metrics()
    assert not [name for name in (*CONTRACT, *WATCH) if name in text]
    assert [name for name in shown if "targets" in name and "/api/" not in name] == [
        'alert_refresh_kind_enabled{kind="targets"}'
    ]
    assert shown['alert_refresh_kind_enabled{kind="targets"}'] == 0


def test_without_a_watch_that_holds_a_connection_there_is_no_series_of_a_watch() -> None:
    with World().start() as world:
        assert not [name for name in world.metrics() if "_watch_" in name or "drift" in name]


@pytest.mark.parametrize("name", WATCH)
def test_a_watch_has_its_series_from_the_start(name: str) -> None:
    with World() as world:
        world.source.make_watches = lambda sink: (LivingWatch(WatchHealth(connected=False)),)
        world.start()
        text = world.client.get("/metrics").get_data(as_text=True)
        assert f"# TYPE {name} {WATCH[name]}\n" in text
        assert world.metrics()[name] == 0


@pytest.mark.parametrize("name", BUCKETS)
def test_histograms_have_these_buckets(name: str) -> None:
    with World() as world:
        keys = [key for key in world.metrics() if key.startswith(f"{name}_bucket")]
    found = [key.split('le="')[1].split('"')[0] for key in keys]
    assert found == BUCKETS[name] * (len(found) // len(BUCKETS[name]))
    assert found


def test_no_series_has_a_created_timestamp() -> None:
    with World() as world:
        assert "_created" not in world.client.get("/metrics").get_data(as_text=True)


def test_the_gauges_tell_what_is_served() -> None:
    stale = target("three", type="webhook", enabled=False, stale_since=START)
    with World(answer=lambda n: targets(target("one"), target("two"), stale, rejected=4)).start() as world:
        world.clock.advance(12.5)
        shown = world.metrics()
    served = {
        key: value for key, value in shown.items() if key.startswith(f"{HISTORY}_discovery_targets_total") and value
    }
    assert served == {
        f'{HISTORY}_discovery_targets_total{{enabled="true",type="slack"}}': 2,
        f'{HISTORY}_discovery_targets_total{{enabled="false",type="webhook"}}': 1,
    }
    assert shown[f"{HISTORY}_refresh_stale_targets"] == 1
    assert shown[f"{HISTORY}_refresh_snapshot_age_seconds"] == 12.5
    assert shown[f"{HISTORY}_refresh_generation"] == START * 1000
    assert shown[f"{HISTORY}_refresh_last_success_timestamp"] == START
    assert shown[f"{HISTORY}_discovery_last_success_timestamp"] == START


def test_gauges_stay_what_they_were_through_a_failing_refresh_and_while_it_runs() -> None:
    names = [f"{HISTORY}_refresh_{name}" for name in ("generation", "last_success_timestamp", "stale_targets")]
    names += [f'{HISTORY}_discovery_targets_total{{enabled="true",type="slack"}}']
    with World().start() as world:
        before = [world.metrics()[name] for name in names]
        begun, release = world.hang()
        world.post()
        assert begun.wait(30)
        assert [world.metrics()[name] for name in names] == before
        assert world.metrics()[f"{HISTORY}_refresh_in_progress"] == 1
        world.fail(Transient("refused", "network"))
        release.set()
        world.attempt_ends()
        assert [world.metrics()[name] for name in names] == before


def test_what_the_source_measured_is_counted_on_each_success() -> None:
    stats = {"discover_seconds": 0.2, "parse_seconds": 0.02, "secrets_valid": 2.0, "secrets_invalid": 1.0}
    with World(answer=lambda n: targets(target("one"), stats=stats)).start() as world:
        world.post("?wait=5s")
        shown = world.metrics()
    assert shown[f'{HISTORY}_discovery_secrets_total{{status="valid"}}'] == 4
    assert shown[f'{HISTORY}_discovery_secrets_total{{status="invalid"}}'] == 2
    assert shown[f'{HISTORY}_discovery_secrets_total{{status="skipped"}}'] == 0
    assert shown[f'{HISTORY}_discovery_errors_total{{error_type="validate"}}'] == 2
    assert shown[f'{HISTORY}_discovery_duration_seconds_sum{{operation="discover"}}'] == 0.4
    assert shown[f'{HISTORY}_discovery_duration_seconds_count{{operation="parse"}}'] == 2
    assert shown[f'{HISTORY}_discovery_duration_seconds_count{{operation="validate"}}'] == 0


@pytest.mark.parametrize(
    ("error_type", "discovery"),
    [(one, "k8s_api") for one in ("network", "timeout", "dns", "tls", "auth", "k8s_api", "too_large")]
    + [("parse", "parse"), ("validate", "validate"), ("storage", None), ("config", None), ("unknown", None)],
)
def test_a_failed_attempt_is_counted_by_its_error_type(error_type: str, discovery: str | None) -> None:
    with World() as world:
        world.fail(Transient("it failed", error_type))
        world.start()
        shown = world.metrics()
    errors = {
        key.split('"')[1] for key, value in shown.items() if key.startswith(f"{HISTORY}_refresh_errors") and value
    }
    found = {
        key.split('"')[1] for key, value in shown.items() if key.startswith(f"{HISTORY}_discovery_errors") and value
    }
    assert errors == {error_type}
    assert found == ({discovery} if discovery else set())
    assert shown[f'{HISTORY}_refresh_total{{status="failed"}}'] == 1
    assert shown[f'{HISTORY}_refresh_duration_seconds_count{{status="failed"}}'] == 1


def test_an_unexpected_error_type_is_unknown() -> None:
    with World() as world:
        world.fail(Transient("it failed", 'made-up"} 1\n'))
        world.start()
        assert world.metrics()[f'{HISTORY}_refresh_errors_total{{error_type="unknown"}}'] == 1


def test_every_post_is_counted_by_how_it_was_answered() -> None:
    with World(environ={"ALERT_REFRESH_ADMIN_TOKEN": ADMIN}) as world:
        world.post(token=ADMIN)
        world.start()
        world.post()
        world.post(token=ADMIN, data=b"x")
        world.post(token=ADMIN, data=b"x" * 2000)
        begun, release = world.hang()
        world.post(token=ADMIN)
        assert begun.wait(30)
        world.post(token=ADMIN)
        release.set()
        world.attempt_ends()
        world.post(token=ADMIN)
        world.client.get("/api/v2/publishing/targets/refresh")
        shown = world.metrics()
    counted = {status: shown[f'publishing_refresh_api_requests_total{{status="{status}"}}'] for status in STATUSES}
    assert counted == dict.fromkeys(STATUSES, 1) | {"bad_request": 2, "error": 0}
    assert shown["publishing_refresh_api_rate_limit_hits_total"] == 1
    assert shown['publishing_refresh_api_duration_seconds_count{status="bad_request"}'] == 2


def test_an_answer_without_its_own_label_counts_as_an_error() -> None:
    registry = CollectorRegistry()
    with World() as world:
        TargetMetrics(registry, {"targets": world.worker}).asked("something new", 0.1)
    assert registry.get_sample_value("publishing_refresh_api_requests_total", {"status": "error"}) == 1


def test_promtool_finds_no_fault_beyond_the_name_that_is_the_contracts() -> None:
    tool = promtool()
    if tool is None:
        pytest.skip("promtool is not here")
    with World().start() as world:
        world.post("?wait=5s")
        text = world.client.get("/metrics").data
    checked = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=30)
    faults = [line for line in checked.stderr.decode().splitlines() if line.split(" ")[0] not in CONTRACTS_NAMES]
    assert faults == []


def test_the_watch_has_gauges_and_counters() -> None:
    health = WatchHealth(True, START + 7, counts={"reconnects": 2, "relists": 3, "drift_corrected": 4})
    with World() as world:
        world.source.make_watches = lambda sink: (LivingWatch(health),)
        world.start()
        shown = world.metrics()
    expected = {
        "watch_connected": 1, "watch_last_proof_of_life_timestamp": START + 7,
        "watch_reconnects_total": 2, "watch_relists_total": 3, "drift_corrected_total": 4,
    }  # fmt: skip
    assert {name: shown[f"{HISTORY}_refresh_{name}"] for name in expected} == expected


def test_what_a_watch_published_is_a_sample_of_propagation() -> None:
    with World().start() as world:
        world.clock.advance(0.03)
        before = world.worker.current()
        assert world.worker.publish(
            replace(targets(target("three")), digest="three"), before, world.clock.monotonic() - 0.02
        )
        shown = world.metrics()
    assert shown[f"{HISTORY}_refresh_propagation_seconds_count"] == 1
    assert shown[f'{HISTORY}_refresh_propagation_seconds_bucket{{le="0.01"}}'] == 0
    assert shown[f'{HISTORY}_refresh_propagation_seconds_bucket{{le="0.025"}}'] == 1
    assert shown[f'{HISTORY}_refresh_total{{status="success"}}'] == 1


FAULTY = "alert_refresh_target_faulty"


def faulty(world: World) -> dict[tuple[str, str, str, str], float]:
    """The series of faulty targets as a parser reads them, by target, namespace, secret and state."""
    text = world.client.get("/metrics").get_data(as_text=True)
    samples = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples if sample.name == FAULTY
    ]
    labels = [sample.labels for sample in samples]
    keys = [(one["target"], one["namespace"], one["secret"], one["state"]) for one in labels]
    found = dict(zip(keys, [sample.value for sample in samples], strict=True))
    assert len(found) == len(samples), "a series appears twice"
    return found


def rejected(**origin: str) -> Rejected:
    return Rejected(origin, (Fault("url", "has no host"),))


def test_what_is_invalid_is_named_by_target_namespace_and_secret() -> None:
    stale = target("three", stale_since=START)
    with World(answer=lambda n: targets(target("one"), stale, rejected=2)).start() as world:
        assert faulty(world) == {
            ("three", "default", "three-secret", "stale"): 1,
            ("", "default", "bad-0", "rejected"): 1,
            ("", "default", "bad-1", "rejected"): 1,
        }
        assert world.metrics()["alert_refresh_targets_invalid"] == 3
        world.source.answer = lambda n: targets(target("one"), target("three"), digest="two")
        world.post("?wait=5s")
        assert faulty(world) == {}
        assert world.metrics()["alert_refresh_targets_invalid"] == 0


def test_a_file_that_holds_no_readable_secret_is_named_where_the_secret_would_be() -> None:
    bad = (rejected(file="bad.yaml"), rejected(file="bad.yaml", document="2"))
    with World(answer=lambda n: replace(targets(), rejected=bad)).start() as world:
        assert set(faulty(world)) == {("", "", "bad.yaml", "rejected"), ("", "", "bad.yaml/2", "rejected")}


@pytest.mark.parametrize(
    "name",
    ['x"} 1\nup 0\n', "back\\slash", "\udc80not-utf-8", "\u202egnirts", "\x00\x1b[31m", "x" * 70_000, "\u2028", ""],
)
def test_h18_a_hostile_name_is_one_bounded_series_that_every_parser_reads(name: str) -> None:
    answer = replace(targets(target("one")), rejected=(rejected(namespace=name, secret=name),))
    with World(answer=lambda n: answer).start() as world:
        ((found, value),) = faulty(world).items()
        assert (value, world.metrics()["alert_refresh_targets_invalid"]) == (1, 1)
    assert found[1] == found[2]
    assert len(found[2]) <= LONGEST_LABEL
    assert found[2].isprintable()


def test_h18_names_that_are_equal_once_cut_are_one_series() -> None:
    bad = tuple(rejected(namespace="default", secret="x" * 1000 + end) for end in "ab")
    with World(answer=lambda n: replace(targets(), rejected=bad)).start() as world:
        assert len(faulty(world)) == 1
        assert world.metrics()[f"{FAULTY}_omitted"] == 0
        assert world.metrics()["alert_refresh_targets_invalid"] == 2


@pytest.mark.parametrize(("stale", "bad", "omitted"), [(0, 100, 0), (0, 101, 1), (3, 100, 3), (150, 10_000, 10_050)])
def test_h18_at_most_100_are_named_and_the_others_are_counted(stale: int, bad: int, omitted: int) -> None:
    items = [target(f"target-{n}", stale_since=START) for n in range(stale)]
    with World(answer=lambda n: targets(*items, rejected=bad)).start() as world:
        found = faulty(world)
        assert len(found) == 100
        assert sum(one[3] == "stale" for one in found) == min(stale, 100), "the stale ones come first"
        assert world.metrics()[f"{FAULTY}_omitted"] == omitted
        assert world.metrics()["alert_refresh_targets_invalid"] == stale + bad
