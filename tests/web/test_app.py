from __future__ import annotations

import re
import threading
import uuid
from io import BytesIO
from typing import Any

import pytest

from alert_refresh import alertmanager, rules, targets, views
from alert_refresh.daemon import Daemon, read_config
from alert_refresh.engine import Kind, RefreshSettings
from alert_refresh.web.app import create_app
from tests.fakes import FakeClock, FakeSource
from tests.web.world import ADMIN, TARGETS, OneKind, World

ROUTES = {
    ("GET", "/"),
    ("GET", "/page/<name>"),
    ("GET", "/runbooks/<name>"),
    ("GET", "/api/v2/version"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/docs/page.js"),
    ("GET", "/docs/rapidoc-min.js"),
    ("GET", "/api/v2/events"),
    ("GET", "/api/v2/refreshes"),
    ("GET", "/api/v2/refreshes/<request_id>"),
    ("GET", TARGETS),
    ("GET", f"{TARGETS}/status"),
    ("POST", f"{TARGETS}/refresh"),
    ("POST", f"{TARGETS}/approve"),
    ("POST", f"{TARGETS}/reject"),
    ("POST", f"{TARGETS}/<target_name:name>/refresh"),
    ("GET", f"{TARGETS}/<target_name:name>"),
    ("GET", "/api/v2/rules"),
    ("GET", "/api/v2/rules/status"),
    ("POST", "/api/v2/rules/refresh"),
    ("POST", "/api/v2/rules/approve"),
    ("POST", "/api/v2/rules/reject"),
    ("POST", "/api/v2/rules/match"),
    ("GET", "/api/v2/rules/<rule_id:rule_id>"),
    ("GET", "/api/v2/views"),
    ("GET", "/api/v2/views/status"),
    ("POST", "/api/v2/views/refresh"),
    ("GET", "/api/v2/views/<view_name:name>"),
    ("GET", "/api/v2/alertmanager/status"),
    ("POST", "/api/v2/alertmanager/refresh"),
    ("POST", "/api/entities/refresh"),
    ("GET", "/api/entities/refresh/status"),
    ("POST", "/api/entities/refresh/automated/start"),
    ("POST", "/api/entities/refresh/automated/stop"),
    ("POST", "/api/entities/refresh/automated/force"),
    ("GET", "/api/entities/refresh/automated/metrics"),
    ("GET", "/api/entities/<path>/ancestors"),
    ("GET", "/api/entities/<path>/descendants/count"),
}

SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'",
    "Cache-Control": "no-store",
}


def test_the_routes_are_these_and_no_others() -> None:
    with World() as world:
        rules = world.app.url_map.iter_rules()
        assert {(method, rule.rule) for rule in rules for method in (rule.methods or ())} - {
            (method, path) for _, path in ROUTES for method in ("HEAD", "OPTIONS")
        } == ROUTES


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/healthz", 200),
        ("GET", f"{TARGETS}/status", 200),
        ("GET", TARGETS, 200),
        ("HEAD", f"{TARGETS}/one", 200),
        ("OPTIONS", f"{TARGETS}/status", 200),
        ("POST", f"{TARGETS}/refresh", 202),
        ("POST", f"{TARGETS}/one/refresh", 202),
        ("POST", f"{TARGETS}/nobody/refresh", 404),
        ("POST", f"{TARGETS}/status/refresh", 404),
        ("GET", f"{TARGETS}/one/refresh", 405),
        ("GET", f"{TARGETS}/nobody", 404),
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/api/v2/version", 200),
        ("GET", "/nothing", 404),
        ("DELETE", f"{TARGETS}/status", 405),
        ("GET", f"{TARGETS}?type=x", 400),
    ],
)
def test_every_answer_is_json_with_the_headers_that_keep_it_safe(method: str, path: str, code: int) -> None:
    with World().start() as world:
        response = world.client.open(path, method=method)
        assert response.status_code == code
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        cached = path.startswith("/api/") and method in ("GET", "HEAD") and code == 200
        expected = SAFE | ({"Cache-Control": "no-cache"} if cached else {})
        assert {name: response.headers[name] for name in SAFE} == expected
        assert uuid.UUID(response.headers["X-Request-ID"])
        assert not [name for name, _ in response.headers if name.startswith("Access-Control") or name == "Server"]
        assert "Strict-Transport-Security" not in response.headers
        assert len(response.headers.getlist("Cache-Control")) == 1
        if code >= 400:
            assert set(response.json) == {"error", "message", "request_id"}


