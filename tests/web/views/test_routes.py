"""The views over HTTP, against a real PostgreSQL."""

from __future__ import annotations

import re
import statistics
import time
from typing import TYPE_CHECKING

import pytest

from alert_refresh.engine import Permanent
from alert_refresh.views import catalog
from alert_refresh.views.history import Record
from tests.faults.test_d_postgres import backend, slow_view, wait_for
from tests.postgres import VIEWS, Server
from tests.views.test_source import block
from tests.views.world import in_thread
from tests.web.views.world import AUTOMATED, REFRESH, ViewsWorld, held_view, holding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from werkzeug.test import TestResponse


@pytest.fixture
def world() -> Iterator[ViewsWorld]:
    with ViewsWorld() as world:
        yield world.start()


def test_a_refresh_answers_with_the_result_of_every_view(world: ViewsWorld) -> None:
    response = world.post()
    assert response.status_code == 200
    body = response.get_json()
    assert body.pop("duration_ms") > 0
    assert body == {
        "status": "success",
        "message": "All materialized views refreshed successfully",
        "results": dict.fromkeys(VIEWS, True),
    }


def test_one_view_can_be_asked_for(world: ViewsWorld) -> None:
    assert world.post("?view=mv_descendant_counts").get_json()["results"] == {"mv_descendant_counts": True}


def test_some_failed_views_make_a_partial_success(world: ViewsWorld) -> None:
    world.database.run("drop materialized view mv_entity_hierarchy_stats")
    response = world.post()
    assert response.status_code == 200
    body = response.get_json()
    assert body["status"] == "partial_success"
    assert body["failed_views"] == ["mv_entity_hierarchy_stats"]
    assert body["results"] == dict(zip(VIEWS, (True, True, False), strict=True))
    assert world.worker.get_status().consecutive_failures == 1


def test_a_retry_takes_up_the_failed_view_and_what_reads_it_and_ends_the_failure() -> None:
    with ViewsWorld(VIEWS_REFRESH_BASE_BACKOFF="3s") as world:
        world.start()
        with world.database.connect() as blocker, blocker.transaction():
            block(blocker, "mv_descendant_counts")
            assert world.post().get_json()["failed_views"] == ["mv_descendant_counts"]
            world.attempt_ends()
        world.attempt_ends()
        assert world.worker.get_status().consecutive_failures == 0
        count = "select view_name, count(*) from refresh_metrics group by view_name order by 1"
        assert dict(world.database.rows(count)) == dict(zip(VIEWS, (2, 3, 3), strict=True))


def test_when_every_view_failed_the_answer_is_a_500_without_sql_or_dsn(world: ViewsWorld) -> None:
    world.database.run("drop table entities cascade")
    response = world.post()
    assert response.status_code == 500
    assert list(response.get_json()) == ["detail"]
    text = response.get_data(as_text=True).lower()
    assert "mv_descendant_counts: there is no such view" in text
    assert not any(
        word in text for word in ("refresh materialized", "select", "postgresql://", str(world.database.name))
    )


def test_an_attempt_that_came_to_no_view_is_a_500_with_its_cause(
    world: ViewsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Permanent("the attempt was abandoned", "timeout")

    monkeypatch.setattr(world.source, "refresh", fail)
    for path in ("", "/automated/force"):
        response = world.post(path)
        assert (response.status_code, response.get_json()) == (500, {"detail": "the attempt was abandoned"})
        world.attempt_ends()


def test_a_database_that_is_away_is_a_503_everywhere_and_comes_back() -> None:
    server = Server().create().start()
    try:
        with ViewsWorld(server.database(), VIEWS="mv_one") as world:
            world.database.run(
                "create materialized view mv_one as select 1 as id", "create unique index on mv_one (id)"
            )
            world.start()
            server.stop("fast")
            response = world.post()
            assert response.status_code == 503 and int(response.headers["Retry-After"]) >= 1
            assert list(response.get_json()) == ["detail"]
            assert world.get("/refresh/automated/metrics").status_code == 503
            status = world.get("/refresh/status")
            assert status.status_code == 200 and status.get_json()["error_type"] == "network"
            assert status.get_json()["cache_metrics"]["l4_cache"]["available"] is False
            server.start()
            assert world.post().status_code == 200
            wait_for(lambda: world.get("/refresh/automated/metrics").status_code == 200)
            summary = world.get("/refresh/automated/metrics").get_json()["summary"]
            assert (summary["success_count"], summary["failure_count"]) == (2, 1), "the failure was written later"
    finally:
        server.remove()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("?view=mv_nowhere", 404),
        ("?view=", 404),
        ("?view=mv_descendant_counts&view=mv_descendant_counts", 400),
        ("?veiw=mv_descendant_counts", 400),
        ("?wait=2h", 400),
        ("/automated/start?view=mv_descendant_counts", 400),
        ("/automated/stop?wait=1s", 400),
        ("/automated/force?view=mv_descendant_counts", 400),
    ],
)
def test_a_wrong_question_is_refused_in_detail(world: ViewsWorld, path: str, status: int) -> None:
    response = world.post(path)
    assert response.status_code == status
    assert list(response.get_json()) == ["detail"]


