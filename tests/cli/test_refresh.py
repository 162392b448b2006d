"""`alert-refresh refresh`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alert_refresh.cli.remote import client as module
from tests.cli.stub import REQUEST_ID, Asked, Stub, answer, refusal

ACCEPTED = answer(
    {"message": "Refresh triggered", "request_id": REQUEST_ID, "refresh_started_at": "2026-11-26T01:02:03Z"}, 202
)
RECORD: dict[str, Any] = {
    "request_id": REQUEST_ID,
    "kind": "targets",
    "result": "success",
    "attempts": 1,
    "duration_ms": 12,
    "error": None,
    "error_type": None,
    "items": 3,
    "rejected": 1,
    "changed": True,
    "difference": {
        "added": ["a"],
        "removed": ["c"],
        "changed": [{"name": "b", "fields": ["url", "headers"]}],
        "added_count": 1,
        "removed_count": 1,
        "changed_count": 4,
    },
}
FAILED = {"error": "connection refused", "error_type": "network", "difference": None}


class Daemon(Stub):
    """Answers POSTs and the GETs of a refresh from two lists, the last of each again and again."""

    def __init__(self, posts: list[bytes], records: list[Any] = [RECORD], health: Any = None) -> None:  # noqa: B006
        self.posts, self.records = list(posts), list(records)
        self.health = health or {"kinds": {}, "status": "healthy", "stuck": []}
        super().__init__(self.script)

    def script(self, asked: Asked) -> bytes:
        if asked.path == "/health":
            return answer(self.health)
        left = self.posts if asked.method == "POST" else self.records
        found = left.pop(0) if len(left) > 1 else left[0]
        return found if isinstance(found, bytes) else answer(found)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(module, "pause", found.append)
    return found


def test_without_wait_it_ends_as_soon_as_it_is_accepted() -> None:
    with Daemon([ACCEPTED]) as daemon:
        found = daemon.run("refresh", "targets")
        as_json = daemon.run("refresh", "targets", "--json")
    assert (found.output, found.exit_code) == (f"targets: refresh accepted, request {REQUEST_ID}\n", 0)
    assert json.loads(as_json.output)["refreshes"] == [
        {"kind": "targets", **json.loads(ACCEPTED.split(b"\r\n\r\n")[1])}
    ]
    assert daemon.paths == ["POST /api/v2/publishing/targets/refresh"] * 2


def test_with_wait_it_says_what_came_of_it_and_what_changed() -> None:
    with Daemon([ACCEPTED]) as daemon:
        found = daemon.run("refresh", "targets", "--wait", "--timeout", "1m")
    assert found.output.splitlines() == [
        "targets: success in 12 ms: 3 items, 1 rejected, changed",
        "  + a",
        "  ~ b: url, headers",
        "  - c",
        "  and 3 more",
    ]
    assert found.exit_code == 0
    assert daemon.paths[1:] == [f"GET /api/v2/refreshes/{REQUEST_ID}?wait=15s"]


@pytest.mark.parametrize(
    ("result", "status", "said"),
    [
        ("failed", 1, "targets: failed (network): connection refused"),
        ("superseded", 1, "targets: superseded (network): connection refused"),
        ("cancelled", 6, "targets: cancelled (network): connection refused"),
    ],
)
def test_what_did_not_work_is_told_with_its_cause(result: str, status: int, said: str) -> None:
    with Daemon([ACCEPTED], [RECORD | FAILED | {"result": result}]) as daemon:
        found = daemon.run("refresh", "targets", "-w")
        as_json = daemon.run("refresh", "targets", "-w", "-o", "json")
    assert (found.output, found.exit_code) == (f"{said}\n", status)
    assert json.loads(as_json.output)["refreshes"][0]["result"] == result and as_json.exit_code == status


def test_held_removals_are_a_success() -> None:
    with Daemon([ACCEPTED], [RECORD | {"result": "held"}]) as daemon:
        found = daemon.run("refresh", "targets", "--wait")
    assert found.exit_code == 0 and found.output.startswith("targets: held in 12 ms")


def test_each_attempt_that_failed_is_told_once_while_it_waits(pauses: list[float]) -> None:
    retrying = RECORD | FAILED | {"result": "retrying"}
    running = RECORD | {"result": "running", "attempts": 0}
    records = [
        running,
        retrying,
        retrying,
        refusal(503, "too_many_streams", Retry_After="5"),
        retrying | {"attempts": 2},
    ]
    with Daemon([ACCEPTED], [*records, RECORD]) as daemon:
        found = daemon.run("refresh", "targets", "--wait")
    assert found.exit_code == 0 and pauses == [5.0]
    assert found.stderr.splitlines() == [
        f"targets: attempt {number} failed (network): connection refused; retrying" for number in (1, 2)
    ]


@pytest.mark.parametrize(("result", "status"), [("retrying", 1), ("running", 6), ("queued", 6)])
def test_what_is_not_over_in_time_is_told_as_it_is(result: str, status: int) -> None:
    record = RECORD | {"result": result, "difference": None} | (FAILED if result == "retrying" else {})
    with Daemon([ACCEPTED], [record]) as daemon:
        found = daemon.run("refresh", "targets", "--wait", "--timeout", "0")
    assert found.exit_code == status and f"targets: {result}" in found.stdout
    assert daemon.paths[1].endswith("?wait=1s")


def test_with_wait_it_waits_for_its_turn_too(pauses: list[float]) -> None:
    busy = refusal(503, "refresh_in_progress", "Target refresh already running", Retry_After="3")
    limited = refusal(429, "rate_limit_exceeded", "Max 1 refresh per minute", Retry_After="42")
    with Daemon([busy, limited, ACCEPTED]) as daemon:
        found = daemon.run("refresh", "targets", "--wait")
    assert found.exit_code == 0 and pauses == [3.0, 42.0]
    assert found.stderr.splitlines() == [
        "targets: Target refresh already running; trying again in 3 s",
        "targets: Max 1 refresh per minute; trying again in 42 s",
    ]
    for more in ((), ("--wait", "--timeout", "41s")):
        with Daemon([limited]) as daemon:
            found = daemon.run("refresh", "targets", *more)
        assert found.exit_code == 6 and found.stdout == "" and len(daemon.paths) == 1
        assert found.stderr == "targets: Max 1 refresh per minute; try again in 42 s\n"
    with Daemon([refusal(503, "manager_not_started", "It is off")]) as daemon:
        found = daemon.run("refresh", "targets", "--wait")
        as_json = daemon.run("refresh", "targets", "--wait", "--json")
    assert (found.exit_code, found.stderr) == (6, "targets: It is off\n")
    [one] = json.loads(as_json.output)["refreshes"]
    assert (one["kind"], one["error"], one["retry_after_seconds"]) == ("targets", "manager_not_started", None)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("targets", "a b"), "/api/v2/publishing/targets/a%20b/refresh"),
        (("rules", "paging"), "/api/v2/rules/refresh?family=paging"),
        (("views", 'public."v 1"'), "/api/v2/views/refresh?view=public.%22v+1%22"),
    ],
)
def test_a_part_of_a_kind_is_named(arguments: tuple[str, ...], path: str) -> None:
    with Daemon([ACCEPTED]) as daemon:
        assert daemon.run("refresh", *arguments).exit_code == 0
    assert daemon.paths == [f"POST {path}"]


def test_alertmanager_is_refreshed_as_a_whole() -> None:
    with Daemon([ACCEPTED]) as daemon:
        assert daemon.run("refresh", "alertmanager").exit_code == 0
        found = daemon.run("refresh", "alertmanager", "team-a")
    assert daemon.paths == ["POST /api/v2/alertmanager/refresh"]
    assert found.exit_code == 2 and "A part of alertmanager cannot be refreshed alone." in found.stderr


def test_without_a_kind_all_that_are_on_are_refreshed_and_the_worst_counts() -> None:
    kinds = {"targets": {"status": "healthy"}, "views": {"status": "unhealthy"}, "rules": {"status": "off"}}
    health = {"kinds": kinds, "status": "healthy", "stuck": []}
    with Daemon([refusal(429, "rate_limit_exceeded", "Max 1"), ACCEPTED], health=health) as daemon:
        found = daemon.run("refresh")
    assert daemon.paths[1:] == ["POST /api/v2/publishing/targets/refresh", "POST /api/v2/views/refresh"]
    assert (found.stdout, found.exit_code) == (f"views: refresh accepted, request {REQUEST_ID}\n", 6)
    records = [RECORD | FAILED | {"result": "failed"}]
    with Daemon([refusal(429, "rate_limit_exceeded", "Max 1"), ACCEPTED], records, health) as daemon:
        assert daemon.run("refresh", "--wait").exit_code == 1
    with Daemon([ACCEPTED]) as daemon:
        found = daemon.run("refresh")
    assert (found.exit_code, found.stderr) == (1, "Error: No kind is on: nothing is configured to be refreshed\n")


def test_what_is_refused_for_good_ends_it() -> None:
    with Daemon([refusal(404, "not_found", "There is no target of this name")]) as daemon:
        found = daemon.run("refresh", "targets", "x", "--wait")
    assert (found.exit_code, found.stderr) == (5, "Error: There is no target of this name\n")


@pytest.mark.parametrize("timeout", ["5", "soon", "-1s"])
def test_a_timeout_is_a_duration(timeout: str) -> None:
    with Daemon([ACCEPTED]) as daemon:
        found = daemon.run("refresh", "targets", "--wait", "--timeout", timeout)
    assert found.exit_code == 2 and "it is not a duration such as 30s" in found.stderr and daemon.paths == []
