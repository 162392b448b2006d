from __future__ import annotations

import os
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from alert_refresh.credential import Credential
from alert_refresh.engine import Fault, Partial, Permanent, Rejected, Skipped, Snapshot, Transient, WatchHealth
from alert_refresh.targets.counts import Counts, count
from alert_refresh.targets.secret.json_object import JsonObject
from alert_refresh.web.answers import answer
from alert_refresh.web.targets.fields import masked_url
from tests.fakes import START, LivingWatch
from tests.web.world import ADMIN, READ, World, target, targets

STALE = {"stale_since": START - 100, "faults": (Fault("type", "is none of the four"),)}


def test_before_the_first_refresh_the_status_is_idle() -> None:
    with World() as world:
        response = world.get("/status")
        assert response.status_code == 200
        assert response.json == {
            "status": "idle",
            "last_refresh": None,
            "next_refresh": None,
            "refresh_duration_ms": 0,
            "targets_discovered": 0,
            "targets_valid": 0,
            "targets_invalid": 0,
            "stale_targets": 0,
            "consecutive_failures": 0,
            "error": None,
            "error_type": None,
            "last_manual_refresh": None,
            "generation": None,
            "source": "fake",
            "restored": False,
            "restored_age_seconds": None,
            "held": None,
            "breaker_open": False,
            "watch": None,
            "attempt": None,
            "next_attempt": None,
        }


def test_after_a_success_the_status_counts_what_is_valid_invalid_and_stale() -> None:
    items = (target("one"), target("two"), target("three", **STALE))
    with World(answer=lambda n: targets(*items, rejected=2)).start() as world:
        world.clock.advance(1.5)
        world.post("?wait=5s")
        assert world.get("/status").json == {
            "status": "success",
            "last_refresh": "2023-11-14T22:13:21Z",
            "next_refresh": "2023-11-14T22:13:50Z",
            "refresh_duration_ms": 0,
            "targets_discovered": 5,
            "targets_valid": 2,
            "targets_invalid": 3,
            "stale_targets": 1,
            "consecutive_failures": 0,
            "error": None,
            "error_type": None,
            "last_manual_refresh": "2023-11-14T22:13:21Z",
            "generation": int(START * 1000),
            "source": "fake",
            "restored": False,
            "restored_age_seconds": None,
            "held": None,
            "breaker_open": False,
            "watch": None,
            "attempt": None,
            "next_attempt": None,
        }


def test_while_an_attempt_runs_the_status_is_in_progress_and_its_duration_the_last_ones() -> None:
    with World().start() as world:
        begun, release = world.hang()
        world.post()
        assert begun.wait(30)
        world.clock.advance(2.25)
        status = world.get("/status").json
        assert (status["status"], status["attempt"], status["refresh_duration_ms"]) == ("in_progress", 1, 0)
        release.set()
        world.attempt_ends()
        assert world.get("/status").json["refresh_duration_ms"] == 2250


def test_a_failure_keeps_counts_and_last_refresh_and_names_its_cause_and_next_attempt() -> None:
    with World().start() as world:
        good = world.get("/status").json
        world.clock.advance(10)
        world.fail(Transient("connection refused by 10.0.0.1:6443", "network"))
        world.post()
        world.attempt_ends()
        world.clock.wait_for_sleeper(30)
        status = world.get("/status").json
        assert (status["status"], status["consecutive_failures"], status["attempt"]) == ("failed", 1, 1)
        assert (status["error"], status["error_type"]) == ("connection refused by 10.0.0.1:6443", "network")
        assert status["next_attempt"] == "2023-11-14T22:14:00Z"
        for key in ("last_refresh", "targets_discovered", "targets_valid", "targets_invalid", "generation"):
            assert status[key] == good[key]


def test_a_partial_refresh_counts_the_last_successful_one_but_the_stale_targets_served_now() -> None:
    def answer(number: int) -> Any:
        if number == 1:
            return targets(target("one"), target("two"))
        raise Partial(
            targets(target("one"), target("two", **STALE), digest="two"), Permanent("namespace b: HTTP 403", "auth")
        )

    with World(answer=answer).start() as world:
        world.post("?wait=5s")
        status = world.get("/status").json
        assert (status["status"], status["error"]) == ("failed", "namespace b: HTTP 403")
        assert (status["targets_valid"], status["targets_invalid"], status["stale_targets"]) == (2, 0, 1)
        assert status["generation"] == int(START * 1000) + 1


def test_an_attempt_that_a_stop_ended_keeps_the_status_of_the_one_before() -> None:
    with World().start() as world:
        begun, release = world.hang()
        world.post()
        assert begun.wait(30)
        world.worker.halt()
        world.fail(Transient("cut off", "network"))
        release.set()
        world.attempt_ends()
        assert world.get("/status").json["status"] == "success"


def test_a_watching_kubernetes_source_says_whether_it_is_connected() -> None:
    with World() as world:
        world.source.name = "kubernetes"
        assert world.get("/status").json["watch"] == {
            "connected": False,
            "last_proof_of_life": None,
            "error": None,
        }


