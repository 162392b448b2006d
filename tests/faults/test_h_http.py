"""Attacks over HTTP against the application."""

from __future__ import annotations

import base64
import json
import logging
import random
import re
import statistics
import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from flask import g, request

from alert_refresh.config import read_server
from alert_refresh.credential import Credential
from alert_refresh.engine import Fault, Rejected, Snapshot
from alert_refresh.env import Env
from alert_refresh.observe.formats import Console, Json
from alert_refresh.web.auth import Auth
from tests.fakes import FakeClock
from tests.observe.notify.hooks import Hook, failure
from tests.stage import eventually
from tests.web.world import ADMIN, READ, TARGETS, World, target, targets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alert_refresh.observe.refreshes import Record

BOTH = {"ALERT_REFRESH_ADMIN_TOKEN": ADMIN, "ALERT_REFRESH_READ_TOKEN": READ}
REFRESH = f"{TARGETS}/refresh"
GETS = (
    TARGETS,
    f"{TARGETS}/status",
    f"{TARGETS}/one",
    "/healthz",
    "/readyz",
    "/health",
    "/metrics",
    "/openapi.json",
    "/docs",
)
EVENTS = "/api/v2/events"
HOSTILE = '\n{"level":"x"}\r\x1b[31m\u2028\u202e</script>'


def is_error(response: Any, status: int, error: str) -> bool:
    """Whether a response is this error, in the common JSON shape."""
    body = response.json
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert {"error", "message", "request_id"} <= set(body)
    assert body["request_id"] == response.headers["X-Request-ID"]
    return (response.status_code, body["error"]) == (status, error)


def test_h03_the_time_of_a_refusal_reveals_nothing_about_the_token() -> None:
    token = "0123456789abcdef" * 4
    early, late = "x" + token[1:], token[:-1] + "x"
    env = Env({"ALERT_REFRESH_ADMIN_TOKEN": token})
    auth = Auth(read_server(env, {}), FakeClock(), lambda: None)

    def score(order_of: int) -> float:
        """Welch's t of refusing either 10,000 times, in random order, the slowest tenth of each left out."""
        took: dict[str, list[int]] = {early: [], late: []}
        order = [early, late] * 10_000
        random.Random(order_of).shuffle(order)
        for sent in order:
            request.environ["HTTP_AUTHORIZATION"] = " ".join(("Bearer", sent))
            began = time.perf_counter_ns()
            who = auth.who()
            elapsed = time.perf_counter_ns() - began  # before the look for the token in `took`, which takes its time
            took[sent].append(elapsed)
            assert who == "anonymous"
        one, other = (sorted(times)[: len(times) * 9 // 10] for times in took.values())
        spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
        difference: float = statistics.fmean(one) - statistics.fmean(other)
        return float(abs(difference) / spread**0.5)

    with World().app.test_request_context("/"):
        g.request_id = ""
        assert any(score(attempt) < 4.5 for attempt in range(10))


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PURGE"])
def test_h05_other_methods_on_the_refresh_route_are_a_405_with_allow(method: str) -> None:
    with World(environ=BOTH).start() as world:
        response = world.client.open(REFRESH, method=method, headers={"Authorization": f"Bearer {ADMIN}"})
        assert response.status_code == 405
        assert response.headers["Allow"] == "OPTIONS, POST"
        assert method == "HEAD" or is_error(response, 405, "method_not_allowed")
        assert world.source.calls == 1


@pytest.mark.parametrize("path", GETS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "CONNECT"])
def test_h05_routes_to_read_refuse_all_else(method: str, path: str) -> None:
    with World().start() as world:
        response = world.client.open(path, method=method)
        assert is_error(response, 405, "method_not_allowed")
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", GETS)
def test_h05_head_is_get_without_the_body_and_options_lists_the_methods(path: str) -> None:
    with World().start() as world:
        get, head, options = (world.client.open(path, method=method) for method in ("GET", "HEAD", "OPTIONS"))
        assert (head.status_code, head.data) == (get.status_code, b"")
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
        assert set(re.split(", ", options.headers["Allow"])) == {"GET", "HEAD", "OPTIONS"}
        assert options.status_code == 200


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_h05_a_method_override_is_ignored(name: str) -> None:
    with World().start() as world:
        assert world.get("/status", headers={name: "DELETE"}).json["status"] == "success"
        assert is_error(world.client.get(REFRESH, headers={name: "POST"}), 405, "method_not_allowed")
        assert world.client.get(f"{REFRESH}?_method=POST").status_code == 405
        assert world.source.calls == 1


def test_h05_no_answer_speaks_of_other_origins() -> None:
    with World().start() as world:
        preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        for method in ("GET", "OPTIONS", "POST"):
            for path in (*GETS, REFRESH, "/nowhere"):
                response = world.client.open(path, method=method, headers=preflight)
                assert not [name for name, _ in response.headers if name.startswith("Access-Control")]
                assert "evil.example" not in str(response.headers) + response.get_data(as_text=True)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b"[" * 1000, "application/json"),
        (b"a=b", "application/x-www-form-urlencoded"),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
        (b"<a/>", "text/xml"),
        (b"\xff\xfe", "\x00"),
    ],
)
def test_h07_any_body_on_a_refresh_is_a_400_and_nothing_parses_it(body: bytes, content_type: str) -> None:
    with World().start() as world:
        assert is_error(world.post(data=body, content_type=content_type), 400, "invalid_request")
        assert world.source.calls == 1


