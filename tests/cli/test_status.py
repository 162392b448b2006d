"""`alert-refresh status` and `healthcheck`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alert_refresh.cli.options import ROUTES
from alert_refresh.cli.status import COUNTS
from alert_refresh.daemon import KINDS
from tests.cli.stub import Stub, answer, by_path, refusal, run

HEALTHY = {
    "status": "healthy",
    "loaded": True,
    "stale": False,
    "last_refresh": "2026-11-26T01:00:03Z",
    "seconds_since_success": 120.4,
    "consecutive_failures": 0,
}
TARGETS = {
    "status": "success",
    "next_refresh": "2026-11-26T01:02:33Z",
    "consecutive_failures": 0,
    "targets_valid": 12,
    "targets_invalid": 0,
    "stale_targets": 0,
    "watch": {"connected": True, "last_proof_of_life": None, "error": None},
    "error": None,
    "held": None,
}
SENTENCE = "Not fresh: targets (1 stale since 2026-11-26 01:00:03 UTC: a\x1b)."
OFF = {"status": "off", "message": "set RULES_FILE"}


def stub(targets: dict[str, Any] | None = None, health: dict[str, Any] | None = None, **more: Any) -> Stub:
    one = HEALTHY | (health or {})
    fields = {"status": one["status"], "kinds": {"targets": one, "rules": OFF}, "stuck": []} | more
    unhealthy = one["status"] == "unhealthy" or fields["stuck"]
    if unhealthy:
        fields |= {"error": "unhealthy", "message": "Unhealthy", "request_id": "x"}
    return Stub(
        by_path(
            {
                "GET /health": answer(fields, 503 if unhealthy else 200),
                "GET /api/v2/publishing/targets/status": answer(TARGETS | (targets or {})),
            }
        )
    )


def why(found: str) -> str:
    return found.splitlines()[-2].partition("12   ")[2].strip()


def test_every_kind_can_be_asked_for_and_has_something_that_counts() -> None:
    assert list(ROUTES) == list(COUNTS) == [kind.name for kind in KINDS]


def test_a_kind_is_a_line_and_one_that_is_off_says_how_to_switch_it_on() -> None:
    with stub() as daemon:
        found = daemon.run("status")
    assert found.output.splitlines() == [
        "KIND      STATE   AGE   NEXT   ITEMS   WHY",
        "targets   fresh   2m    30s    12      -",
        "rules     off     -     -      -       set RULES_FILE",
    ]
    assert found.exit_code == 0
    assert daemon.paths == ["GET /health", "GET /api/v2/publishing/targets/status"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"error": "connection refused", "error_type": "network", "consecutive_failures": 3},
            "network: connection refused (3 in a row)",
        ),
        ({"next_attempt": "2026-11-26T01:02:08Z"}, "next attempt in 5s"),
        (
            {"held": {"proposal": "861f", "since": "2026-11-26T01:01:33Z", "count": 8, "rejected": False}},
            "the removal of 8 is held for 30s, proposal 861f",
        ),
        (
            {"held": {"proposal": "861f", "since": "2026-11-26T01:01:33Z", "count": 8, "rejected": True}},
            "the removal of 8 is rejected for 30s, proposal 861f",
        ),
        ({"breaker_open": True}, "the circuit breaker is open"),
        ({"restored": True, "restored_age_seconds": 7200.0}, "restored after a restart, 2h old"),
        ({"targets_valid": 10, "stale_targets": 2, "targets_invalid": 3}, "2 stale; 1 rejected"),
        ({"missing_targets_count": 1, "views_failed": 1}, "1 missing target; 1 failed"),
        ({"missing_targets_count": 2}, "2 missing targets"),
        ({"undeliverable_count": 2, "undeliverable_rules_count": 1}, "2 undeliverable; 1 undeliverable rule"),
        ({"waiting_for": "rules are not loaded", "overlapping": ["a"]}, "waiting: rules are not loaded; 1 overlapping"),
        ({"watch": {"connected": False, "error": None}}, "the watch is not connected"),
        ({"watch": {"connected": False, "error": "403"}}, "the watch is not connected: 403"),
        ({"error": "a\x1b[2J", "error_type": "x", "consecutive_failures": 1}, "x: a\\x1b[2J (1 in a row)"),
    ],
)
def test_whatever_is_not_as_it_should_be_is_told(fields: dict[str, Any], said: str) -> None:
    with stub(fields) as daemon:
        found = daemon.run("status")
    assert (why(found.output), found.exit_code) == (said, 0), "the health decides, not the reasons"


@pytest.mark.parametrize(
    ("health", "said"),
    [
        ({"status": "degraded", "stale": True}, "no refresh for too long"),
        ({"status": "unhealthy", "stale": True, "loaded": False}, "nothing is loaded yet"),
    ],
)
def test_a_kind_that_is_not_healthy_is_a_1(health: dict[str, Any], said: str) -> None:
    with stub(health=health) as daemon:
        found = daemon.run("status")
        one = daemon.run("status", "targets")
        other = daemon.run("status", "rules")
    assert (why(found.output), found.exit_code, one.exit_code) == (said, 1, 1)
    assert health["status"] in found.output.splitlines()[1]
    assert other.exit_code == 3, "there is no such route here"


def test_of_alertmanager_the_receivers_count_and_each_instance_is_a_line() -> None:
    instances = [{"url": f"a:{port}", "version": "0.25.0", "in_sync": True, "error": None} for port in (1, 2)]
    fields = {"status": "success", "receivers": 3, "routes": 9, "undeliverable": [], "instances": instances}
    health = {"status": "healthy", "kinds": {"alertmanager": HEALTHY}, "stuck": []}
    answers = {"GET /health": answer(health), "GET /api/v2/alertmanager/status": answer(fields)}
    with Stub(by_path(answers)) as daemon:
        assert daemon.run("status").output.splitlines()[1] == "alertmanager   fresh   2m    -      3       -"
        found = daemon.run("status", "alertmanager").output.splitlines()
    assert found[-2:] == [
        'instances:     {"url": "a:1", "version": "0.25.0", "in_sync": true, "error": null}',
        '               {"url": "a:2", "version": "0.25.0", "in_sync": true, "error": null}',
    ]


def test_the_sentence_of_the_daemon_comes_first() -> None:
    with stub(summary=SENTENCE) as daemon:
        found = daemon.run("status").output.splitlines()
        as_json = json.loads(daemon.run("status", "-o", "json").output)
    assert found[:2] == ["Not fresh: targets (1 stale since 2026-11-26 01:00:03 UTC: a\\x1b).", ""]
    assert found[2].startswith("KIND") and as_json["summary"] == SENTENCE


@pytest.mark.parametrize(
    ("fields", "health", "state"),
    [
        ({}, {}, "fresh"),
        ({"stale_targets": 1, "targets_valid": 11, "targets_invalid": 2}, {}, "stale"),
        ({"views_failed": 1}, {}, "stale"),
        ({"consecutive_failures": 1}, {}, "stale"),
        ({"restored": True}, {}, "stale"),
        ({"held": {"proposal": "861f", "since": "x", "count": 8, "rejected": False}}, {}, "stale"),
        ({"targets_invalid": 1}, {}, "rejected"),
        ({"undeliverable_count": 1}, {}, "rejected"),
        ({"undeliverable_rules_count": 1}, {}, "rejected"),
        ({"missing_targets_count": 1}, {}, "fresh"),
        ({}, {"loaded": False}, "loading"),
        ({"waiting_for": "rules are not loaded"}, {}, "loading"),
        ({"stale_targets": 1, "targets_valid": 11}, {"status": "degraded"}, "degraded"),
    ],
)
def test_a_kind_is_called_fresh_only_if_all_of_it_is(
    fields: dict[str, Any], health: dict[str, Any], state: str
) -> None:
    with stub(fields, health) as daemon:
        found = daemon.run("status")
    assert found.output.splitlines()[1].split()[1] == state
    assert found.exit_code == (state == "degraded"), "the health decides"


def test_a_thread_that_is_stuck_is_a_1_and_named() -> None:
    with stub(stuck=["targets-worker"]) as daemon:
        found = daemon.run("status")
    assert found.exit_code == 1 and found.output.endswith("STUCK\ntargets-worker\n")


def test_json_has_health_and_status_of_each_kind() -> None:
    with stub() as daemon:
        found = json.loads(daemon.run("status", "--json").output)
        one = json.loads(daemon.run("status", "targets", "-o", "json").output)
    assert found == {
        "status": "healthy",
        "stuck": [],
        "summary": None,
        "kinds": {"targets": {"health": HEALTHY, "status": TARGETS}, "rules": {"health": OFF, "status": {}}},
    }
    assert one == TARGETS


def test_one_kind_is_told_in_full_with_how_long_ago_times_were() -> None:
    held = {"proposal": "861f", "since": "2026-11-26T01:01:33Z", "names": ["a", "b"]} | {
        "count": 2,
        "rejected": False,
    }
    with stub({"held": held, "dangling_targets": [], "name": "\x1b"}) as daemon:
        found = daemon.run("status", "targets")
    lines = dict(line.split(":", 1) for line in found.output.splitlines() if ":" in line)
    assert lines["next_refresh"].strip() == "2026-11-26T01:02:33Z (in 30s)"
    assert lines["held.since"].strip() == "2026-11-26T01:01:33Z (30s ago)"
    assert lines["held.names"].strip() == "a" and "\n                          b\n" in found.output
    assert (lines["dangling_targets"].strip(), lines["name"].strip()) == ("-", "\\x1b")
    assert found.exit_code == 0


def test_a_kind_that_this_program_does_not_know_and_one_without_a_status_are_shown_by_their_health() -> None:
    fields = {"status": "healthy", "kinds": {"weather": HEALTHY, "views": HEALTHY}, "stuck": []}
    with Stub(by_path({"GET /health": answer(fields)})) as daemon:
        found = daemon.run("status")
    assert found.output.splitlines()[1:] == [
        "weather   fresh   2m    -      -       -",
        "views     fresh   2m    -      -       -",
    ]
    with Stub(lambda _: refusal(500, "internal_error")) as daemon:
        assert daemon.run("status").exit_code == 1


def test_a_health_check_is_0_or_1_and_no_other() -> None:
    good = by_path({"GET /healthz": answer({"status": "ok"}), "GET /readyz": answer({"status": "ready"})})
    with Stub(good) as daemon:
        assert [daemon.run("healthcheck", *more).output for more in ((), ("--ready",))] == ["ok\n", "ready\n"]
    assert daemon.paths == ["GET /healthz", "GET /healthz", "GET /readyz"]
    for other in ({}, {"status": "up"}, {"status": "ok", "db": 1}):
        with Stub(lambda _, other=other: answer(other)) as daemon:  # type: ignore[misc]
            found = daemon.run("healthcheck")
        assert found.exit_code == 1 and "which is not alert-refresh" in found.stderr
    with Stub(lambda _: refusal(503, "stuck", "No progress: x")) as daemon:
        found = daemon.run("healthcheck")
    assert (found.exit_code, found.stderr) == (1, "Error: No progress: x\n")
    waiting = by_path(
        {"GET /healthz": answer({"status": "ok"}), "GET /readyz": refusal(503, "not_ready", "Not loaded")}
    )
    with Stub(waiting) as daemon:
        assert (daemon.run("healthcheck").exit_code, daemon.run("healthcheck", "--ready").exit_code) == (0, 1)
    for url in ("http://127.0.0.1:1", "nonsense"):
        assert run("healthcheck", ALERT_REFRESH_URL=url).exit_code == 1
    assert run("healthcheck", "--nonsense").exit_code == 1