@pytest.mark.parametrize(("method", "path"), sorted(one for one in ROUTES if one[1].startswith("/api/")))
@pytest.mark.parametrize("off", [False, True])
def test_a_query_parameter_that_a_route_does_not_know_is_a_400_on_every_route(
    method: str, path: str, off: bool
) -> None:
    environ = {"ALERT_REFRESH_ADMIN_TOKEN": ADMIN}
    with World(off=off, environ=environ) as world:
        if not off:
            world.start()
        shown = re.sub("<[^>]+>", "one", path)
        sent: dict[str, Any] = {"json": {"labels": {}}} if path.endswith("/match") else {}
        for query in ("nonsense=1", "waits=1s", "Type=slack", "reveal=true&nonsense="):
            headers = {"Authorization": f"Bearer {ADMIN}"}
            response = world.client.open(f"{shown}?{query}", method=method, headers=headers, **sent)
            assert response.status_code == 400, query
            assert "nonsense" not in response.text
        if method == "POST" and not sent:
            assert world.client.post(f"{shown}?nonsense=1").status_code == 401, "the client is checked first"


def test_every_route_of_a_kind_that_is_off_says_how_to_switch_it_on_and_when_to_come_again() -> None:
    client = create_app(Daemon(read_config({}))).test_client()
    kinds = {
        TARGETS: targets.KIND.enable_hint,
        "/api/v2/rules": rules.KIND.enable_hint,
        "/api/v2/views": views.KIND.enable_hint,
        "/api/entities": views.KIND.enable_hint,
        "/api/v2/alertmanager": alertmanager.KIND.enable_hint,
    }
    asked = 0
    for method, path in ROUTES:
        enable_hint = next((enable_hint for prefix, enable_hint in kinds.items() if path.startswith(prefix)), None)
        if enable_hint is None:
            continue
        sent: dict[str, Any] = {"json": {"labels": {}}} if path.endswith("/match") else {}
        response: Any = client.open(re.sub("<[^>]+>", "one", path), method=method, **sent)
        asked += 1
        if path.endswith("/status"):
            assert (response.status_code, response.json["status"]) == (200, "off")
        else:
            assert response.status_code == 503, path
            assert int(response.headers["Retry-After"]) >= 1
        assert enable_hint in (response.json.get("message") or response.json["detail"])
    assert asked == len(ROUTES) - 15


def test_metrics_are_text_with_the_same_safe_headers() -> None:
    with World() as world:
        response = world.client.get("/metrics")
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert {name: response.headers[name] for name in SAFE} == SAFE


def test_strict_transport_security_only_over_tls() -> None:
    with World() as world:
        response = world.client.get("/healthz", base_url="https://localhost")
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_an_answer_may_set_its_own_cache_control_and_policy() -> None:
    with World() as world:

        @world.app.get("/page")
        def page() -> Any:
            return "", 200, {"Cache-Control": "no-cache", "Content-Security-Policy": "default-src 'self'"}

        response = world.client.get("/page")
        assert response.headers.getlist("Cache-Control") == ["no-cache"]
        assert response.headers.getlist("Content-Security-Policy") == ["default-src 'self'"]


def test_the_app_can_be_built_twice_in_one_process_c10() -> None:
    with World().start() as world:
        before = set(threading.enumerate())
        others = [create_app(world.daemon) for _ in range(2)]
        assert set(threading.enumerate()) <= before, "building an app starts no thread"
        world.post("?wait=5s")
        for app in (world.app, *others):
            client = app.test_client()
            assert client.get(f"{TARGETS}/status").status_code == 200
            text = client.get("/metrics").get_data(as_text=True)
            assert text.count("# TYPE alert_history_publishing_refresh_total counter") == 1
            assert 'alert_history_publishing_refresh_total{status="success"} 2.0' in text


def test_two_daemons_in_one_process_count_apart_c10() -> None:
    with World().start() as one, World() as other:
        name = 'alert_history_publishing_refresh_total{status="success"}'
        assert (one.metrics()[name], other.metrics()[name]) == (1, 0)