GOOD_ID = "0A4C45a0-61a5-4f9c-8ad5-2b5a4f9e0c11"


@pytest.mark.parametrize(
    "sent",
    [
        "x" * 10_240,
        "<script>alert(1)</script>",
        '","admin":true,"x":"',
        "{0a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11}",
        "urn:uuid:0a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11",
        "0a4c45a061a54f9c8ad52b5a4f9e0c11",
        f"{GOOD_ID}\r\nSet-Cookie: a=b",
        f"{GOOD_ID}\n",
        f" {GOOD_ID}",
        f"{GOOD_ID},{GOOD_ID}",
        "\u0660a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11",
        "\xff",
        "",
    ],
)
def test_h08_a_request_id_that_is_not_an_uuid_is_replaced(sent: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "alert_refresh")
    with World().start() as world:
        for response in (
            world.client.get("/healthz", environ_overrides={"HTTP_X_REQUEST_ID": sent}),
            world.client.get("/nowhere", environ_overrides={"HTTP_X_REQUEST_ID": sent}),
        ):
            kept = response.headers["X-Request-ID"]
            assert kept != sent
            assert str(uuid.UUID(kept)) == kept
            assert "Set-Cookie" not in response.headers
            assert not sent or sent not in response.get_data(as_text=True)
    ids = {vars(record)["request_id"] for record in caplog.records if record.name == "alert_refresh.access"}
    assert ids
    assert all(uuid.UUID(one) for one in ids)


def test_h08_a_uuid_is_kept_as_it_was_sent() -> None:
    with World().start() as world:
        for path in ("/healthz", "/nowhere"):
            assert world.client.get(path, headers={"X-Request-ID": GOOD_ID}).headers["X-Request-ID"] == GOOD_ID


@pytest.mark.parametrize(
    "path",
    [
        f"{TARGETS}/../metrics",
        f"{TARGETS}/../../../../metrics",
        f"{TARGETS}/./status",
        f"{TARGETS}/%2e%2e/metrics",
        f"{TARGETS}/..%2fmetrics",
        f"{TARGETS}/..%5cmetrics",
        f"{TARGETS}/status%00",
        f"{TARGETS}/status%00.json",
        f"{TARGETS}/one%00",
        f"{TARGETS}%2fstatus",
        f"{TARGETS}%2Fstatus",
        "/api%2fv2/publishing/targets/status",
        f"/{TARGETS}/status",
        f"//{TARGETS}/status",
        "//metrics",
        "//evil.example/metrics",
        f"{TARGETS}//status",
        f"{TARGETS}/status/",
        f"{TARGETS}/",
        f"{TARGETS}/one/",
        "/metrics/",
        "/metrics;x=1",
        f"{TARGETS}/status;a=b",
        f"{TARGETS}/one;a=b",
        f"{TARGETS}/status%3Fx",
        f"{TARGETS}/STATUS",
        f"{TARGETS}/one%20",
        f"{TARGETS}/one%0a",
        f"{TARGETS}/%c0%ae%c0%ae/metrics",
        f"{TARGETS}/\ud800",
        "/" + "a" * 65_536,
        f"{TARGETS}/" + "a" * 65_536,
        f"{TARGETS}/" + "%25" * 1000,
        "/static/../../etc/passwd",
        "/static/x",
        "*",
    ],
)
def test_h09_a_path_in_disguise_is_a_404_and_never_another_route(path: str) -> None:
    from urllib.parse import unquote_to_bytes

    decoded = unquote_to_bytes(path.encode("utf-8", "surrogatepass")).decode("latin-1")
    environ = {"PATH_INFO": decoded, "RAW_URI": path, "REQUEST_URI": path}
    with World().start() as world:
        assert is_error(world.client.get("/", environ_overrides=environ), 404, "not_found")
        assert world.client.post("/", environ_overrides=environ).status_code in (404, 405)
        assert world.source.calls == 1


