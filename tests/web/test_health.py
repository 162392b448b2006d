from __future__ import annotations

from typing import Any

import pytest

from alert_refresh import views
from alert_refresh.engine import Never, Partial, Permanent, RefreshSettings, Snapshot, Transient, Worker
from alert_refresh.targets import KIND
from alert_refresh.views.view import Mode, ViewState
from alert_refresh.web.health import health
from tests.fakes import FakeClock, FakeSource
from tests.stage import eventually
from tests.web.world import World, target, targets


def test_healthz_is_ok_while_threads_make_progress_and_names_the_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with World().start() as world:
        assert world.client.get("/healthz").json == {"status": "ok"}
        monkeypatch.setattr(world.worker, "health", lambda: "targets-worker")
        response = world.client.get("/healthz")
        assert response.status_code == 503
        assert response.json.pop("request_id")
        assert response.json | {"request_id": ""} == {
            "error": "stuck",
            "message": "No progress: targets-worker",
            "request_id": "",
            "stuck": ["targets-worker"],
        }
        assert world.client.get("/health").json["stuck"] == ["targets-worker"]


def test_ready_once_loaded_and_an_hour_without_the_source_does_not_change_that_p16() -> None:
    with World() as world:
        response = world.client.get("/readyz")
        assert (response.status_code, response.json["error"]) == (503, "not_ready")
        assert response.json["waiting_for"] == ["targets"]
        world.start()
        assert world.client.get("/readyz").json == {"status": "ready"}
        world.fail(Transient("connection refused", "network"))
        for _ in range(3):
            world.clock.advance(1200)
            world.attempt_ends()
        assert world.client.get("/healthz").status_code == 200
        assert world.client.get("/readyz").status_code == 200
        assert world.get("/one").status_code == 200
        summary = world.client.get("/health")
        assert summary.status_code == 503
        assert summary.json["kinds"]["targets"]["stale"] is True


def test_a_kind_that_is_off_gates_nothing() -> None:
    with World(off=True) as world:
        assert world.client.get("/readyz").status_code == 200
        assert world.client.get("/healthz").status_code == 200
        assert world.client.get("/health").json == {
            "status": "healthy",
            "summary": "Nothing is configured.",
            "kinds": {"targets": {"status": "off", "message": "set TARGET_DIRECTORY"}},
            "stuck": [],
        }


def test_a_kind_that_does_not_gate_may_come_later() -> None:
    with World().start() as world:
        world.daemon.workers["views"] = Worker(KIND, FakeSource(), RefreshSettings(), clock=world.clock)
        assert world.client.get("/readyz").status_code == 200
        world.daemon.workers["rules"] = Worker(KIND, FakeSource(), RefreshSettings(), clock=world.clock)
        assert world.client.get("/readyz").json["waiting_for"] == ["rules"]


@pytest.mark.parametrize(
    ("age", "code", "word"),
    [
        (0, 200, "healthy"),
        (599.9, 200, "healthy"),
        (600, 200, "degraded"),
        (1799.9, 200, "degraded"),
        (1800, 503, "unhealthy"),
    ],
)
def test_the_summary_is_degraded_from_two_and_unhealthy_from_six_intervals(age: float, code: int, word: str) -> None:
    with World().start() as world:
        begun, _ = world.hang()
        world.post()
        assert begun.wait(30)
        object.__setattr__(world.worker.get_status(), "last_success", world.clock.monotonic() - age)
        response = world.client.get("/health")
        assert (response.status_code, response.json["status"]) == (code, word)
        kind = response.json["kinds"]["targets"]
        assert kind == {
            "status": word,
            "loaded": True,
            "stale": word != "healthy",
            "last_refresh": "2023-11-14T22:13:20Z",
            "seconds_since_success": age,
            "consecutive_failures": 0,
        }
        assert ("error" in response.json) is (code == 503)


@pytest.mark.parametrize(("age", "word"), [(599, "healthy"), (600, "degraded"), (1800, "unhealthy")])
def test_before_the_first_success_its_age_counts_from_the_start_and_is_not_shown(age: float, word: str) -> None:
    with World() as world:
        world.clock.advance(100)
        begun, _ = world.hang()
        world.daemon.start()
        assert begun.wait(30)
        object.__setattr__(world.worker.get_status(), "started", world.clock.monotonic() - age)
        kind = world.client.get("/health").json["kinds"]["targets"]
        assert (kind["status"], kind["seconds_since_success"]) == (word, None)


def test_an_attempt_that_failed_is_not_a_cycle_that_failed() -> None:
    with World() as world:
        world.fail(Transient("connection refused", "network"))
        world.start()
        world.clock.wait_for_sleeper(30)
        assert world.client.get("/health").json["kinds"]["targets"]["status"] == "healthy"


