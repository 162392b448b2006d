from __future__ import annotations

import re
import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import Partial, Permanent, RefreshSettings, Request, Transient, Trigger
from alert_refresh.web.errors import whole_seconds
from alert_refresh.web.manual_refresh import period
from tests.web.world import ADMIN, READ, TARGETS, World, target, targets

if TYPE_CHECKING:
    from collections.abc import Callable

UNDISTURBED = RefreshSettings(warmup=10_000)
"""No periodic refresh while a test moves the clock."""

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def shown(response: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON, with the request_id checked and removed."""
    body = dict(response.json)
    assert str(uuid.UUID(body.pop("request_id"))) == response.headers["X-Request-ID"]
    return response.status_code, body


def test_an_accepted_refresh_is_a_202_with_its_id_and_start() -> None:
    with World().start() as world:
        response = world.post(headers={"X-Request-ID": "0a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11"})
        world.attempt_ends()
        assert response.status_code == 202
        assert response.json == {
            "message": "Refresh triggered",
            "request_id": "0a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11",
            "refresh_started_at": "2023-11-14T22:13:20Z",
        }
        assert world.source.requests[-1].request_id == "0a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11"
        assert world.source.calls == 2


def test_a_refresh_while_one_runs_is_a_503_that_says_since_when_and_until_when() -> None:
    with World().start() as world:
        begun, _ = world.hang()
        assert world.post().status_code == 202
        assert begun.wait(30)
        world.clock.advance(7.5)
        response = world.post()
        assert shown(response) == (
            503,
            {
                "error": "refresh_in_progress",
                "message": "Target refresh already running",
                "started_at": "2023-11-14T22:13:20Z",
            },
        )
        assert response.headers["Retry-After"] == "23"


def test_a_refresh_inside_the_window_is_a_429_with_the_seconds_left() -> None:
    with World(settings=UNDISTURBED).start() as world:
        assert world.post("?wait=10s").status_code == 200
        world.clock.advance(0.5)
        response = world.post()
        assert shown(response) == (
            429,
            {"error": "rate_limit_exceeded", "message": "Max 1 refresh per minute", "retry_after_seconds": 60},
        )
        assert response.headers["Retry-After"] == "60"
        world.clock.advance(59.25)
        assert world.post().headers["Retry-After"] == "1"
        world.clock.advance(0.25)
        assert world.post("?wait=10s").status_code == 200


def test_waiting_what_a_429_says_is_enough_and_refused_ones_use_no_quota_c03() -> None:
    with World(settings=UNDISTURBED, environ={"ALERT_REFRESH_ADMIN_TOKEN": ADMIN}).start() as world:
        for response in (world.post(), world.post(token="wrong"), world.post(token=ADMIN, data=b"x")):
            assert response.status_code in (401, 400)
        assert world.post("?wait=5s", token=ADMIN).status_code == 200
        world.clock.advance(59.999)
        refused = world.post(token=ADMIN)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        world.clock.advance(1)
        assert world.post("?wait=5s", token=ADMIN).status_code == 200


def test_without_a_rate_limit_nothing_is_refused() -> None:
    with World(settings=RefreshSettings(rate_limit=0)).start() as world:
        assert [world.post("?wait=5s").status_code for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(
    ("seconds", "words"), [(60, "minute"), (1, "second"), (3600, "hour"), (90, "90 seconds"), (0.5, "0.5 seconds")]
)
def test_the_window_is_shown_in_words(seconds: float, words: str) -> None:
    assert period(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "whole"), [(0, 1), (-3, 1), (0.2, 1), (1, 1), (1.0000000001, 1), (1.2, 2), (59.999, 60)]
)
def test_waits_are_whole_seconds_and_never_too_short(seconds: float, whole: int) -> None:
    assert whole_seconds(seconds) == whole


@pytest.mark.parametrize("state", ["before start", "after stop"])
def test_a_worker_that_does_not_run_is_a_503(state: str) -> None:
    with World() as world:
        if state == "after stop":
            world.start().daemon.stop()
        response = world.post()
        expected = {"error": "manager_not_started", "message": "Target refresh is not running"}
        assert shown(response) == (503, expected)
        assert response.headers["Retry-After"] == "25"


def test_a_kind_that_is_off_is_a_503_that_says_how_to_switch_it_on() -> None:
    with World(off=True) as world:
        expected = {"error": "manager_not_started", "message": "Target refresh is off: set TARGET_DIRECTORY"}
        assert shown(world.post()) == (503, expected)


def test_a_body_is_a_400_and_a_large_one_a_413() -> None:
    with World().start() as world:
        expected = (400, {"error": "invalid_request", "message": "Request body must be empty"})
        assert shown(world.post(data=b"{}")) == expected
        assert shown(world.post(data=b"x" * 1024)) == expected
        code, body = shown(world.post(data=b"x" * 1025))
        assert (code, body["error"]) == (413, "payload_too_large")
        assert shown(world.post(json={"a": 1})) == expected
        assert shown(world.post(data={"form": "post"})) == expected
        assert world.source.calls == 1


def test_an_empty_body_of_any_content_type_is_accepted() -> None:
    with World().start() as world:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "0"}
        assert world.post("?wait=5s", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "wait",
    ["", "10", "-1s", "61s", "1h", "abc", "1e3s", "1s&wait=2s", "9" * 40 + "s", "9" * 30 + "h", "NaNs", "\u0661s"],
)
def test_a_wait_that_is_not_a_duration_up_to_a_minute_is_a_400(wait: str) -> None:
    with World().start() as world:
        code, body = shown(world.post(f"?wait={wait}"))
        assert (code, body["error"]) == (400, "invalid_request")
        assert "wait" in body["message"]
        assert world.source.calls == 1


def test_with_wait_the_answer_is_the_result() -> None:
    with World().start() as world:
        world.source.answer = lambda n: targets(target("one"), digest="two", rejected=2)
        code, body = shown(world.post("?wait=60s"))
        generation = body.pop("generation")
        assert code == 200
        assert all(STAMP.fullmatch(body.pop(name)) for name in ("refresh_started_at", "accepted_at", "started_at"))
        assert body == {
            "message": "Refresh completed",
            "kind": "targets",
            "trigger": "manual",
            "scope": None,
            "next_attempt": None,
            "difference": {
                "added": [],
                "removed": ["two"],
                "changed": [],
                "added_count": 0,
                "removed_count": 1,
                "changed_count": 0,
            },
            "result": "success",
            "attempts": 1,
            "duration_ms": 0,
            "error": None,
            "error_type": None,
            "items": 1,
            "rejected": 2,
            "changed": True,
        }
        assert generation == world.get("/status").json["generation"]


NO_DIFFERENCE = {
    "added": [],
    "removed": [],
    "changed": [],
    "added_count": 0,
    "removed_count": 0,
    "changed_count": 0,
}
OUTCOME = {
    "refresh_started_at": "2023-11-14T22:13:20Z",
    "accepted_at": "2023-11-14T22:13:20Z",
    "started_at": "2023-11-14T22:13:20Z",
    "kind": "targets",
    "trigger": "manual",
    "scope": None,
    "next_attempt": None,
    "difference": NO_DIFFERENCE,
    "result": "failed",
    "attempts": 1,
    "duration_ms": 0,
    "items": 2,
    "rejected": 1,
    "generation": 1_700_000_000_000,
    "changed": False,
}


def test_with_wait_a_failed_refresh_is_a_502_with_the_cause() -> None:
    with World().start() as world:
        world.fail(Permanent("HTTP 403 from the API server", "auth"))
        cause = {"error": "refresh_failed", "message": "HTTP 403 from the API server", "error_type": "auth"}
        assert shown(world.post("?wait=10s")) == (502, cause | OUTCOME)


def test_with_wait_a_refresh_of_which_only_a_part_worked_is_a_502_with_what_is_served_since() -> None:
    with World().start() as world:
        world.fail(Partial(targets(target("one"), digest="part"), Permanent("namespace b: HTTP 403", "auth")))
        cause = {"error": "refresh_failed", "message": "namespace b: HTTP 403", "error_type": "auth"}
        served: dict[str, object] = {"items": 1, "rejected": 0, "generation": 1_700_000_000_001, "changed": True}
        served["difference"] = NO_DIFFERENCE | {"removed": ["two"], "removed_count": 1}
        assert shown(world.post("?wait=10s")) == (502, cause | OUTCOME | served)


def test_with_wait_a_refresh_that_failed_permanently_is_reported_with_its_last_attempt() -> None:
    with World(settings=RefreshSettings(max_retries=1)).start() as world:
        world.fail(Transient("connection refused", "network"))
        ask = asking(world, "?wait=60s")
        world.attempt_ends()
        world.clock.wait_for_sleeper(30)
        world.clock.advance(30)
        code, body = shown(ask())
        assert (code, body["result"], body["attempts"]) == (502, "failed", 2)
        assert body["next_attempt"] is None


def test_a_wait_that_ends_after_a_failed_attempt_is_a_502_that_says_when_the_next_one_comes() -> None:
    with World().start() as world:
        world.fail(Transient("connection refused", "network"))
        ask = asking(world, "?wait=10s")
        world.clock.wait_for_sleeper(10)
        world.attempt_ends()
        world.clock.wait_for_sleeper(30)
        world.clock.advance(10)
        cause = {"error": "refresh_failed", "message": "connection refused", "error_type": "network"}
        next_one = {"result": "retrying", "next_attempt": "2023-11-14T22:13:50Z"}
        assert shown(ask()) == (502, cause | OUTCOME | next_one)
        assert world.get("/status").json["next_attempt"] == next_one["next_attempt"]


def test_a_wait_that_ends_during_the_second_attempt_is_a_502_of_the_first() -> None:
    with World().start() as world:
        world.fail(Transient("connection refused", "network"))
        ask = asking(world, "?wait=31s")
        world.clock.wait_for_sleeper(31)
        world.attempt_ends()
        world.clock.wait_for_sleeper(30)
        begun, _ = world.hang()
        world.clock.advance(30)
        assert begun.wait(30)
        world.clock.advance(1)
        code, body = shown(ask())
        assert (code, body["result"], body["attempts"], body["next_attempt"]) == (502, "retrying", 1, None)


def test_a_wait_that_ends_before_any_attempt_has_is_a_202() -> None:
    with World().start() as world:
        begun, _ = world.hang()
        ask = asking(world, "?wait=10s")
        assert begun.wait(30)
        world.clock.wait_for_sleeper(10)
        world.clock.advance(10)
        code, body = shown(ask())
        assert (code, body["message"]) == (202, "Refresh triggered")


def test_a_refresh_that_a_newer_one_replaces_in_its_backoff_is_a_502_and_the_newer_one_a_200() -> None:
    with World(settings=RefreshSettings(rate_limit=0)).start() as world:
        world.fail(Transient("connection refused", "network"))
        ask = asking(world, "?wait=60s")
        world.attempt_ends()
        world.clock.wait_for_sleeper(30)
        world.source.answer = lambda n: targets(target("one"), digest="two")
        assert world.post("?wait=60s").status_code == 200
        code, body = shown(ask())
        assert (code, body["result"], body["message"]) == (502, "superseded", "connection refused")


def test_a_stop_during_the_backoff_ends_the_wait_with_a_503() -> None:
    with World().start() as world:
        world.fail(Transient("connection refused", "network"))
        ask = asking(world, "?wait=60s")
        world.attempt_ends()
        world.clock.wait_for_sleeper(30)
        world.daemon.stop()
        response = ask()
        assert shown(response) == (503, {"error": "manager_not_started", "message": "Target refresh is not running"})
        assert response.headers["Retry-After"] == "25"


def test_a_stop_that_fails_the_running_attempt_ends_the_wait_with_a_503() -> None:
    with World().start() as world:
        world.fail(Transient("the request was interrupted", "network"))
        begun, release = world.hang()
        ask = asking(world, "?wait=60s")
        assert begun.wait(30)
        world.daemon.halt()
        release.set()
        code, body = shown(ask())
        assert (code, body["error"]) == (503, "manager_not_started")


def asking(world: World, query: str) -> Callable[[], Any]:
    """Request a refresh in a thread; returns a function that waits for the response."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(world.app.test_client().post(f"{TARGETS}/refresh{query}")))
    thread.start()

    def answer() -> Any:
        thread.join(30)
        return answers[0]

    return answer


def test_a_refresh_that_a_stop_ended_before_its_first_attempt_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Request(Trigger.MANUAL)
    ended.done.set()
    with World().start() as world:
        monkeypatch.setattr(world.worker, "refresh_now", lambda *_: ended)
        code, body = shown(world.post("?wait=5s"))
        assert (code, body["error"]) == (503, "manager_not_started")


def test_during_a_backoff_a_refresh_is_accepted_and_begins_immediately() -> None:
    with World(answer=lambda n: fail_first(n)) as world:
        world.start()
        status = world.get("/status").json
        assert (status["status"], status["attempt"]) == ("failed", 1)
        code, body = shown(world.post("?wait=10s"))
        assert (code, body["result"], body["attempts"]) == (200, "success", 1)
        assert world.get("/status").json["consecutive_failures"] == 0


def fail_first(number: int) -> Any:
    if number == 1:
        raise Transient("connection refused", "network")
    return targets(target("one"))


def test_of_many_parallel_refreshes_exactly_one_is_accepted() -> None:
    with World().start() as world:
        begun, _ = world.hang()
        barrier, codes = threading.Barrier(20), []

        def ask() -> None:
            client = world.app.test_client()
            barrier.wait(30)
            codes.append(client.post(f"{TARGETS}/refresh").status_code)

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert begun.wait(30)
        assert sorted(codes) == [202] + [503] * 19
        assert world.source.calls == 2


def test_a_client_that_leaves_after_its_post_changes_nothing_c11() -> None:
    with World().start() as world:
        begun, release = world.hang()
        with world.app.test_client() as leaving:
            leaving.post(f"{TARGETS}/refresh", buffered=False).close()
        assert begun.wait(30)
        assert world.get("/status").json["status"] == "in_progress"
        release.set()
        world.attempt_ends()
        assert world.get("/status").json["status"] == "success"
        assert world.metrics()["alert_history_publishing_refresh_in_progress"] == 0


def audited(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str, str]]:
    lines = [record.__dict__ for record in caplog.records if record.name == "alert_refresh.audit"]
    assert all(uuid.UUID(line["request_id"]) and line["ip"] == "127.0.0.1" for line in lines)
    return [(line["who"], line["kind"], line["action"], line["result"]) for line in lines]


