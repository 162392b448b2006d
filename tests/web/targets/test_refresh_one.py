"""POST /targets/{name}/refresh: the answers of any refresh, and 404 for a name that nobody has."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.daemon import Daemon, read_config
from alert_refresh.engine import RefreshSettings, Transient
from alert_refresh.web.app import create_app
from tests.kube import KubeServer, faults, fill, kubeconfig, raw_secret, secret
from tests.stage import eventually
from tests.web.world import ADMIN, READ, TARGETS, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SINGLE = "/api/v1/namespaces/default/secrets/"
UNDISTURBED = RefreshSettings(warmup=10_000)


def post(world: World, name: str, query: str = "", token: str | None = None, **arguments: Any) -> tuple[int, str]:
    """The status, and the error's code word if it is one."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    response = world.client.post(f"{TARGETS}/{name}/refresh{query}", headers=headers, **arguments)
    return response.status_code, response.json.get("error") or ""


def test_the_source_is_asked_for_that_target_alone() -> None:
    with World(settings=UNDISTURBED).start() as world:
        response = world.client.post(f"{TARGETS}/two/refresh?wait=10s")
        assert (response.status_code, response.json["message"]) == (200, "Refresh completed")
        assert [one.scope for one in world.source.requests] == [None, "two"]
        assert world.source.requests[-1].request_id == response.json["request_id"]


def test_without_a_wait_it_is_a_202() -> None:
    with World().start() as world:
        assert post(world, "one") == (202, "")
        world.attempt_ends()


def test_a_rejected_secret_is_asked_for_by_its_own_name() -> None:
    with World().start() as world:
        assert post(world, "bad-0", "?wait=10s") == (200, "")
        assert world.source.requests[-1].scope == "bad-0"


def test_a_failure_is_a_502_with_its_cause() -> None:
    with World(settings=RefreshSettings(max_retries=0)).start() as world:
        world.fail(Transient("the API server answered 500", "k8s_api"))
        response = world.client.post(f"{TARGETS}/one/refresh?wait=10s")
        assert response.status_code == 502
        assert (response.json["message"], response.json["error_type"]) == ("the API server answered 500", "k8s_api")


def test_the_answers_come_in_the_order_of_any_refresh_and_404_before_the_rate_limit() -> None:
    with World(settings=UNDISTURBED, environ={"ALERT_REFRESH_ADMIN_TOKEN": ADMIN}) as world:
        assert post(world, "nobody", token=ADMIN) == (503, "manager_not_started")
        world.start()
        assert post(world, "nobody") == (401, "unauthorized")
        assert post(world, "nobody", token=ADMIN, data=b"x") == (400, "invalid_request")
        assert post(world, "nobody", token=ADMIN, data=b"x" * 2000) == (413, "payload_too_large")
        assert post(world, "nobody", "?scope=one", token=ADMIN) == (400, "invalid_request")
        assert post(world, "nobody", token=ADMIN) == (404, "not_found")
        begun, release = world.hang()
        assert post(world, "one", token=ADMIN) == (202, ""), "a 404 does not count for the rate limit"
        assert begun.wait(30)
        assert post(world, "nobody", token=ADMIN) == (503, "refresh_in_progress")
        release.set()
        world.attempt_ends()
        assert post(world, "two", token=ADMIN) == (429, "rate_limit_exceeded")
        assert post(world, "nobody", token=ADMIN) == (404, "not_found")
        assert world.post(token=ADMIN).status_code == 429, "the rate limit is one for all"
        world.clock.advance(61)
        assert world.post(token=ADMIN).status_code == 202
        world.attempt_ends()
        assert post(world, "one", token=ADMIN) == (429, "rate_limit_exceeded")
        world.daemon.stop()
        assert post(world, "nobody", token=ADMIN) == (503, "manager_not_started")


def test_before_anything_is_known_every_name_is_accepted() -> None:
    with World(settings=RefreshSettings(warmup=10_000, max_retries=0)) as world:
        world.fail(Transient("connection refused", "network"))
        world.start()
        assert post(world, "anything") == (202, "")
        world.attempt_ends()


def test_the_audit_log_names_the_target(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "alert_refresh.audit")
    with World(environ={"ALERT_REFRESH_ADMIN_TOKEN": ADMIN, "ALERT_REFRESH_READ_TOKEN": READ}).start() as world:
        post(world, "one", token=READ)
        post(world, "nobody", token=ADMIN)
        post(world, "one", "?wait=10s", token=ADMIN)
        shown = world.metrics()
    lines = [record.__dict__ for record in caplog.records if record.name == "alert_refresh.audit"]
    assert [(line["who"], line["action"], line["target"], line["result"]) for line in lines] == [
        ("read", "targets.refresh", "one", "forbidden"),
        ("admin", "targets.refresh", "nobody", "not_found"),
        ("admin", "targets.refresh", "one", "accepted"),
    ]
    counted = {status: shown[f'publishing_refresh_api_requests_total{{status="{status}"}}'] for status in ("success",)}
    assert counted == {"success": 1}
    assert shown['publishing_refresh_api_requests_total{status="bad_request"}'] == 1


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        fill(server.store, 3)
        yield server