def cycle_fails(worker: Worker[Any]) -> None:
    """Wait for a failed cycle to end."""
    eventually(lambda: worker.get_status().cycle_failed, "a cycle that fails")


ONCE = RefreshSettings(max_retries=0, rate_limit=0)


@pytest.mark.parametrize("error", [Transient("connection refused", "network"), Permanent("403", "auth")])
def test_a_cycle_that_failed_is_degraded_and_the_next_that_succeeds_is_healthy(error: Exception) -> None:
    with World(settings=ONCE).start() as world:
        good = world.source.answer
        world.fail(error)
        world.post("?wait=5s")
        response = world.client.get("/health")
        assert (response.status_code, response.json["status"]) == (200, "degraded")
        assert response.json["kinds"]["targets"]["stale"] is True
        world.source.answer = good
        world.post("?wait=5s")
        assert world.client.get("/health").json["status"] == "healthy"


def test_a_cycle_that_failed_stays_so_while_the_next_one_tries_again() -> None:
    with World(settings=RefreshSettings(max_retries=1, rate_limit=0)).start() as world:
        good = world.source.answer
        world.fail(Transient("connection refused", "network"))
        world.post()
        world.attempt_ends()
        assert world.client.get("/health").json["status"] == "healthy"
        world.post()  # ends the cycle that waits
        world.attempt_ends()
        assert world.client.get("/health").json["status"] == "degraded"
        world.source.answer = good
        world.clock.wait_for_sleeper(30)
        world.clock.advance(30)
        eventually(lambda: not world.worker.get_status().cycle_failed, "the end of the cycle")
        assert world.client.get("/health").json["status"] == "healthy"


@pytest.mark.parametrize(
    ("answer", "word", "code"),
    [
        (Transient("connection refused", "network"), "unhealthy", 503),
        (Permanent("403 Forbidden", "auth"), "unhealthy", 503),
        (Partial(targets(), Transient("one of two", "network")), "unhealthy", 503),
        (Partial(targets(target("one")), Transient("one of two", "network")), "degraded", 200),
    ],
)
def test_a_first_cycle_that_failed_is_unhealthy_when_there_is_nothing_to_serve(
    answer: Exception, word: str, code: int
) -> None:
    with World(settings=ONCE) as world:
        world.fail(answer)
        world.start()
        cycle_fails(world.worker)
        response = world.client.get("/health")
        assert response.status_code == code
        assert response.json["kinds"]["targets"]["status"] == word


def test_without_a_schedule_a_cycle_that_failed_counts_too() -> None:
    with World(settings=RefreshSettings(max_retries=0, schedule=Never())) as world:
        world.fail(Transient("connection refused", "network"))
        world.start()
        cycle_fails(world.worker)
        assert world.client.get("/health").status_code == 503


def test_views_of_which_none_was_ever_refreshed_are_nothing_to_serve() -> None:
    failed = ViewState("one", Mode.FAILED)
    for states, word in (
        ([failed], "unhealthy"),
        ([failed, ViewState("two", Mode.CONCURRENT, refreshed_at=1.0)], "degraded"),
        ([ViewState("one", Mode.FAILED, refreshed_at=1.0)], "degraded"),
        ([failed, ViewState("two", Mode.SKIPPED)], "degraded"),
    ):
        source = FakeSource()
        partial = Partial(Snapshot({state.name: state for state in states}), Transient("1 view failed", "network"))

        def answer(_: int, partial: Partial = partial) -> Any:
            raise partial

        source.answer = answer
        worker: Worker[Any] = Worker(views.KIND, source, ONCE, clock=FakeClock())
        worker.start()
        cycle_fails(worker)
        assert health(worker).state == word
        worker.stop()


def test_a_step_of_the_wall_clock_changes_no_health_p09() -> None:
    with World().start() as world:
        for offset in (-7200, 7200, 10 * 365 * 86400, -1_700_000_000):
            world.clock.wall_offset = 1_700_000_000.0 + offset
            assert world.client.get("/health").json["status"] == "healthy"
            assert world.get("/status").status_code == 200
            assert world.metrics()["alert_history_publishing_refresh_snapshot_age_seconds"] == 0


def test_without_a_schedule_or_before_the_start_age_says_nothing() -> None:
    clock = FakeClock()
    worker: Worker[Any] = Worker(KIND, FakeSource(), RefreshSettings(schedule=Never()), clock=clock)
    assert (health(worker).state, health(worker).age) == ("healthy", None)
    worker.start()
    clock.advance(1e6)
    assert health(worker).state == "healthy"
    worker.stop()