def test_each_request_is_one_access_line_with_its_route_and_never_its_query(caplog: pytest.LogCaptureFixture) -> None:
    with World().start() as world:
        caplog.set_level("INFO", "alert_refresh.access")
        caplog.clear()
        world.get("/one?reveal=nonsense&token=hidden")
        world.client.open("/a%20b%0Ac\u2028?token=hidden", method="PURGE")
        world.post(headers={"X-Request-ID": "0a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11"})
        lines = [vars(record) for record in caplog.records if record.name == "alert_refresh.access"]
    assert [(one["method"], one["route"], one["status"], one["ip"]) for one in lines] == [
        ("GET", f"{TARGETS}/<target_name:name>", 400, "127.0.0.1"),
        ("OTHER", "/a%20b%0Ac%E2%80%A8", 404, "127.0.0.1"),
        ("POST", f"{TARGETS}/refresh", 202, "127.0.0.1"),
    ]
    assert lines[2]["request_id"] == "0a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11"
    assert all(one["duration_ms"] == 0 for one in lines)
    assert "hidden" not in str(lines)


def test_a_long_path_is_cut_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "alert_refresh.access")
    with World() as world:
        world.client.get("/" + "x" * 65536)
    line = next(vars(record) for record in caplog.records if record.name == "alert_refresh.access")
    assert line["route"] == "/" + "x" * 199


def test_nothing_starts_and_nothing_is_logged_when_the_access_log_is_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "alert_refresh.access")
    with World() as world:
        world.client.get("/healthz")
    assert not [record for record in caplog.records if record.name == "alert_refresh.access"]


class Endless(BytesIO):
    """An endless body that counts the bytes read from it."""

    taken = 0

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        buffer[:] = b"x" * size
        self.taken += size
        return size


@pytest.mark.parametrize("length", [None, "0", "5"])
def test_h06_of_an_endless_body_no_more_than_the_limit_is_read(length: str | None) -> None:
    with World().start() as world:
        body = Endless()
        environ: dict[str, Any] = {"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_LENGTH": length or ""}
        response = world.client.post(f"{TARGETS}/refresh", environ_overrides=environ)
        assert (response.status_code, response.json["error"]) == (413, "payload_too_large")
        assert body.taken == 1025


@pytest.mark.parametrize(("size", "code"), [(0, 202), (1, 400), (1024, 400), (1025, 413)])
def test_h06_a_chunked_body_is_measured_as_it_is_read(size: int, code: int) -> None:
    with World().start() as world:
        environ: dict[str, Any] = {"wsgi.input": BytesIO(b"x" * size), "wsgi.input_terminated": True}
        assert world.client.post(f"{TARGETS}/refresh", environ_overrides=environ).status_code == code


def test_h06_a_body_announced_as_too_long_is_not_read_at_all() -> None:
    with World().start() as world:
        body = Endless()
        environ: dict[str, Any] = {"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_LENGTH": "1025"}
        world.client.post(f"{TARGETS}/refresh", environ_overrides=environ | {"CONTENT_LENGTH": str(1 << 30)})
        assert body.taken == 0


def test_h06_a_body_that_breaks_off_is_a_400() -> None:
    class Broken(BytesIO):
        def readinto(self, buffer: Any) -> int:
            raise ConnectionResetError

    with World().start() as world:
        environ: dict[str, Any] = {"wsgi.input": Broken(), "wsgi.input_terminated": True, "CONTENT_LENGTH": "10"}
        response = world.client.post(f"{TARGETS}/refresh", environ_overrides=environ)
        assert (response.status_code, response.json["error"]) == (400, "invalid_request")


def test_a_daemon_without_any_kind_answers_everything() -> None:
    daemon = OneKind(None, FakeClock(), RefreshSettings(), {})
    client = create_app(daemon).test_client()
    for path in ("/healthz", "/readyz", "/health", "/metrics", f"{TARGETS}/status"):
        assert client.get(path).status_code == 200


def test_kinds_of_other_names_get_their_metrics_too() -> None:
    daemon = OneKind(FakeSource(), FakeClock(), RefreshSettings(), {}, Kind("prices", "PRICES_", ("network",)))
    text = create_app(daemon).test_client().get("/metrics").get_data(as_text=True)
    assert 'alert_refresh_errors_total{error_type="network",kind="prices"} 0.0' in text