def test_h09_a_plain_path_with_the_same_environment_is_found() -> None:
    environ = {"PATH_INFO": "/healthz", "RAW_URI": "/healthz?a=%2f", "QUERY_STRING": "a=%2f"}
    with World().start() as world:
        assert world.client.get("/", environ_overrides=environ).json == {"status": "ok"}


@pytest.mark.parametrize("hostile", [HOSTILE, "\x00", "\x7f\x9b31m", "\ud800", '"}\n{"a":"b', "\\", "%n%s{}"])
def test_h10_each_request_is_one_line_of_valid_json_with_any_content(
    hostile: str, caplog: pytest.LogCaptureFixture
) -> None:
    wire = hostile.encode("utf-8", "surrogatepass").decode("latin-1")
    caplog.set_level(logging.DEBUG, "alert_refresh")
    with World(environ=BOTH, answer=lambda n: hostile_snapshot(hostile)).start() as world:
        caplog.clear()
        environ = {
            "PATH_INFO": f"/nowhere/{wire}",
            "REQUEST_METHOD": wire,
            "HTTP_USER_AGENT": wire,
            "HTTP_REFERER": wire,
            "HTTP_X_REQUEST_ID": wire,
            "HTTP_AUTHORIZATION": f"Bearer {wire}",
            "REMOTE_ADDR": "127.0.0.1",
            "QUERY_STRING": wire,
        }
        world.client.get("/", environ_overrides=environ)
        world.client.post(REFRESH, environ_overrides=environ | {"PATH_INFO": REFRESH, "REQUEST_METHOD": "POST"})
        assert world.get().status_code == 200
    names = [record.name for record in caplog.records]
    assert names.count("alert_refresh.access") == 3
    assert names.count("alert_refresh.audit") == 1
    for record in caplog.records:
        line = Json().format(record)
        assert len(line.splitlines()) == 1
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["level"] == record.levelname
        assert Console().format(record).isprintable()


def hostile_snapshot(name: str) -> Snapshot[Any]:
    """A snapshot with a target, and a rejected Secret, with a name that no parser would accept."""
    rejected = Rejected({"namespace": name, "secret": name}, (Fault(name, name),))
    return Snapshot({name: target("x")}, rejected=(rejected,), digest=str(random.random()))


def test_h11_neither_host_nor_forwarded_headers_are_believed_or_repeated(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "alert_refresh")
    forged = {
        "Host": "evil.example",
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/evil.example",
        "X-Real-IP": "203.0.113.9",
        "X-Original-URL": "/metrics",
        "X-Rewrite-URL": "/metrics",
        "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
    }
    with World(environ=BOTH).start() as world:
        for path in (*GETS, "/nowhere", f"{TARGETS}/", REFRESH):
            for method in ("GET", "POST"):
                response = world.client.open(path, method=method, headers=forged)
                seen = str(response.headers) + response.get_data(as_text=True)
                assert "evil.example" not in seen
                assert "203.0.113.9" not in seen
                assert "Strict-Transport-Security" not in response.headers
                assert "Location" not in response.headers
    lines = [vars(record) for record in caplog.records if hasattr(record, "ip")]
    assert {line["ip"] for line in lines} == {"127.0.0.1"}
    assert "evil.example" not in str(lines)


@pytest.mark.parametrize("host", ["", "a b", "evil.example/../", "a" * 5000, "[::1", "x:99999", "\xff\xfe", "a,b"])
def test_h11_an_invalid_host_changes_no_answer(host: str) -> None:
    with World().start() as world:
        response = world.client.get("/healthz", environ_overrides={"HTTP_HOST": host})
        assert response.json == {"status": "ok"} or is_error(response, 400, "invalid_request")
        assert not host or host not in str(response.headers) + response.get_data(as_text=True)


def test_h14_an_unhandled_exception_is_a_500_that_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    secret = "-".join(("the", "hidden", "cause"))
    caplog.set_level(logging.DEBUG)
    with World().start() as world:

        @world.app.get("/broken")
        def broken() -> Any:
            raise ValueError(secret) from KeyError(secret)

        for path in ("/broken", "/broken?debug=true&trace=1"):
            response = world.client.get(path)
            assert is_error(response, 500, "internal_error")
            assert set(response.json) == {"error", "message", "request_id"}
            assert response.json["message"] == "An internal error occurred"
        line = next(vars(record) for record in caplog.records if record.levelname == "ERROR")
        assert line["request_id"]
        assert "in broken" in line["stack"]
        assert world.client.get("/healthz").status_code == 200
    assert secret not in str([vars(record) for record in caplog.records])


