"""Real answers for every example in `openapi.json`.

Each scene yields pairs of an example's address and the answer: `getTarget 200 target` is the example `target` of status
200 of that operation, `Unauthorized no_token` one of that component.
"""

from __future__ import annotations

import itertools
import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.test import EnvironBuilder, TestResponse

from alert_refresh.daemon import Daemon, read_config
from alert_refresh.engine import RefreshSettings, Transient
from alert_refresh.server.refusals import refusal
from alert_refresh.web.app import create_app
from tests.alertmanager.server import Alertmanager, Between
from tests.fakes import FakeClock
from tests.process.program import Program, raw
from tests.rules.examples import packed
from tests.rules.world import World as RulesWorld
from tests.stage import eventually
from tests.web.alertmanager.test_routes import Whole
from tests.web.test_manual_refresh import asking
from tests.web.views.world import ViewsWorld, held_view, holding
from tests.web.world import ADMIN, READ, World, target, targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Seen = tuple[str, TestResponse]

TARGETS, RULES, VIEWS, ENTITIES = "/api/v2/publishing/targets", "/api/v2/rules", "/api/v2/views", "/api/entities"
REFRESHES, ALERTMANAGER = "/api/v2/refreshes", "/api/v2/alertmanager"
AUTH = {"Authorization": f"Bearer {ADMIN}"}
READER = {"Authorization": f"Bearer {READ}"}
TOKENS = {"ALERT_REFRESH_ADMIN_TOKEN": ADMIN, "ALERT_REFRESH_READ_TOKEN": READ}
UNDISTURBED = RefreshSettings(warmup=10_000)

SECRETS: dict[str, dict[str, Any]] = {
    "slack.yaml": {
        "name": "slack-platform",
        "type": "slack",
        "format": "slack",
        "url": "https://hooks.slack.com/services/T00000000/B00000000/not-a-real-webhook",
        "filter_config": {"severity": ["critical"]},
    },
    "audit.yaml": {
        "name": "webhook-audit",
        "type": "webhook",
        "format": "webhook",
        "url": "https://audit.example.com/alerts",
        "headers": {"Authorization": "Bearer not-a-real-token"},
    },
    "broken.yaml": {"name": "pagerduty-oncall", "type": "pagerduty", "format": "pagerduty"},
}
RULE = {
    "id": "disk-full",
    "family": "capacity",
    "priority": 50,
    "match": ['alertname="DiskFull"', 'severity=~"warning|critical"'],
    "targets": ["slack-platform", "pagerduty-oncall"],
    "description": "A disk will be full within a day.",
}
ALERT = {"labels": {"alertname": "DiskFull", "severity": "critical"}}


def configured(folder: Path) -> Daemon:
    """A daemon with three Secrets, one of them broken, a rule, and both tokens; its clock stands still."""
    secrets = folder / "targets"
    secrets.mkdir()
    for file, config in SECRETS.items():
        head = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {config['name']}, namespace: monitoring"
        text = f"{head}, labels: {{publishing-target: 'true'}}}}\nstringData: {{config: '{json.dumps(config)}'}}\n"
        (secrets / file).write_text(text)
    (secrets / "map.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map}\n")
    (folder / "rules.json").write_text(json.dumps([RULE]))
    files = {"TARGET_DIRECTORY": str(secrets), "RULES_FILE": str(folder / "rules.json")}
    return Daemon(read_config({**files, **TOKENS}), FakeClock())


def loaded(folder: Path) -> Iterator[Seen]:
    """Everything that can be read of targets and rules, and every refusal that needs no state."""
    daemon = configured(folder)
    get = create_app(daemon).test_client().get
    yield "getReadiness 503 not_ready", get("/readyz")
    yield "NotServed not_loaded", get(TARGETS)
    yield "NotLoaded not_loaded", create_app(daemon).test_client().post(f"{RULES}/match", json=ALERT)
    daemon.start()
    try:
        eventually(lambda: all(daemon.workers[kind].get_status().last_success_at for kind in ("targets", "rules")))
        yield from _service(get)
        yield from _reads(get)
        client: Any = create_app(daemon).test_client()
        yield "matchRules 200 match", client.post(f"{RULES}/match", json=ALERT)
        yield from _refusals(client)
        yield "NotHeld nothing_held", client.post(f"{RULES}/approve?proposal=9f86d081884c7d65", headers=AUTH)
        client.post(f"{TARGETS}/refresh?wait=10s", headers=AUTH)
        yield "RateLimited too_soon", client.post(f"{TARGETS}/refresh", headers=AUTH)
    finally:
        daemon.stop()


