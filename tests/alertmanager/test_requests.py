"""What a real Alertmanager sends to the receivers that are written for targets."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from tests.alertmanager.examples import configuration, rule, target
from tests.alertmanager.server import Alertmanager, Server
from tests.process.program import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.targets.target import Target

TEXT = """
route: {receiver: default, group_by: ['...'], group_wait: 1ms, group_interval: 1ms}
receivers: [{name: default}]
"""
AUTHORIZATIONS = {
    "bearer": "Bearer abc.def-_~+/=",
    "token": "Token a b",
    "odd": "GenieKey '\"\\{}: #x",
    "basic": "Basic dXNlcjpwYTpzcw==",
    "no-user": "Basic OnDDpA==",
    "no-password": "Basic dXNlcjo=",
}


class Receiver(Server):
    """A server that notes headers and body of each request, by path; `complete` is set once there are `expected`."""

    def __init__(self, expected: int) -> None:
        self.requests: dict[str, tuple[dict[str, str], Any]] = {}
        self.expected = expected
        self.complete = threading.Event()
        super().__init__()

    def handle_one(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        self.requests[path] = headers, json.loads(body)
        if len(self.requests) == self.expected:
            self.complete.set()
        return (202 if "pagerduty" in path else 200), b"ok"


def targets(url: str) -> list[Target]:
    """One for each Authorization, and one of each other type."""
    return [
        *(
            target(one, url=f"{url}/{one}?a=b%20c", headers={"Authorization": AUTHORIZATIONS[one]})
            for one in AUTHORIZATIONS
        ),
        target("slack", "slack", f"{url}/slack"),
        target("pagerduty", "pagerduty", f"{url}/pagerduty", {"X-Routing-Key": "R0'\"\\ä"}),
        target("rootly", "rootly", f"{url}/rootly", {"content-type": "application/json"}),
    ]


def test_each_type_is_sent_what_its_receiver_says(tmp_path: Path) -> None:
    names = (*AUTHORIZATIONS, "slack", "pagerduty", "rootly")
    with Receiver(len(names)) as receiver:
        rules = [rule("one", "a=x", targets=names), rule("two", "b=y", targets=names)]
        rendering = configuration(targets(receiver.url), rules, TEXT)
        assert rendering.receivers == len(names)
        (tmp_path / "alertmanager.yml").write_bytes(rendering.text)
        with Alertmanager(tmp_path) as server:
            server.send(alertname="Example", a="x", b="y")
            assert receiver.complete.wait(PATIENCE), sorted(receiver.requests)
    sent = {path.lstrip("/").partition("?")[0]: request for path, request in receiver.requests.items()}
    assert set(sent) == set(names)
    for name in names:
        assert sent[name][0].get("Authorization") == AUTHORIZATIONS.get(name)
    assert set(receiver.requests) >= {f"/{name}?a=b%20c" for name in AUTHORIZATIONS}
    assert sent["pagerduty"][1]["routing_key"] == "R0'\"\\ä"
    assert sent["rootly"][0]["Content-Type"] == "application/json"
    assert sent["slack"][1]["attachments"]
    assert sent["rootly"][1]["receiver"] == "alert-refresh/rootly"