def test_h15_all_errors_have_one_shape_and_name_no_server() -> None:
    with World(environ=BOTH).start() as world:
        errors = [
            (world.client.get("/nowhere"), 404, "not_found"),
            (world.client.put("/metrics"), 405, "method_not_allowed"),
            (world.post(token=ADMIN, data=b"x" * 1025), 413, "payload_too_large"),
            (world.post(token=ADMIN, data=b"x"), 400, "invalid_request"),
            (world.post(), 401, "unauthorized"),
            (world.post(token=READ), 403, "forbidden"),
        ]
        for response, status, error in errors:
            assert is_error(response, status, error)
            assert set(response.json) == {"error", "message", "request_id"}
            assert "Server" not in response.headers
            assert not re.search(r"(?i)werkzeug|flask|python|gunicorn", response.get_data(as_text=True))


CANARY = 'cAnArY"/7h1s\\Is+a&s3cr3t=é'


def forms(secret: str) -> set[bytes]:
    """The forms in which a secret may leak: raw, escaped, encoded at each offset, and either half of it."""
    raw = secret.encode()
    found = {raw, secret.encode("latin-1"), quote(secret).encode(), quote(secret, safe="").encode()}
    found |= {json.dumps(secret)[1:-1].encode(), json.dumps(secret, ensure_ascii=False)[1:-1].encode()}
    found |= {repr(secret)[1:-1].encode(), secret.encode("unicode_escape"), raw.hex().encode()}
    for padding in range(3):
        encoded = base64.b64encode(b"x" * padding + raw)
        found |= {encoded[4:-4], encoded[4:-4].replace(b"+", b"-").replace(b"/", b"_")}
    half = len(secret) // 2
    return found | {secret[:half].encode(), secret[half:].encode(), secret[:8].encode()}


def leaks(output: bytes) -> list[bytes]:
    return [form for form in forms(CANARY) if form in output]


def canary_snapshot(number: int) -> Snapshot[Any]:
    url = Credential(f"https://hooks.example.com/services/{CANARY}?token={CANARY}#{CANARY}")
    headers = {"Authorization": Credential(f"Bearer {CANARY}"), "X-Key": Credential(CANARY)}
    stale = target("old", url=url, headers=headers, stale_since=1.0, faults=(Fault("url", "has no host"),))
    return targets(target("one", url=url, headers=headers), stale, digest=f"v{number}", rejected=1)


def ask_everything(world: World) -> Iterable[Any]:
    """Requests to every route, valid and invalid."""
    tokens = (None, CANARY, READ, ADMIN)
    served = {re.sub("<[^>]+>", "one", rule.rule) for rule in world.app.url_map.iter_rules()} - {"/broken", EVENTS}
    more = (EVENTS + "?kinds=x", "/nowhere", f"{TARGETS}?type=slack", f"{TARGETS}?type=nonsense", f"{TARGETS}/old")
    for path in (*sorted(served), *more):
        for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE"):
            for token in tokens:
                environ = {} if token is None else {"HTTP_AUTHORIZATION": f"Bearer {token}"}
                yield world.client.open(path, method=method, environ_overrides=environ)
    for path in (TARGETS, f"{TARGETS}/one"):
        for token in (None, CANARY):
            environ = {} if token is None else {"HTTP_AUTHORIZATION": f"Bearer {token}"}
            yield world.client.get(f"{path}?reveal=true", environ_overrides=environ)
    yield world.post(f"?token={quote(CANARY)}&wait={quote(CANARY)}", token=ADMIN)
    yield world.get(f"?reveal={quote(CANARY)}&type={quote(CANARY)}")
    yield world.get(f"?generation={quote(CANARY)}&wait={quote(CANARY)}")
    yield world.client.get(f"/api/v2/refreshes?since={quote(CANARY)}&cursor={quote(CANARY)}")
    yield world.get(environ_overrides={"HTTP_IF_NONE_MATCH": CANARY})
    with world.client.head(EVENTS, environ_overrides={"HTTP_LAST_EVENT_ID": CANARY}) as headers:
        yield headers
    yield world.post(token=ADMIN, data=CANARY.encode())
    yield world.post(token=ADMIN, data=CANARY.encode() * 100)
    yield world.client.get("/healthz", environ_overrides={"HTTP_X_REQUEST_ID": CANARY, "HTTP_COOKIE": CANARY})


def made(world: World) -> list[Record]:
    """The refreshes that are remembered, among them one with a difference."""
    found = world.daemon.refreshes.newest()
    assert any(one.made is not None and one.made.size for one in found)
    return found