def test_every_refresh_asked_for_is_audited_also_the_refused_ones(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "alert_refresh.audit")
    with World(environ={"ALERT_REFRESH_ADMIN_TOKEN": ADMIN, "ALERT_REFRESH_READ_TOKEN": READ}).start() as world:
        world.post()
        world.post(token="wrong")
        world.post(token=READ)
        world.post(token=ADMIN, data=b"x")
        world.post("?wait=1", token=ADMIN)
        world.post("?wait=1s", token=ADMIN)
        world.post(token=ADMIN)
        world.daemon.stop()
        world.post(token=ADMIN)
    assert audited(caplog) == [
        (who, "targets", "targets.refresh", result)
        for who, result in (
            ("anonymous", "unauthorized"),
            ("anonymous", "unauthorized"),
            ("read", "forbidden"),
            ("admin", "invalid_request"),
            ("admin", "invalid_request"),
            ("admin", "accepted"),
            ("admin", "rate_limit_exceeded"),
            ("admin", "manager_not_started"),
        )
    ]


def test_what_we_did_not_expect_is_a_500_without_internals_and_audited(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "alert_refresh.audit")
    secret = "-".join(("a", "hidden", "thing"))

    def broken(*_: object) -> None:
        raise RuntimeError(secret)

    with World().start() as world:
        monkeypatch.setattr(world.worker, "refresh_now", broken)
        code, body = shown(world.post())
        assert (code, body) == (500, {"error": "internal_error", "message": "An internal error occurred"})
        assert world.metrics()['publishing_refresh_api_requests_total{status="error"}'] == 1
    assert audited(caplog) == [("anonymous", "targets", "targets.refresh", "internal_error")]
    assert secret not in "".join(str(record.__dict__) for record in caplog.records)