def _service(get: Callable[..., TestResponse]) -> Iterator[Seen]:
    yield "listRoutes 200 routes", get("/")
    yield "listRoutes 200 page", get("/", headers={"Accept": "text/html"})
    for name, file in (
        ("script", "page.js"),
        ("style", "page.css"),
        ("icon", "icon-ok.png"),
        ("causes", "causes.json"),
    ):
        yield f"getPageFile 200 {name}", get(f"/page/{file}")
    yield "getRunbook 200 page", get("/runbooks/runbook-targets.md")
    yield "getVersion 200 version", get("/api/v2/version")
    yield "getLiveness 200 ok", get("/healthz")
    yield "getReadiness 200 ready", get("/readyz")
    yield "getHealth 200 healthy", get("/health")
    yield "getMetrics 200 text", get("/metrics")
    yield "getMetrics 200 openmetrics", get("/metrics", headers={"Accept": "application/openmetrics-text"})
    yield "getOpenapi 200 openapi", get("/openapi.json")
    yield "getDocs 200 page", get("/docs")
    yield "getDocsPageScript 200 script", get("/docs/page.js")
    yield "getDocsViewer 200 script", get("/docs/rapidoc-min.js")


def _reads(get: Callable[..., TestResponse]) -> Iterator[Seen]:
    yield "listTargets 200 targets", get(TARGETS)
    yield "listTargets 200 revealed", get(f"{TARGETS}?reveal=true&type=webhook", headers=READER)
    yield "getTargetsStatus 200 success", get(f"{TARGETS}/status")
    yield "getTarget 200 target", get(f"{TARGETS}/slack-platform")
    yield "getTarget 404 unknown", get(f"{TARGETS}/nobody")
    yield "listRules 200 rules", get(RULES)
    yield "getRulesStatus 200 success", get(f"{RULES}/status")
    yield "getRule 200 rule", get(f"{RULES}/disk-full")
    yield "getRule 404 unknown", get(f"{RULES}/nothing")


def _refusals(client: Any) -> Iterator[Seen]:
    post = client.post
    yield "BadRequest unknown_parameter", client.get(f"{TARGETS}?kind=slack")
    yield "Unauthorized no_token", post(f"{TARGETS}/refresh")
    yield "Forbidden read_token", post(f"{TARGETS}/refresh", headers=READER)
    yield "NotFound unknown_path", client.get("/api/v2/nothing")
    yield "MethodNotAllowed wrong_method", client.delete(TARGETS)
    yield "PayloadTooLarge large_body", post(f"{TARGETS}/refresh", headers=AUTH, data=b"x" * 1025)
    many = {"labels": {f"label_{number}": "x" for number in range(65)}}
    yield "matchRules 413 many_labels", post(f"{RULES}/match", json=many)
    yield "UnsupportedMediaType form", post(f"{RULES}/match", data={"severity": "critical"})
    yield "DetailUnauthorized no_token", post(f"{ENTITIES}/refresh")
    yield "DetailForbidden read_token", post(f"{ENTITIES}/refresh", headers=READER)
    yield "DetailPayloadTooLarge large_body", post(f"{ENTITIES}/refresh", headers=AUTH, data=b"x" * 1025)
    yield "DetailBadRequest unknown_parameter", post(f"{ENTITIES}/refresh?veiw=mv_descendant_counts", headers=AUTH)
    yield "DetailMethodNotAllowed wrong_method", client.delete(f"{ENTITIES}/refresh")


def off(_: Path) -> Iterator[Seen]:
    """Every kind is off, and no token is configured."""
    client: Any = create_app(Daemon(read_config({}))).test_client()
    yield "getTargetsStatus 200 off", client.get(f"{TARGETS}/status")
    yield "getRulesStatus 200 off", client.get(f"{RULES}/status")
    yield "getEntityViewsStatus 200 off", client.get(f"{ENTITIES}/refresh/status")
    yield "RefreshUnavailable off", client.post(f"{TARGETS}/refresh")
    yield "NotServed off", client.get(TARGETS)
    yield "NotLoaded off", client.post(f"{RULES}/match", json=ALERT)
    yield "getViewsStatus 200 off", client.get(f"{VIEWS}/status")
    yield "getAlertmanagerStatus 200 off", client.get(f"{ALERTMANAGER}/status")
    yield "KindNotRunning off", client.post(f"{TARGETS}/approve?proposal=9f86d081884c7d65")
    yield "DetailUnavailable off", client.post(f"{ENTITIES}/refresh")
    yield "DetailUnreadable off", client.get(f"{ENTITIES}/e1/ancestors")
    yield "RevealForbidden no_token_configured", client.get(f"{TARGETS}?reveal=true")