def told(world: World) -> Iterable[bytes]:
    """All that the change feed and the record of refreshes have, and what they show."""
    events, *_ = world.daemon.feed.after(0)
    assert {b"published", b"refresh"} == {event.text.split(b"\n")[1].removeprefix(b"event: ") for event in events}
    yield from (event.text for event in events)
    yield repr((vars(world.daemon.feed), world.daemon.refreshes.newest())).encode()
    for one in made(world)[:50]:
        yield world.client.get(f"/api/v2/refreshes/{one.outcome.request_id}").data


def notified(hook: Hook) -> dict[str, str]:
    """Settings that send notifications to a webhook whose URL holds the canary."""
    return {"ALERT_REFRESH_NOTIFY_URL": f"http://127.0.0.1:{hook.port}/{quote(CANARY)}?key={quote(CANARY)}"}


def notification_fails(world: World, hook: Hook) -> bytes:
    """Have a notification be refused by a webhook whose URL holds the canary; returns all that its objects show."""
    notifier = world.daemon.notifier
    assert notifier is not None
    notifier(failure(3))
    eventually(lambda: notifier.delivery.failed == 1)
    assert quote(CANARY) in hook.wait_for(1).path, "the canary must be there to be found"
    return repr((vars(notifier), vars(notifier.delivery))).encode()


def logged(caplog: pytest.LogCaptureFixture) -> list[bytes]:
    """All that was logged, in every form, after every error path was taken."""
    messages = {record.getMessage() for record in caplog.records}
    assert {"Refresh raised an unexpected RuntimeError", "A request raised an unexpected RuntimeError"} <= messages
    assert "Notification could not be delivered" in messages
    forms = ((Json().format(one), Console().format(one), str(vars(one))) for one in caplog.records)
    return [form.encode() for three in forms for form in three]


def test_h17_a_canary_in_every_secret_field_is_found_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    output: list[bytes] = []

    def record(response: Any) -> None:
        output.append(str(response.headers).encode("utf-8", "surrogateescape") + response.data)

    with Hook(404) as hook, World(environ=BOTH | notified(hook), answer=canary_snapshot) as world:

        @world.app.get("/broken")
        def broken() -> Any:
            raise RuntimeError(CANARY)

        world.worker.listen(lambda outcome: (_ for _ in ()).throw(ValueError(CANARY)))
        for response in ask_everything(world):
            record(response)
        world.start()
        for response in ask_everything(world):
            record(response)
        fired = world.get("/one?reveal=true", headers={"Authorization": f"Bearer {READ}"})
        assert CANARY in fired.json["url"], "the canary must be there to be found"
        assert leaks(fired.data)

        world.clock.wait_for_sleeper()
        world.fail(RuntimeError(CANARY))
        world.clock.advance(60)
        world.attempt_ends()
        record(world.post(token=ADMIN))
        for response in ask_everything(world):
            record(response)

        record(world.client.get("/broken"))
        output.append(notification_fails(world, hook))
        record(world.client.get("/metrics"))
        status = world.worker.get_status()
        output.append(repr((status, status.snapshot, world.worker, world.daemon.config, vars(world.daemon))).encode())
        output += told(world)
    assert world.source.calls > 1
    output += logged(caplog)
    assert len(output) > 300 and [(form, text[:300]) for text in output for form in leaks(text)] == []


def test_h18_ten_thousand_targets_of_hostile_names_add_the_hundred_series_of_faulty_ones_alone() -> None:
    hostile = {f"{HOSTILE}{n}": target("x", type="webhook") for n in range(10_000)}

    def series(world: World) -> list[str]:
        text = world.client.get("/metrics").get_data(as_text=True)
        assert HOSTILE[:5] not in text
        assert not set(text) & set("\x1b\u2028\u202e\r")
        return [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]

    with World(answer=lambda n: targets()).start() as world:
        world.get("/nobody")
        before = series(world)
        rejected = tuple(Rejected({"secret": name}, (Fault(name, name),)) for name in list(hostile)[:1000])
        many: Snapshot[Any] = Snapshot(hostile, rejected=rejected, digest="hostile")
        world.source.answer = lambda n: many
        assert world.post("?wait=5s").json["items"] == 10_000
        for name in list(hostile)[:20]:
            world.get(f"/{quote(name)}")
            world.client.open(f"/{quote(name)}", method="GET")
        after = series(world)
        assert [one for one in after if not one.startswith("alert_refresh_target_faulty{")] == before
        assert len(after) - len(before) == 100
        assert len(before) < 450
        assert (
            world.metrics()['alert_history_publishing_discovery_targets_total{enabled="true",type="webhook"}'] == 10_000
        )
