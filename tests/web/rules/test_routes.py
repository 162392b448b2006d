from __future__ import annotations

import json
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from alert_refresh.engine import RefreshSettings, Snapshot, Worker
from alert_refresh.rules.forms import warm_file
from alert_refresh.targets import KIND as TARGETS
from tests.fakes import START, FakeSource
from tests.rules.examples import packed, rule, rules
from tests.rules.world import World
from tests.stage import HANG_GUARD, eventually
from tests.web.world import ADMIN, target, targets
from tests.web.world import TARGETS as TARGETS_PATH


def with_targets(world: World, snapshot: Snapshot[Any]) -> World:
    """Add a targets worker that serves these."""
    worker: Worker[Any] = Worker(TARGETS, FakeSource(lambda n: snapshot), RefreshSettings(), clock=world.clock)
    world.daemon.workers["targets"] = worker
    del world.daemon.off["targets"]
    return world


def test_before_the_first_load_the_status_is_idle_and_last_refresh_null(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        assert world.get("/status").json == {
            "status": "idle",
            "last_refresh": None,
            "next_refresh": None,
            "refresh_duration_ms": 0,
            "rules_loaded": 0,
            "families": {},
            "hot_cache": None,
            "dangling_targets": [],
            "dangling_targets_count": 0,
            "missing_targets": [],
            "missing_targets_count": 0,
            "consecutive_failures": 0,
            "error": None,
            "error_type": None,
            "last_manual_refresh": None,
            "generation": None,
            "source": "file",
            "restored": False,
            "restored_age_seconds": None,
            "held": None,
            "breaker_open": False,
            "attempt": None,
            "next_attempt": None,
        }


def test_after_a_load_the_status_counts_rules_families_and_the_cache(tmp_path: Path) -> None:
    with World(tmp_path, packed(12)).start() as world:
        world.get("/rule-000001")
        world.get("/nothing")
        status = world.get("/status").json
        assert status["status"] == "success" and status["last_refresh"] == "2023-11-14T22:13:20Z"
        assert status["next_refresh"] == "2023-11-14T22:13:50Z" and status["rules_loaded"] == 12
        assert status["families"] == {f"family-{n}": 2 if n < 2 else 1 for n in range(10)}
        assert status["hot_cache"] == {"size": 12, "capacity": 10_000, "hits": 1, "misses": 1, "evictions": 0}


def test_a_failure_keeps_last_refresh_and_the_rules(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        world.clock.advance(10)
        world.put(b"{}")
        status = world.get("/status").json
        assert status["status"] == "failed"
        assert status["error"].startswith("the rules file holds no list of rules: ")
        assert (status["error_type"], status["consecutive_failures"]) == ("parse", 1)
        assert status["last_refresh"] == "2023-11-14T22:13:20Z" and len(world.get().json["rules"]) == 10


def test_rules_that_are_off_say_how_to_switch_them_on(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.daemon.off["rules"] = "set RULES_FILE"
        del world.daemon.workers["rules"]
        response = world.get("/status")
        assert response.status_code == 200
        assert response.json == {"status": "off", "message": "Rules are off: set RULES_FILE"}
        for answer in (world.post("/refresh"), world.post("/match", json={"labels": {}}), world.get(), world.get("/x")):
            assert answer.status_code == 503 and "set RULES_FILE" in answer.json["message"]


def test_a_post_is_accepted_and_then_limited(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        accepted = world.post("/refresh")
        assert accepted.status_code == 202
        assert accepted.json["message"] == "Refresh triggered" and accepted.json["request_id"]
        world.attempt_ends()
        limited = world.post("/refresh")
        assert limited.status_code == 429 and limited.json["message"] == "Max 1 refresh per second"
        world.clock.advance(1)
        assert world.post("/refresh").status_code == 202
        world.attempt_ends()


def test_a_post_during_a_load_is_refused_and_a_file_trigger_is_kept(tmp_path: Path) -> None:
    with World(tmp_path, b"[]") as world:
        refresh, calls = world.worker.source.refresh, []
        release = threading.Event()

        def held(*arguments: Any) -> Any:
            calls.append(arguments)
            assert release.wait(30)
            return refresh(*arguments)

        source: Any = world.worker.source
        source.refresh = held
        world.daemon.start()
        eventually(lambda: calls)
        busy = world.post("/refresh")
        assert busy.status_code == 503 and busy.json["error"] == "refresh_in_progress"
        for word in ("two", "three"):
            world.rename_in(packed(3, word=word))
        eventually(lambda: world.status.pending is not None, "the file trigger")
        release.set()
        world.attempt_ends()
        world.attempt_ends()
        eventually(lambda: world.word == "three", "the last version")
        assert len(calls) in (2, 3), "the event of the last one may come when the load that was kept has begun"


def test_a_family_can_be_refreshed_alone(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        world.read_from(tmp_path / "elsewhere", packed(10, word="two"))
        answer = world.post("/refresh?family=family-4&wait=5s")
        world.attempt_ends()
        assert answer.status_code == 200 and answer.json["changed"]
        words = {one["id"]: one["description"] for one in world.get().json["rules"]}
        assert [name for name, word in words.items() if word == "two"] == ["rule-000004"]


@pytest.mark.parametrize("query", ["family=", "family=a/b", "family=a&family=b", "family=a%0a"])
def test_a_family_that_cannot_be_one_is_a_400(tmp_path: Path, query: str) -> None:
    with World(tmp_path).start() as world:
        assert world.post(f"/refresh?{query}").status_code == 400
        assert world.get(f"?{query}").status_code == 400


def test_the_list_can_be_narrowed_to_a_family(tmp_path: Path) -> None:
    with World(tmp_path, packed(12)).start() as world:
        everything = world.get().json
        assert everything["generation"] == int(START * 1000) and len(everything["rules"]) == 12
        assert [one["id"] for one in world.get("?family=family-1").json["rules"]] == ["rule-000001", "rule-000011"]
        assert world.get("?family=none").json["rules"] == []


def test_one_rule_by_id(tmp_path: Path) -> None:
    full = rule("db:down", 'severity="critical"', 'team=~"db|sql"', family="db", priority=3, targets=("slack",))
    with World(tmp_path, warm_file.pack([full])).start() as world:
        assert world.get("/db:down").json == {
            "id": "db:down",
            "family": "db",
            "enabled": True,
            "priority": 3,
            "match": ['severity="critical"', 'team=~"db|sql"'],
            "targets": ["slack"],
            "description": "",
            "annotations": {},
        }
        assert world.get("/nothing").status_code == 404


def test_routes_are_not_ids(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        assert world.get("/refresh").status_code == world.get("/match").status_code == 405
        assert world.client.delete("/api/v2/rules/status").status_code == 405


def test_a_match_names_rules_and_the_targets_they_lead_to_a_stale_one_included(tmp_path: Path) -> None:
    found = [
        rule("critical", 'severity="critical"', priority=1, targets=("pager", "slack")),
        rule("all", targets=("slack", "old", "off", "gone")),
        rule("other", 'severity="info"', targets=("never",)),
    ]
    served = targets(
        target("pager", type="pagerduty", format="pagerduty"),
        target("slack"),
        target("old", stale_since=START - 60),
        target("off", enabled=False, stale_since=START - 60),
    )
    with with_targets(World(tmp_path, warm_file.pack(found)), served).start() as world:
        eventually(lambda: world.daemon.workers["targets"].get_status().snapshot)
        answer = world.post("/match", json={"labels": {"severity": "critical"}})
        assert answer.status_code == 200
        assert answer.json == {
            "generation": int(START * 1000),
            "rules": [
                {"id": "critical", "family": "default", "priority": 1, "targets": ["pager", "slack"]},
                {"id": "all", "family": "default", "priority": 0, "targets": ["slack", "old", "off", "gone"]},
            ],
            "targets_generation": int(START * 1000),
            "targets": [
                {"name": "pager", "type": "pagerduty", "format": "pagerduty", "state": "fresh"},
                {"name": "slack", "type": "slack", "format": "slack", "state": "fresh"},
                {"name": "old", "type": "slack", "format": "slack", "state": "stale"},
            ],
            "unavailable": [
                {"name": "off", "reason": "disabled"},
                {"name": "gone", "reason": "missing"},
            ],
        }
        assert world.get("/status").json["hot_cache"]["hits"] == 2


def test_without_targets_a_match_says_that_they_are_not_loaded(tmp_path: Path) -> None:
    with World(tmp_path, warm_file.pack([rule("all", targets=("slack",))])).start() as world:
        answer = world.post("/match", json={"labels": {}}).json
        assert answer["targets_generation"] is None and answer["targets"] == []
        assert answer["unavailable"] == [{"name": "slack", "reason": "not_loaded"}]


def labelled(labels: dict[str, str]) -> bytes:
    return json.dumps({"labels": labels}, ensure_ascii=False).encode()


def sized(size: int) -> bytes:
    """A request of this many bytes with the maximum number of labels."""
    labels = {f"n{n}": "" for n in range(64)}
    spare = size - len(labelled(labels))
    return labelled({name: "x" * (spare // 64 + (number < spare % 64)) for number, name in enumerate(labels)})


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 400),
        (b"{}", 400),
        (b'{"labels": []}', 400),
        (b'{"labels": {"a": 1}}', 400),
        (b'{"labels": {}, "more": 1}', 400),
        (b'{"labels": {"a": "\xff"}}', 400),
        (b"[" * 16_000, 400),
        (sized(16 * 1024), 200),
        (sized(16 * 1024 + 1), 413),
        (b"x" * 100_000, 413),
        (labelled({f"n{n}": "v" for n in range(64)}), 200),
        (labelled({f"n{n}": "v" for n in range(65)}), 413),
        (labelled({"a": "x" * 1024}), 200),
        (labelled({"a": "x" * 1025}), 413),
        (labelled({"a": "é" * 512}), 200),
        (labelled({"a": "é" * 512 + "x"}), 413),
    ],
)
def test_only_labels_can_be_matched_and_not_too_much_of_them(
    tmp_path: Path, data: bytes, code: int, chunked: bool
) -> None:
    environ: dict[str, Any] = {"wsgi.input": BytesIO(data), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    sent: dict[str, Any] = {"environ_overrides": environ} if chunked else {"data": data}
    with World(tmp_path).start() as world:
        answer = world.post("/match", content_type="application/json", **sent)
        assert answer.status_code == code and answer.is_json
        if code >= 400:
            assert set(answer.json) == {"error", "message", "request_id"}


def test_another_media_type_is_refused(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        assert world.post("/match", data="labels=x", content_type="text/plain").status_code == 415
        assert world.post("/match", data=b'{"labels": {}}').status_code == 200


def test_a_query_is_looked_at_after_the_token_and_what_it_may_not_have_is_refused(tmp_path: Path) -> None:
    with World(tmp_path, packed(3), ALERT_REFRESH_ADMIN_TOKEN=ADMIN) as world:
        assert world.post("/refresh?family=%20").status_code == 401
    with World(tmp_path, packed(3)).start() as world:
        for path in ("?familly=x", "?wait=1s"):
            assert world.get(path).status_code == 400
        assert world.post("/refresh?familly=x").status_code == 400
        assert world.post("/refresh?family=%20").status_code == 400


def test_a_refresh_needs_the_admin_token_and_a_match_which_only_reads_does_not(tmp_path: Path) -> None:
    with World(tmp_path, ALERT_REFRESH_ADMIN_TOKEN=ADMIN).start() as world:
        assert world.post("/refresh").status_code == 401
        for headers in ({}, {"Authorization": f"Bearer {ADMIN}"}, {"Authorization": "Bearer wrong"}):
            assert world.post("/match", json={"labels": {}}, headers=headers).status_code == 200
        assert world.get().status_code == world.get("/status").status_code == 200


def test_metrics_have_the_names_that_dashboards_know(tmp_path: Path) -> None:
    with World(tmp_path, packed(12), RULES_CACHE_CAPACITY="10") as world:
        before = world.metrics()
        for name in ("refresh_count_total", "refresh_errors_total", "refresh_duration_ms_count"):
            assert before[f"guard_scheduler_{name}"] == 0
        assert before["guard_scheduler_last_refresh_timestamp_ms"] == 0
        world.start()
        world.get("/rule-000000")
        world.get("/rule-000011")
        world.put(b"bad: yaml")
        after = world.metrics()
        assert after["guard_scheduler_refresh_count_total"] == 2
        assert after["guard_scheduler_refresh_errors_total"] == 1
        assert after["guard_scheduler_refresh_duration_ms_count"] == 2
        assert after["guard_scheduler_last_refresh_timestamp_ms"] == START * 1000
        assert {name: after[f"alert_refresh_rules_hot_cache_{name}"] for name in ("size", "capacity")} == {
            "size": 10,
            "capacity": 10,
        }
        assert [after[f"alert_refresh_rules_hot_cache_{name}_total"] for name in ("hits", "misses", "evictions")] == [
            1,
            1,
            1,
        ]
        assert after["alert_refresh_rules_loaded"] == 12
        assert after['alert_refresh_attempts_total{kind="rules",status="failed"}'] == 1


def test_from_a_post_to_swapped_in_takes_a_moment(tmp_path: Path) -> None:
    with World(tmp_path, packed(1234)).start() as world:
        world.read_from(tmp_path / "elsewhere", packed(1234, word="two"))
        began = time.perf_counter()
        assert world.post("/refresh?wait=60s").status_code == 200
        assert world.loaded.rules["rule-000000"].description == "two"
        assert time.perf_counter() - began < HANG_GUARD / 2, "100 ms on an idle machine"
        world.attempt_ends()
        assert rules(1234, word="two") == list(world.loaded.all())


def test_the_example_rules_lead_to_the_example_targets(tmp_path: Path) -> None:
    folder = Path(__file__).parents[3] / "config" / "examples"
    data = (folder / "rules.yaml").read_bytes()
    with World(tmp_path, data, TARGET_DIRECTORY=str(folder / "targets")).start() as world:
        eventually(lambda: world.daemon.workers["targets"].get_status().snapshot)
        known = {one["name"] for one in world.client.get(TARGETS_PATH).get_json()["targets"]}
        assert {name for one in world.get().json["rules"] for name in one["targets"]} <= known
        labels = {"alertname": "PostgresDown", "severity": "critical", "environment": "production"}
        answer = world.post("/match", json={"labels": labels}).json
        assert [one["id"] for one in answer["rules"]] == [
            "page-critical-production",
            "database-down",
            "audit-everything",
        ]
        assert [one["name"] for one in answer["targets"]] == ["pagerduty-oncall", "slack-platform", "webhook-audit"]
        assert answer["unavailable"] == [{"name": "rootly-incidents", "reason": "disabled"}]
        quiet = world.post("/match", json={"labels": {"alertname": "KubePodCrashLooping", "severity": "info"}}).json
        assert [one["id"] for one in quiet["rules"]] == ["audit-everything"]