def not_running(folder: Path) -> Iterator[Seen]:
    """The daemon is configured and does not run."""
    client: Any = create_app(configured(folder)).test_client()
    yield "RefreshUnavailable not_running", client.post(f"{TARGETS}/refresh", headers=AUTH)


class Cluster(World):
    """Two targets from a scripted source that says it is a cluster."""

    def __init__(self, settings: RefreshSettings = UNDISTURBED, tokens: Mapping[str, str] = TOKENS) -> None:
        self.found = [target("slack-platform"), target("webhook-audit", type="webhook", format="webhook")]
        super().__init__(
            answer=lambda number: targets(*self.found, digest=str(len(self.found))), settings=settings, environ=tokens
        )
        self.source.name = "kubernetes"


def refreshes(_: Path) -> Iterator[Seen]:
    """Refreshes that are accepted, succeed, and run while another is asked for."""
    with Cluster().start() as world:
        for operation, path in (("refreshTargets", ""), ("refreshTarget", "/slack-platform")):
            answer = world.client.post(f"{TARGETS}{path}/refresh?wait=10s", headers=AUTH)
            yield f"{operation} 200 finished", answer
            world.clock.advance(60)
            yield f"{operation} 202 accepted", world.client.post(f"{TARGETS}{path}/refresh", headers=AUTH)
            world.attempt_ends()
            world.attempt_ends()
            world.clock.advance(60)
        yield "refreshTarget 404 unknown", world.client.post(f"{TARGETS}/nobody/refresh", headers=AUTH)
        begun, _release = world.hang()
        world.post(token=ADMIN)
        assert begun.wait(30)
        yield "RefreshUnavailable in_progress", world.post(token=ADMIN)


def rules_refreshes(folder: Path) -> Iterator[Seen]:
    """A refresh of the rules that is accepted, and one that succeeds."""
    with RulesWorld(folder / "rules", packed(10), **TOKENS).start() as world:
        yield "refreshRules 200 finished", world.client.post(f"{RULES}/refresh?wait=10s", headers=AUTH)
        world.attempt_ends()
        world.clock.advance(1)
        yield "refreshRules 202 accepted", world.client.post(f"{RULES}/refresh", headers=AUTH)
        world.attempt_ends()


def feed(folder: Path) -> Iterator[Seen]:
    """The last refreshes and the stream of events, which one client may follow at a time."""
    with Cluster(tokens={"ALERT_REFRESH_MAX_STREAMS": "1"}).start() as world:
        get = world.client.get
        listed = get(REFRESHES)
        yield "listRefreshes 200 refreshes", listed
        yield "getRefresh 200 success", get(f"{REFRESHES}/{listed.json['refreshes'][0]['request_id']}")
        yield "getRefresh 404 unknown", get(f"{REFRESHES}/0a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11")
        stream = get("/api/v2/events", headers={"Last-Event-ID": "1700000000000.0"})
        begun = b"".join(itertools.islice(stream.iter_encoded(), 2))
        asked = f"?generation={get(TARGETS).json['generation']}&wait=60s"
        yield "TooManyStreams too_many_streams", get(f"{TARGETS}/status{asked}")
        yield "NotServed too_many_streams", get(f"{TARGETS}{asked}")
        stream.close()
        yield "followEvents 200 stream", TestResponse([begun], "200 OK", stream.headers, stream.request)


def failures(_: Path) -> Iterator[Seen]:
    """A source that fails, once and for long."""
    cause = Transient("connection refused by 10.0.0.1:6443", "network")
    with Cluster(RefreshSettings(max_retries=0)).start() as world:
        world.fail(cause)
        yield "RefreshFailed failed", world.post("?wait=10s", token=ADMIN)
        world.attempt_ends()
        yield "getTargetsStatus 200 failed", world.get("/status")
        yield "getHealth 200 degraded", world.client.get("/health")
        world.clock.advance(1800)
        world.attempt_ends()
        eventually(lambda: not world.daemon.stuck())
        yield "getHealth 503 unhealthy", world.client.get("/health")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.worker, "health", lambda: "targets-worker")
            yield "getLiveness 503 stuck", world.client.get("/healthz")
            patch.setattr(world.worker, "health", lambda: None.stuck)  # type: ignore[attr-defined]  # the mistake
            yield "InternalError mistake", world.client.get("/healthz")
    with Cluster(tokens={}).start() as world:
        world.fail(cause)
        ask = asking(world, "?wait=10s")
        world.clock.wait_for_sleeper(10)
        world.attempt_ends()
        world.clock.wait_for_sleeper(30)
        world.clock.advance(10)
        yield "RefreshFailed retrying", ask()