def test_the_status_shows_the_state_of_the_watch() -> None:
    with World() as world:
        watch = LivingWatch(WatchHealth(True, START + 5))
        world.source.make_watches = lambda sink: (watch,)
        world.start()
        shown = {"connected": True, "last_proof_of_life": "2023-11-14T22:13:25Z", "error": None}
        assert world.get("/status").json["watch"] == shown
        watch.mine = WatchHealth(False, START + 5, "the watch timed out")
        assert world.get("/status").json["watch"] == shown | {"connected": False, "error": "the watch timed out"}


def test_an_overdue_watch_counts_as_hung() -> None:
    with World() as world:
        watch = LivingWatch(WatchHealth(True, START))
        world.source.make_watches = lambda sink: (watch,)
        world.start()
        watch.back_by = 5.0
        world.clock.advance(14.5)
        assert world.client.get("/healthz").status_code == 200
        world.clock.advance(1.0)
        answer = world.client.get("/healthz")
        assert (answer.status_code, answer.json["stuck"]) == (503, ["targets-watch"])


def test_counts_of_nothing_are_0() -> None:
    assert count(None) == Counts(0, 0, 0, {})


def test_targets_are_counted_once_for_each_snapshot() -> None:
    with World().start() as world:
        snapshot = world.worker.get_status().snapshot
        assert snapshot is not None

        class Counting(dict[str, Any]):
            scans = 0

            def values(self) -> Any:
                Counting.scans += 1
                return super().values()

        object.__setattr__(snapshot, "items", Counting(snapshot.items))
        assert {world.get("/status").json["targets_valid"] for _ in range(5)} == {2}
        assert Counting.scans == 1


def test_off_is_a_status_that_says_how_to_switch_it_on() -> None:
    with World(off=True) as world:
        response = world.get("/status")
        assert response.status_code == 200
        assert response.json == {"status": "off", "message": "Targets are off: set TARGET_DIRECTORY"}
        for path in ("", "/one"):
            refused = world.get(path)
            assert (refused.status_code, refused.json["error"]) == (503, "not_loaded")
            assert "set TARGET_DIRECTORY" in refused.json["message"]


BAD_0 = {
    "source": {"namespace": "default", "secret": "bad-0"},
    "faults": [{"field": "url", "message": "has no host"}],
}


def test_the_list_shows_every_target_masked_and_every_rejected_secret() -> None:
    items = (target("one"), target("two", type="webhook", format="alertmanager", enabled=False, headers={}, **STALE))
    with World(answer=lambda n: targets(*items, rejected=1)).start() as world:
        assert world.get().json == {
            "generation": int(START * 1000),
            "targets": [
                {
                    "name": "one",
                    "type": "slack",
                    "format": "slack",
                    "enabled": True,
                    "url": "https://hooks.example.com",
                    "headers": {"X-Key": "***"},
                    "filter_config": {"severity": ["critical"]},
                    "state": "fresh",
                    "since": None,
                    "faults": [],
                    "source": {"namespace": "default", "secret": "one-secret", "shape": "config"},
                    "delivery": None,
                    "delivery_faults": [],
                },
                {
                    "name": "two",
                    "type": "webhook",
                    "format": "alertmanager",
                    "enabled": False,
                    "url": "https://hooks.example.com",
                    "headers": {},
                    "filter_config": {"severity": ["critical"]},
                    "state": "stale",
                    "since": "2023-11-14T22:11:40Z",
                    "faults": [{"field": "type", "message": "is none of the four"}],
                    "source": {"namespace": "default", "secret": "two-secret", "shape": "config"},
                    "delivery": None,
                    "delivery_faults": [],
                },
            ],
            "rejected": [BAD_0],
            "skipped": {"count": 0, "items": []},
        }


def test_the_list_shows_what_was_skipped_and_counts_it() -> None:
    one = Skipped({"file": "a.yaml", "document": "2"}, "is encrypted by SOPS")
    snapshot = replace(targets(target("one")), skipped=(one,), skipped_count=7)
    with World(answer=lambda n: snapshot).start() as world:
        assert world.get().json["skipped"] == {
            "count": 7,
            "items": [{"source": {"file": "a.yaml", "document": "2"}, "reason": "is encrypted by SOPS"}],
        }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["one", "two", "three"]),
        ("?type=slack", ["one", "three"]),
        ("?type=rootly", []),
        ("?enabled=true", ["one", "two"]),
        ("?enabled=false", ["three"]),
        ("?type=slack&enabled=true", ["one"]),
    ],
)
def test_filters_choose_by_type_and_enabled(query: str, names: list[str]) -> None:
    items = (target("one"), target("two", type="webhook"), target("three", enabled=False))
    with World(answer=lambda n: targets(*items)).start() as world:
        assert [one["name"] for one in world.get(query).json["targets"]] == names