def test_a_refresh_that_takes_long_is_a_202_and_a_second_one_a_503(world: ViewsWorld) -> None:
    held_view(world.database, "mv_slow")
    with (
        ViewsWorld(world.database, VIEWS="mv_slow", VIEWS_REFRESH_ENABLED="false") as other,
        holding(world.database),
    ):
        other.start()
        response = other.post("?wait=100ms")
        assert response.status_code == 202
        assert response.get_json()["request_id"] == response.headers["X-Request-ID"]
        second = other.post()
        assert second.status_code == 503
        assert 1 <= int(second.headers["Retry-After"]) <= 60
        assert list(second.get_json()) == ["detail"]


def test_d17_fifty_concurrent_forced_refreshes_are_one_refresh_and_forty_nine_503s(world: ViewsWorld) -> None:
    held_view(world.database, "mv_slow")
    answers: list[TestResponse] = []
    with ViewsWorld(world.database, VIEWS="mv_slow") as other:
        other.start()
        with holding(world.database) as let_go:
            calls = [in_thread(lambda: answers.append(other.post("/automated/force"))) for _ in range(50)]
            wait_for(lambda: len(answers) == 49, 30)
            assert other.get("/refresh/status").status_code == 200
            assert other.worker.get_status().in_progress, "the status did not wait for its end"
            let_go()
            for call in calls:
                call()
        codes = [answer.status_code for answer in answers]
        assert codes.count(200) == 1 and codes.count(503) == 49
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if answer.status_code == 503)
        assert other.source.reads.in_use == 0


def test_a_busy_view_is_false_in_the_results_and_a_503_where_all_are(world: ViewsWorld) -> None:
    with world.database.connect() as other:
        key = catalog.plan(other, ["mv_descendant_counts"])[0].lock_key()
        other.execute("select pg_advisory_lock(%s)", [key])
        body = world.post().get_json()
        assert body["status"] == "partial_success" and body["busy_views"] == ["mv_descendant_counts"]
        assert body["results"] == dict(zip(VIEWS, (True, False, True), strict=True))
        assert "another session holds its lock: process" in body["reasons"]["mv_descendant_counts"]
        alone = world.post("?view=mv_descendant_counts")
        assert alone.status_code == 503 and int(alone.headers["Retry-After"]) >= 1
        assert list(alone.get_json()) == ["detail"]
    assert world.worker.get_status().consecutive_failures == 0


def test_two_daemons_never_refresh_a_view_concurrently(world: ViewsWorld) -> None:
    held_view(world.database, "mv_slow")
    with (
        ViewsWorld(world.database, VIEWS="mv_slow", VIEWS_REFRESH_ENABLED="false") as one,
        ViewsWorld(world.database, VIEWS="mv_slow", VIEWS_REFRESH_ENABLED="false") as two,
        holding(world.database) as let_go,
    ):
        one.start()
        two.start()
        first = in_thread(one.post)
        wait_for(lambda: backend(world.database))
        second = two.post()
        assert second.status_code == 503 and "Retry-After" in second.headers
        let_go()
        assert first().status_code == 200


def test_the_status_shows_the_service_its_caches_and_its_schedule(world: ViewsWorld) -> None:
    world.get("/e1/ancestors")
    world.get("/e1/ancestors")
    body = world.get("/refresh/status").get_json()
    assert body["status"] == "available"
    assert body["message"] == "LTREE materialized view refresh service is operational"
    assert abs(body["last_refresh"] - time.time()) < 60
    automated = body["automated_refresh_status"]
    assert automated["enabled"] is True and automated["interval_seconds"] == 300
    assert (automated["success_count"], automated["failure_count"]) == (1, 0)
    assert abs(automated["last_run"] - time.time()) < 60
    assert abs(automated["next_run"] - time.time() - 3600) < 60
    caches = body["cache_metrics"]
    assert set(caches) == {"l1_cache", "l2_cache", "l3_cache", "l4_cache", "overall"}
    assert (caches["l1_cache"]["hits"], caches["l1_cache"]["misses"]) == (1, 1)
    assert caches["l2_cache"]["available"] is False
    assert caches["l3_cache"]["hits"] > 0
    assert caches["l4_cache"]["queries"] == 1
    assert caches["overall"]["hit_ratio"] == 0.5
    assert {view["mode"] for view in body["views"].values()} == {"concurrent"}