def held(folder: Path) -> Iterator[Seen]:
    """Removals that are held, approved and rejected."""
    for action, operation in (("approve", "approveTargetsRemoval"), ("reject", "rejectTargetsRemoval")):
        with Cluster().start() as world:
            world.found.clear()
            world.post("?wait=10s", token=ADMIN)
            status = world.get("/status")
            yield "getTargetsStatus 200 held", status
            decide = f"{TARGETS}/{action}?proposal="
            yield "NotHeld another_held", world.client.post(f"{decide}9f86d081884c7d65", headers=AUTH)
            proposal = status.json["held"]["proposal"]
            yield f"{operation} 200 decided", world.client.post(f"{decide}{proposal}", headers=AUTH)
    with Cluster().start() as world:
        world.found.clear()
        world.post("?wait=10s", token=ADMIN)
        decide = f"{TARGETS}/approve?proposal={world.get('/status').json['held']['proposal']}"
        world.daemon.stop()
        yield "KindNotRunning not_running", world.client.post(decide, headers=AUTH)
    for action, operation in (("approve", "approveRulesRemoval"), ("reject", "rejectRulesRemoval")):
        with RulesWorld(folder / action, packed(2)).start() as rules:
            rules.put(b"[]")
            proposal = rules.get("/status").json["held"]["proposal"]
            yield f"{operation} 200 decided", rules.post(f"/{action}?proposal={proposal}")


def views(_: Path) -> Iterator[Seen]:
    """The views over a real database."""
    with ViewsWorld() as world:
        world.start()
        eventually(lambda: world.get("/refresh/status").json["notifications"]["connected"], "LISTEN")
        yield "getEntityViewsStatus 200 available", world.get("/refresh/status")
        yield "getAncestors 200 ancestors", world.get("/e1.e2/ancestors")
        yield "countDescendants 200 descendants", world.get("/e1/descendants/count")
        yield "DetailNotFound unknown", world.get("/nobody/ancestors")
        client: Any = world.app.test_client()
        yield "listViews 200 views", client.get(VIEWS)
        yield "getViewsStatus 200 success", client.get(f"{VIEWS}/status")
        yield "getView 200 view", client.get(f"{VIEWS}/mv_descendant_counts")
        yield "getView 404 unknown", client.get(f"{VIEWS}/mv_nowhere")
        yield "refreshViews 404 unknown", client.post(f"{VIEWS}/refresh?view=mv_nowhere")
        yield "refreshViews 200 finished", client.post(f"{VIEWS}/refresh?wait=60s")
        yield "refreshEntityViews 200 success", world.post()
        yield "forceAutomatedRefresh 200 forced", world.post("/automated/force")
        world.database.run("drop materialized view mv_entity_hierarchy_stats")
        yield "refreshEntityViews 200 partial_success", world.post()
        yield "forceAutomatedRefresh 200 partial_success", world.post("/automated/force")
        yield "getAutomatedMetrics 200 history", world.get("/refresh/automated/metrics?limit=1")
        world.database.run("drop table entities cascade")
        yield "DetailRefreshFailed all_failed", world.post()
        yield "startAutomatedRefresh 200 already_running", world.post("/automated/start")
        yield "stopAutomatedRefresh 200 stopped", world.post("/automated/stop")
        yield "DetailNotRunning not_running", world.post("/automated/stop")
        yield "startAutomatedRefresh 200 started", world.post("/automated/start")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.source.resolver, "metrics", lambda: None.metrics)  # type: ignore[attr-defined]
            yield "DetailInternalError mistake", world.get("/refresh/status")