@pytest.mark.parametrize(
    "query", ["type=teams", "type=", "type=Slack", "enabled=1", "enabled=", "enabled=true&enabled=false", "reveal=yes"]
)
def test_a_filter_that_means_nothing_is_a_400_that_names_it(query: str) -> None:
    with World().start() as world:
        response = world.get(f"?{query}")
        assert (response.status_code, response.json["error"]) == (400, "invalid_request")
        assert query.split("=")[0] in response.json["message"]


def test_one_target_by_name() -> None:
    with World().start() as world:
        assert world.get("/two").json == world.get().json["targets"][1]
        missing = world.get("/three")
        assert (missing.status_code, missing.json["error"]) == (404, "not_found")


def test_before_anything_is_known_targets_are_not_loaded_and_the_status_is_p15() -> None:
    with World() as world:
        world.fail(Transient("connection refused", "network"))
        assert world.get().headers["Retry-After"] == "25"
        world.start()
        world.clock.wait_for_sleeper(30)
        for path in ("", "/one", "?type=slack"):
            response = world.get(path)
            assert (response.status_code, response.json["error"]) == (503, "not_loaded")
            assert response.headers["Retry-After"] == "30"
        assert world.client.get("/readyz").status_code == 503
        assert world.client.get("/healthz").status_code == 200
        begun, release = world.hang()
        world.post()
        assert begun.wait(30)
        world.clock.advance(4)
        assert world.get().headers["Retry-After"] == "26"
        world.source.answer = lambda n: targets(target("one"))
        release.set()
        world.attempt_ends()
        world.clock.wait_for_sleeper(30)
        world.clock.advance(30)
        world.attempt_ends()
        assert world.get("/one").status_code == 200
        assert world.client.get("/readyz").status_code == 200


def test_filter_config_may_be_any_mapping_or_json_that_was_never_decoded() -> None:
    items = (
        target("one", filter_config=MappingProxyType({"a": [1]})),
        target("two", filter_config=JsonObject(b'{"b":null}')),
        target("three", filter_config={}),
    )
    with World(answer=lambda n: targets(*items)).start() as world:
        assert [one["filter_config"] for one in world.get().json["targets"]] == [{"a": [1]}, {"b": None}, {}]


def test_a_name_that_is_not_valid_text_is_escaped() -> None:
    item = target("one", filter_config=JsonObject(b'{"b":null}'))
    bad = Rejected({"secret": os.fsdecode(b"caf\xe9")}, ())
    with World(answer=lambda n: Snapshot({"one": item}, rejected=(bad,), digest="x")).start() as world:
        shown = world.get()
        assert b'"caf\\udce9"' in shown.data
        assert shown.json["targets"][0]["filter_config"] == {"b": None}


def test_a_credential_cannot_be_encoded_by_accident() -> None:
    with pytest.raises(NotImplementedError):
        answer({"a": Credential("hidden")})


def test_revealed_targets_show_the_whole_url_and_header_values() -> None:
    environ = {"ALERT_REFRESH_ADMIN_TOKEN": ADMIN, "ALERT_REFRESH_READ_TOKEN": READ}
    with World(environ=environ).start() as world:
        for token in (READ, ADMIN):
            headers = {"Authorization": f"Bearer {token}"}
            shown = world.get("/one?reveal=true", headers=headers).json
            assert shown["url"] == "https://hooks.example.com:8443/services/one?key=1"
            assert shown["headers"] == {"X-Key": "header-secret"}
            assert world.get("?reveal=true", headers=headers).json["targets"][0] == shown
            assert world.get("/one?reveal=false", headers=headers).json["url"] == "https://hooks.example.com"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://hooks.example.com/services/T0/B0/secret", "https://hooks.example.com"),
        ("HTTP://Example.COM:8080?token=secret", "http://example.com"),
        ("https://example.com#secret", "https://example.com"),
        ("https://[2001:db8::1]:8443/secret", "https://[2001:db8::1]"),
        ("https://bücher.example/secret", "https://bücher.example"),
        ("https://user:secret@example.com/", "***"),
        ("https://secret@example.com/", "***"),
        ("https://example.com\\secret", "***"),
        ("https://exa mple.com/secret", "***"),
        ("https://example.com:secret/", "***"),
        ("mailto:secret@example.com", "***"),
        ("https:///secret", "***"),
        ("", "***"),
    ],
)
def test_a_masked_url_is_scheme_and_host_alone(url: str, masked: str) -> None:
    assert masked_url(Credential(url)) == masked


def test_the_list_and_its_questions_are_counted() -> None:
    with World() as world:
        world.get()
        world.start()
        for path in ("", "", "?type=slack", "?type=rootly", "/one", "/nobody"):
            world.get(path)
        shown = world.metrics()
        name = "alert_history_publishing_target_lookups_total"
        counted = {key.removeprefix(name): value for key, value in shown.items() if key.startswith(name)}
        assert counted == {
            '{operation="list",status="hit"}': 2,
            '{operation="list",status="miss"}': 1,
            '{operation="get_by_type",status="hit"}': 1,
            '{operation="get_by_type",status="miss"}': 1,
            '{operation="get",status="hit"}': 1,
            '{operation="get",status="miss"}': 1,
        }