def test_the_status_says_of_each_view_how_old_it_is_when_it_is_due_and_why_it_is_never_skipped(
    world: ViewsWorld, tmp_path: Path
) -> None:
    file = tmp_path / "views.yaml"
    file.write_text("views: [{name: mv_now, interval: 2h}, {name: mv_entity_ancestors, skip: false}]")
    world.database.run("create materialized view mv_now as select id, now() as at from entities")
    with ViewsWorld(
        world.database, VIEWS="mv_now,mv_entity_ancestors,mv_descendant_counts", VIEWS_CONFIG_FILE=str(file)
    ) as other:
        body = other.start().get("/refresh/status").get_json()
        found = body["views"]
        assert [view["skip"] for view in found.values()] == [
            "never, because it calls now(), whose result may change by itself",
            "never, because it is switched off",
            "when nothing that it reads has changed",
        ]
        assert {view["outcome"] for view in found.values()} == {"refreshed", "blocking"}
        assert all(0 <= view["age_seconds"] < 60 for view in found.values())
        assert [view["interval_seconds"] for view in found.values()] == [7200, 300, 300]
        assert found["mv_now"]["next_run"] >= found["mv_descendant_counts"]["next_run"]
        assert set(body["notifications"]) == {"connected", "last_proof_of_life", "error"}
        assert (
            other.get("/refresh/automated/metrics?view_name=mv_now").get_json()["metrics"][0]["outcome"] == "blocking"
        )


def test_before_the_first_refresh_the_times_are_null() -> None:
    with ViewsWorld(VIEWS_REFRESH_ENABLED="false") as world:
        body = world.start().get("/refresh/status").get_json()
        assert body["last_refresh"] is None
        assert body["automated_refresh_status"]["enabled"] is False
        assert body["automated_refresh_status"]["next_run"] is None
        assert body["views"] == dict.fromkeys(VIEWS)
        assert world.post().status_code == 200, "a manual refresh works"


def test_the_automated_service_starts_stops_and_starts_again(world: ViewsWorld) -> None:
    again = world.post("/automated/start")
    assert again.status_code == 200 and again.get_json()["already_running"] is True
    stopped = world.post("/automated/stop")
    assert stopped.status_code == 200
    body = stopped.get_json()
    assert body["message"] == "Automated refresh service stopped successfully"
    final = body["final_metrics"]
    assert (final["total_refreshes"], final["successful_refreshes"], final["failed_refreshes"]) == (1, 1, 0)
    assert final["average_duration_ms"] > 0 and final["uptime_seconds"] > 0
    assert world.get("/refresh/status").get_json()["automated_refresh_status"]["next_run"] is None
    for path in ("/automated/stop", "/automated/force"):
        refused = world.post(path)
        assert (refused.status_code, refused.get_json()) == (
            409,
            {"detail": "Automated refresh service is not running"},
        )
    assert world.post().status_code == 200, "a manual refresh needs no service"
    world.attempt_ends()
    started = world.post("/automated/start")
    assert started.get_json() == {
        "status": "success",
        "message": "Automated refresh service started successfully",
        "config": {"interval_seconds": 300, "concurrent_refresh": True, "views": list(VIEWS)},
    }
    world.attempt_ends()
    assert world.get("/refresh/status").get_json()["automated_refresh_status"]["success_count"] == 1


def test_stopping_the_service_waits_for_the_running_refresh_and_ends_a_backoff(world: ViewsWorld) -> None:
    slow_view(world.database, seconds=1.5)
    with ViewsWorld(world.database, VIEWS="mv_slow,mv_nowhere") as other:
        other.daemon.start()
        wait_for(lambda: backend(world.database))
        final = other.post("/automated/stop").get_json()["final_metrics"]
        assert final["total_refreshes"] == 1
        assert world.database.value("select slept is not null from mv_slow")
        assert not other.worker.get_status().in_progress
    with ViewsWorld(world.database, dsn="host=/nowhere", VIEWS="mv_slow") as other:
        other.start()
        assert other.worker.get_status().next_attempt is not None
        other.post("/automated/stop")
        wait_for(lambda: other.worker.get_status().next_attempt is None)