def slow_views(_: Path) -> Iterator[Seen]:
    """A refresh of a view that takes long."""
    with ViewsWorld() as first:
        held_view(first.database, "mv_slow")
        settings = {"VIEWS": "mv_slow", "VIEWS_REFRESH_RATE_LIMIT": "1h", "VIEWS_REFRESH_ENABLED": "false"}
        with ViewsWorld(first.database, **settings) as world:
            world.start()
            with holding(first.database) as let_go:
                yield "refreshEntityViews 202 accepted", world.post("?wait=0s")
                yield "DetailUnavailable in_progress", world.post()
                let_go()
                world.attempt_ends()
            yield "DetailRateLimited too_soon", world.post()
        with ViewsWorld(first.database, VIEWS="mv_slow") as world:
            world.start()
            with holding(first.database):
                yield "forceAutomatedRefresh 202 accepted", world.post("/automated/force?wait=0s")
        with ViewsWorld(first.database, VIEWS="mv_slow", VIEWS_REFRESH_ENABLED="false") as world:
            world.start()
            yield "refreshViews 202 accepted", world.app.test_client().post(f"{VIEWS}/refresh")


def alertmanager(folder: Path) -> Iterator[Seen]:
    """What a real Alertmanager delivers, and that it does not answer any more."""
    (folder / "alertmanager").mkdir()
    with Alertmanager(folder / "alertmanager") as one, Between(one) as between:
        whole = Whole(folder, between)
        whole.daemon.start()
        try:
            eventually(whole.settled, "delivery")
            yield "getAlertmanagerStatus 200 success", on_its_usual_port(whole.client.get(f"{ALERTMANAGER}/status"))
            yield "getTarget 200 undeliverable", whole.client.get(f"{TARGETS}/bad")
            alert = {"labels": {"severity": "critical", "größe": "x"}}
            yield "matchRules 200 undeliverable", whole.client.post(f"{RULES}/match", json=alert)
            yield "refreshAlertmanager 200 finished", in_turn(whole.client, f"{ALERTMANAGER}/refresh?wait=20s")
            yield "refreshAlertmanager 202 accepted", in_turn(whole.client, f"{ALERTMANAGER}/refresh")
            eventually(whole.settled, "another one")
            eventually(partial(fails_once, whole, between), "a single failure")
            yield "getAlertmanagerStatus 200 failed", on_its_usual_port(whole.client.get(f"{ALERTMANAGER}/status"))
        finally:
            whole.daemon.stop()


def fails_once(whole: Whole, between: Between) -> bool:
    """Let a refresh of Alertmanager fail; False, and all is well again, if one that nobody asked for failed before."""
    between.answers["*"] = (503, b"")
    whole.client.post(f"{ALERTMANAGER}/refresh")
    eventually(lambda: whole.get(f"{ALERTMANAGER}/status").get("next_attempt"), "the failure")
    if whole.get(f"{ALERTMANAGER}/status")["consecutive_failures"] == 1:
        return True
    between.answers.clear()
    in_turn(whole.client, f"{ALERTMANAGER}/refresh")
    eventually(whole.settled, "the return")
    return False


def in_turn(client: Any, path: str) -> TestResponse:
    """The answer to a POST, once no refresh runs that something else asked for."""
    answers: list[TestResponse] = []

    def over() -> bool:
        answers.append(client.post(path))
        return answers[-1].status_code != 503

    eventually(over, "a refresh")
    return answers[-1]


def on_its_usual_port(answer: TestResponse) -> TestResponse:
    """The answer with Alertmanager's usual port, where the test has a free one."""
    data = re.sub(rb"127\.0\.0\.1:\d+", b"127.0.0.1:9093", answer.data)
    return TestResponse([data], answer.status, answer.headers, answer.request)


def server(_: Path) -> Iterator[Seen]:
    """What the server answers before the application is asked."""
    heads = {
        "UriTooLong long_address": b"GET /?%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 9000),
        "HeadersTooLarge large_header": b"GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % (b"x" * 40_000),
        "ExpectationFailed unknown_expectation": b"GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n",
        "VersionNotSupported http_2": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "DetailBadRequest broken_request": b"GET /api/entities/e1/ancestors HTTP/1.1\r\nHost : a\r\n\r\n",
    }
    with Program() as program:
        for address, head in heads.items():
            path = head.split(b" ", 2)[1].decode()
            yield address, parsed(path, raw(program, head))
    yield "RequestTimeout slow", parsed("/", refusal(408))


def parsed(path: str, answer: bytes) -> TestResponse:
    """The bytes of an answer as that of a test client."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return TestResponse([body], status.partition(" ")[2], headers, EnvironBuilder(path).get_request())  # type: ignore[arg-type]


SCENES: tuple[Callable[[Path], Iterator[Seen]], ...] = (
    loaded,
    off,
    not_running,
    refreshes,
    rules_refreshes,
    feed,
    failures,
    held,
    views,
    slow_views,
    alertmanager,
    server,
)