@pytest.fixture
def cluster(tmp_path: Path, kube: KubeServer) -> Iterator[Any]:
    """A client of the whole daemon on the stand-in, without a watch."""
    environ = {
        "KUBECONFIG": str(kubeconfig(tmp_path / "kubeconfig", kube.url)),
        "TARGET_WATCH": "false",
        "TARGET_REFRESH_RATE_LIMIT": "0s",
        "TARGET_REFRESH_TIMEOUT": "3s",
        "TARGET_REFRESH_MAX_RETRIES": "0",
    }
    daemon = Daemon(read_config(environ))
    daemon.start()
    try:
        eventually(lambda: daemon.workers["targets"].get_status().succeeded == 1, "the first list")
        kube.requests.clear()
        yield create_app(daemon).test_client()
    finally:
        daemon.stop()


def refresh(client: Any, name: str) -> Any:
    return client.post(f"{TARGETS}/{name}/refresh?wait=20s")


def served(client: Any) -> dict[str, str]:
    return {one["name"]: one["state"] for one in client.get(TARGETS).json["targets"]}


FRESH = dict.fromkeys(("target-00000", "target-00001", "target-00002"), "fresh")


class TestOnACluster:
    def test_one_get_changes_one_target(self, kube: KubeServer, cluster: Any) -> None:
        generation = cluster.get(TARGETS).json["generation"]
        kube.store.replace(secret("target-00001", enabled=False))
        answered = refresh(cluster, "target-00001")
        assert (answered.status_code, answered.json["changed"]) == (200, True)
        assert [one.path for one in kube.requests] == [f"{SINGLE}target-00001"]
        assert cluster.get(f"{TARGETS}/target-00001").json["enabled"] is False
        assert cluster.get(TARGETS).json["generation"] == generation + 1
        status = cluster.get(f"{TARGETS}/status").json
        assert (status["status"], status["targets_discovered"]) == ("success", 3)
        again = refresh(cluster, "target-00001")
        assert (again.json["changed"], again.json["generation"]) == (False, generation + 1)

    def test_one_that_is_invalid_is_stale_and_one_that_is_renamed_has_its_new_name(
        self, kube: KubeServer, cluster: Any
    ) -> None:
        kube.store.replace(raw_secret("target-00001", "default", {"config": b"[]"}))
        assert refresh(cluster, "target-00001").status_code == 200
        assert served(cluster) == FRESH | {"target-00001": "stale"}
        document = secret("other")
        document["metadata"]["name"] = "target-00001"
        kube.store.replace(document)
        assert refresh(cluster, "target-00001").status_code == 200
        assert served(cluster) == {"other": "fresh", "target-00000": "fresh", "target-00002": "fresh"}
        assert refresh(cluster, "target-00001").status_code == 404

    @pytest.mark.parametrize("how", ["deleted", "without its label"])
    def test_one_that_is_no_target_any_more_goes(self, kube: KubeServer, cluster: Any, how: str) -> None:
        if how == "deleted":
            kube.store.delete("default", "target-00001")
        else:
            kube.store.replace(secret("target-00001", labels={}))
        assert refresh(cluster, "target-00001").status_code == 200
        assert served(cluster) == {"target-00000": "fresh", "target-00002": "fresh"}
        assert refresh(cluster, "target-00001").status_code == 404

    @pytest.mark.parametrize("code", [403, 410])
    def test_where_it_cannot_be_had_alone_everything_is_listed(self, kube: KubeServer, cluster: Any, code: int) -> None:
        rule = kube.fault(faults.status(code), SINGLE, times=1)
        kube.store.replace(secret("target-00001", enabled=False))
        kube.store.create(secret("new"))
        assert refresh(cluster, "target-00001").status_code == 200
        assert rule.fired == 1 and served(cluster) == FRESH | {"new": "fresh"}
        assert cluster.get(f"{TARGETS}/target-00001").json["enabled"] is False

    @pytest.mark.parametrize(
        ("action", "error_type"), [(faults.status(500), "k8s_api"), (faults.silence, "timeout")], ids=["500", "silence"]
    )
    def test_an_error_is_a_502_and_what_is_served_stays(
        self, kube: KubeServer, cluster: Any, action: Any, error_type: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        rule = kube.fault(action, SINGLE, times=1)
        kube.store.replace(secret("target-00001", enabled=False))
        answered = refresh(cluster, "target-00001")
        assert (answered.status_code, answered.json["error_type"]) == (502, error_type)
        assert rule.fired == 1 and served(cluster) == FRESH
        assert cluster.get(f"{TARGETS}/status").json["status"] == "failed"
        name = "alert_history_publishing_refresh_errors_total"
        assert f'{name}{{error_type="{error_type}"}} 1.0' in cluster.get("/metrics").text
        assert "canary" not in "".join(str(record.__dict__) for record in caplog.records) + answered.text
        assert refresh(cluster, "target-00001").status_code == 200
        assert cluster.get(f"{TARGETS}/target-00001").json["enabled"] is False