def test_a_forced_refresh_answers_like_a_refresh_and_leaves_the_schedule(world: ViewsWorld) -> None:
    before = world.get("/refresh/status").get_json()["automated_refresh_status"]["next_run"]
    body = world.post("/automated/force").get_json()
    assert body["status"] == "success" and body["message"] == "Forced refresh completed successfully"
    assert body["result"].pop("duration_ms") > 0
    assert body["result"] == {"views_refreshed": 3, "success": True, "results": dict.fromkeys(VIEWS, True)}
    after = world.get("/refresh/status").get_json()["automated_refresh_status"]
    assert (after["next_run"], after["success_count"]) == (before, 2)


def test_the_history_has_every_refresh_and_a_summary_equal_to_other_percentiles(world: ViewsWorld) -> None:
    values = [float(n % 97) * 1.5 + n / 7 for n in range(500)]
    world.database.run("truncate refresh_metrics")
    with world.database.connect() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into refresh_metrics (view_name, refresh_duration_ms, success, created_at)"
            " values ('mv_x', %s, %s, to_timestamp(%s))",
            [(value, n % 10 != 0, 1_700_000_000 + n) for n, value in enumerate(values)],
        )
    body = world.get("/refresh/automated/metrics?limit=7&view_name=mv_x").get_json()
    assert body["status"] == "success" and len(body["metrics"]) == 7
    newest = body["metrics"][0]
    assert set(newest) == {
        "id",
        "view_name",
        "refresh_duration_ms",
        "success",
        "created_at",
        "error_message",
        "outcome",
        "reason",
    }
    assert newest["created_at"] == 1_700_000_499
    percentiles = statistics.quantiles(values, n=100, method="inclusive")
    expected = {
        "total_count": 500,
        "success_count": 450,
        "failure_count": 50,
        "success_rate": 90.0,
        "average_duration_ms": statistics.fmean(values),
        "p95_duration_ms": percentiles[94],
        "p99_duration_ms": percentiles[98],
        "min_duration_ms": min(values),
        "max_duration_ms": max(values),
    }
    assert body["summary"] == pytest.approx(expected)
    later = world.get("/refresh/automated/metrics?since=1700000400").get_json()
    assert later["summary"]["total_count"] == 100 and len(later["metrics"]) == 100
    nothing = world.get("/refresh/automated/metrics?view_name=mv_other").get_json()
    assert nothing["metrics"] == [] and nothing["summary"]["p95_duration_ms"] is None


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1", "limit=0", "limit=1001", "limit=1e9", "limit=abc", "limit=", "limit=1&limit=2", "since=NaN",
        "since=inf", "since=", "since=1e400",
        "since=999999999999", "since=-999999999999",
        "view_name='; drop table refresh_metrics--", "view_name=", "other=1",
    ],
)  # fmt: skip
def test_h13_hostile_query_parameters_are_a_400_and_never_reach_sql(world: ViewsWorld, query: str) -> None:
    response = world.get(f"/refresh/automated/metrics?{query}")
    assert response.status_code == 400
    assert list(response.get_json()) == ["detail"]
    assert world.database.value("select count(*) from refresh_metrics") == 3


def test_the_reads_tell_who_is_above_and_how_many_are_below(world: ViewsWorld) -> None:
    body = world.get("/e1.e2.e12/ancestors").get_json()
    assert body["path"] == "e1.e2.e12"
    assert [(one["path"], one["kind"], one["distance"]) for one in body["ancestors"]] == [
        ("e1", "company", 2),
        ("e1.e2", "department", 1),
    ]
    assert world.get("/e1/ancestors").get_json()["ancestors"] == []
    assert world.get("/e1/descendants/count").get_json() == {
        "path": "e1", "descendant_count": 199, "child_count": 10,
    }  # fmt: skip
    response = world.get("/e1/ancestors")
    assert response.content_type == "application/json; charset=utf-8"
    for _ in range(2):
        missing = world.get("/e1.nowhere/ancestors")
        assert (missing.status_code, missing.get_json()) == (404, {"detail": "There is no such entity"})
    for path in ("e1..e2", "e1.", "e 1", "'", "e1%00", "x" * 5000):
        assert world.get(f"/{path}/descendants/count").status_code == 400, path


def test_without_a_database_the_status_says_how_to_switch_views_on_and_all_else_is_a_503() -> None:
    from alert_refresh.daemon import Daemon, read_config
    from alert_refresh.web.app import create_app

    client = create_app(Daemon(read_config({}))).test_client()
    status = client.get(f"{REFRESH}/status")
    assert status.status_code == 200
    assert status.get_json()["status"] == "off" and "VIEWS_DATABASE_URL" in status.get_json()["message"]
    for path in (REFRESH, *(f"{AUTOMATED}/{verb}" for verb in ("start", "stop", "force"))):
        response = client.post(path)
        assert response.status_code == 503 and list(response.get_json()) == ["detail"]
    assert client.get("/api/entities/a/ancestors").status_code == 503


def test_every_post_needs_the_admin_token_when_there_is_one() -> None:
    with ViewsWorld(ALERT_REFRESH_ADMIN_TOKEN="admin", VIEWS_REFRESH_ENABLED="false") as world:
        world.start()
        for path in ("", "/automated/start", "/automated/stop", "/automated/force"):
            refused = world.post(path)
            assert refused.status_code == 401 and list(refused.get_json()) == ["detail"]
        assert world.post(headers={"Authorization": "Bearer admin"}).status_code == 200


def test_a_get_of_a_post_route_says_which_method_in_detail(world: ViewsWorld) -> None:
    response = world.get("/refresh")
    assert (response.status_code, list(response.get_json())) == (405, ["detail"])


def test_a_worker_that_was_never_started_is_a_409_and_refuses_every_verb_alike() -> None:
    with ViewsWorld() as world:
        for path in ("", "/automated/start", "/automated/stop", "/automated/force"):
            refused = world.post(path)
            assert (refused.status_code, list(refused.get_json())) == (409, ["detail"])


def test_a_service_that_rests_is_not_started_by_a_daemon_that_has_stopped(world: ViewsWorld) -> None:
    assert world.post("/automated/stop").status_code == 200
    world.daemon.stop(10)
    assert world.post("/automated/start").status_code == 409
    assert world.worker.get_status().paused


def test_a_rate_limit_that_was_set_is_a_429_in_detail() -> None:
    with ViewsWorld(VIEWS_REFRESH_RATE_LIMIT="1m", VIEWS_REFRESH_ENABLED="false") as world:
        world.start()
        assert world.post().status_code == 200
        refused = world.post()
        assert refused.status_code == 429 and 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.get_json()["detail"] == "Max 1 refresh per minute"


def test_a_stop_while_a_post_waits_answers_it(world: ViewsWorld) -> None:
    slow_view(world.database, seconds=30)
    with ViewsWorld(world.database, VIEWS="mv_slow", VIEWS_REFRESH_ENABLED="false") as other:
        other.start()
        answer = in_thread(other.post)
        wait_for(lambda: backend(world.database))
        other.daemon.stop(10)
        assert answer().status_code == 409


def test_a_blocking_refresh_shows_in_the_status_with_its_reason(world: ViewsWorld) -> None:
    world.database.run("drop index mv_descendant_counts_key")
    assert world.post().status_code == 200
    view = world.get("/refresh/status").get_json()["views"]["mv_descendant_counts"]
    assert view["mode"] == "blocking" and "unique index" in view["reason"]


def test_what_is_known_of_each_view_and_the_unwritten_history_survive_a_restart(tmp_path: Path) -> None:
    state = str(tmp_path)
    shown = re.compile(r"alert_refresh_view_(?:last_success_timestamp_seconds|rows|size_bytes)\{.*")
    with ViewsWorld(ALERT_REFRESH_STATE_DIR=state).start() as before:
        known = before.get("/refresh/status").get_json()["views"]
        metrics = shown.findall(before.app.test_client().get("/metrics").text)
        before.database.run("drop table refresh_metrics")
        before.source.history.add(Record("mv_entity_ancestors", 5.0, False, time.time(), "lost"))
        pending = before.source.history.unwritten()
        before.daemon.stop()
        after = ViewsWorld(before.database, ALERT_REFRESH_STATE_DIR=state)
        after.worker.start = lambda: None  # type: ignore[method-assign]
        after.daemon.start()
        try:
            body = after.get("/refresh/status").get_json()
            assert body["restored"] is True and body["restored_age_seconds"] > 0
            assert body["history_pending"] == 1 and after.source.history.unwritten() == pending
            for name, one in body["views"].items():
                assert one["age_seconds"] > known[name]["age_seconds"]
                assert {**one, "age_seconds": 0, "next_run": 0} == {**known[name], "age_seconds": 0, "next_run": 0}
            assert shown.findall(after.app.test_client().get("/metrics").text) == metrics
        finally:
            after.daemon.stop()
            after.source.close()
        with ViewsWorld(before.database, ALERT_REFRESH_STATE_DIR=state).start() as refreshed:
            body = refreshed.get("/refresh/status").get_json()
            assert body["restored"] is False and body["restored_age_seconds"] is None
            assert all(one["outcome"] == "refreshed" for one in body["views"].values()), "none is skipped"
            rows = refreshed.database.rows("select count(*) from refresh_metrics where error_message = 'lost'")
            assert rows == [(1,)]
