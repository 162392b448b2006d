"""Alertmanager over HTTP: status, refresh, the delivery of each target, metrics. With the whole daemon."""

from __future__ import annotations

import itertools
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.alertmanager.delivered import Delivered
from alert_refresh.daemon import Daemon, read_config
from alert_refresh.engine import Fault
from alert_refresh.web.app import create_app
from tests.alertmanager.examples import PLAIN, target
from tests.alertmanager.server import CONFIG, Alertmanager, Between
from tests.stage import eventually
from tests.targets.folder.folders import LABELS, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGETS, STATUS = "/api/v2/publishing/targets", "/api/v2/alertmanager/status"
CANARY = "canary-51d0"
RULES = """
rules:
- {id: all, match: ['severity="critical"'], targets: [team-a, bad, quiet, nobody]}
- {id: utf8, match: ['"größe"="x"'], targets: [team-b]}
"""


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    with Alertmanager(tmp_path_factory.mktemp("alertmanager")) as one:
        yield one


class Whole:
    """The daemon on a folder of targets and a file of rules, before an Alertmanager."""

    def __init__(self, folder: Path, between: Between, **environ: str) -> None:
        self.between = between
        self.folder = folder / "targets"
        self.folder.mkdir()
        self.secret("team-a")
        self.secret("team-b")
        self.secret("bad", headers={"X-Team": CANARY})
        self.secret("quiet", enabled=False)
        (folder / "rules.yaml").write_text(RULES)
        (folder / "template.yml").write_text(PLAIN)
        given = {
            "TARGET_DIRECTORY": str(self.folder),
            "RULES_FILE": str(folder / "rules.yaml"),
            "ALERTMANAGER_CONFIG_TEMPLATE": str(folder / "template.yml"),
            "ALERTMANAGER_CONFIG_FILE": str(between.alertmanager.file),
            "ALERTMANAGER_URL": between.url,
            "ALERTMANAGER_REFRESH_RATE_LIMIT": "0s",
            "ALERTMANAGER_MIN_RELOAD_INTERVAL": "0s",
        }
        self.environ = given | environ
        self.daemon = Daemon(read_config(self.environ))
        self.app = create_app(self.daemon)
        self.client = self.app.test_client()

    def secret(self, name: str, **changes: Any) -> None:
        config = {"name": name, "type": "webhook", "format": "webhook", "url": f"https://hooks.example.com/{CANARY}"}
        manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": LABELS}}
        write(self.folder / f"{name}.yaml", manifest | {"stringData": {"config": json.dumps(config | changes)}})

    def get(self, path: str) -> Any:
        return self.client.get(path).get_json()

    def deliveries(self) -> dict[str, str | None]:
        return {one["name"]: one["delivery"] for one in self.get(TARGETS)["targets"]}

    def settled(self) -> bool:
        """Whether all is delivered and no refresh waits."""
        status = self.daemon.workers["alertmanager"].get_status()
        instances = self.get(STATUS).get("instances")
        return bool(instances) and instances[0]["in_sync"] and not status.in_progress and status.pending is None


@pytest.fixture
def whole(tmp_path: Path, alertmanager: Alertmanager) -> Iterator[Whole]:
    alertmanager.reset()
    with Between(alertmanager) as between:
        one = Whole(tmp_path, between)
        one.daemon.start()
        try:
            eventually(one.settled, "delivery")
            yield one
        finally:
            between.let_go.set()
            one.daemon.stop()


def test_s7_the_status(whole: Whole) -> None:
    status = whole.get(STATUS)
    assert (status["status"], status["receivers"], status["routes"]) == ("success", 2, 1)
    [bad] = status["undeliverable"]
    assert bad["target"] == "bad" and [fault["field"] for fault in bad["faults"]] == ["headers"]
    [rule] = status["undeliverable_rules"]
    assert rule["rule"] == "utf8" and [fault["field"] for fault in rule["faults"]] == ["match[0]"]
    [instance] = status["instances"]
    host = whole.between.url.removeprefix("http://")
    assert instance == {"url": host, "version": "0.25.0", "in_sync": True, "error": None}
    shown = whole.between.alertmanager.metric("alertmanager_config_hash")
    assert shown is not None and status["config_hash"] == int(float(shown))
    assert status["waiting_for"] is None and status["overlapping"] == []


def test_s7_the_delivery_of_each_target(whole: Whole) -> None:
    assert whole.deliveries() == {"bad": "undeliverable", "quiet": None, "team-a": "ok", "team-b": "ok"}
    [fault] = whole.get(f"{TARGETS}/bad")["delivery_faults"]
    assert fault["field"] == "headers"
    whole.between.answers["*"] = (503, b"")
    whole.secret("team-a", url=f"https://other.example.com/{CANARY}")
    eventually(lambda: whole.deliveries()["team-a"] == "pending", "the change")
    assert whole.deliveries()["team-b"] == "ok"
    whole.between.answers.clear()
    assert asked(whole, "60s").status_code == 200
    eventually(lambda: whole.deliveries()["team-a"] == "ok", "being caught up")


def test_s4_match_names_what_is_undeliverable(whole: Whole) -> None:
    answer = whole.client.post("/api/v2/rules/match", json={"labels": {"severity": "critical", "größe": "x"}}).json
    assert answer is not None
    assert [one["name"] for one in answer["targets"]] == ["team-a"]
    assert {one["name"]: one["reason"] for one in answer["unavailable"]} == {
        "bad": "undeliverable",
        "quiet": "disabled",
        "nobody": "missing",
        "team-b": "undeliverable",
    }


def test_s7_the_metrics(whole: Whole) -> None:
    shown = whole.client.get("/metrics").text
    host = whole.between.url.removeprefix("http://")
    for line in (
        f'alert_refresh_alertmanager_in_sync{{instance="{host}"}} 1.0',
        f'alert_refresh_alertmanager_reloads_total{{instance="{host}",result="refused"}} 0.0',
        "alert_refresh_alertmanager_receivers 2.0",
        "alert_refresh_alertmanager_undeliverable_targets 1.0",
        "alert_refresh_alertmanager_undeliverable_rules 1.0",
        "alert_refresh_alertmanager_drift_corrected_total 0.0",
        'alert_refresh_target_faulty{namespace="default",secret="bad",state="undeliverable",target="bad"} 1.0',
        "alert_refresh_target_faulty_omitted 0.0",
    ):
        assert line in shown.splitlines(), line
    assert "alert_refresh_alertmanager_delivery_propagation_seconds_count 0.0" not in shown


def test_a_refresh_that_a_user_asks_for(whole: Whole) -> None:
    answer = asked(whole, "60s")
    assert answer.status_code == 200
    assert answer.json["items"] == 2 and answer.json["rejected"] == 2
    whole.between.answers["*"] = (503, b"")
    answers: list[Any] = []

    def failed() -> bool:
        """Whether it failed in the time it was given; on a slow machine it may still run then."""
        answers.append(asked(whole, "1s"))
        return bool(answers[-1].status_code == 502)

    eventually(failed, "the failure")
    assert "503" in answers[-1].json["message"]


def asked(whole: Whole, wait: str) -> Any:
    """The answer to a refresh, once none runs that something else asked for."""
    answers: list[Any] = []

    def over() -> bool:
        answers.append(whole.client.post(f"/api/v2/alertmanager/refresh?wait={wait}"))
        return bool(answers[-1].json.get("error") != "refresh_in_progress")

    eventually(over, "a refresh")
    return answers[-1]


def events(whole: Whole, query: str = "?kinds=alertmanager") -> list[tuple[str, dict[str, Any]]]:
    """Name and data of the events of the stream so far."""
    begin = {"Last-Event-ID": whole.daemon.feed.id_of(0)}
    stream = whole.client.get(f"/api/v2/events{query}", headers=begin)
    text = b"".join(itertools.islice(stream.iter_encoded(), 2)).decode()
    stream.close()
    return [(name, json.loads(data)) for name, data in re.findall(r"event: (\w+)\ndata: (.*)\n\n", text)]


def test_f7_what_is_delivered_is_an_event_and_its_refresh_is_remembered(whole: Whole) -> None:
    before = whole.get(STATUS)["generation"]
    whole.secret("team-c")
    eventually(lambda: (events(whole)[-1][0], whole.deliveries().get("team-c")) == ("refresh", "ok"), "the event")
    told = events(whole)
    assert {one["kind"] for _, one in told} == {"alertmanager"}
    assert {"targets", "rules"} < {one["kind"] for _, one in events(whole, "")}
    [published] = [one for name, one in told if name == "published" and one["generation"] > before]
    assert (published["added"], published["items"], published["rejected"]) == (["team-c"], 3, 2)
    [refresh, *_] = whole.get("/api/v2/refreshes?kind=alertmanager")["refreshes"]
    assert (refresh["trigger"], refresh["result"], refresh["changed"]) == ("watch", "success", True)
    assert refresh["generation"] == published["generation"] == whole.get(STATUS)["generation"]
    assert whole.get(f"/api/v2/refreshes/{refresh['request_id']}")["difference"]["added"] == ["team-c"]
    assert told[-1][1]["request_id"] == refresh["request_id"]


def test_f7_a_blocking_query_ends_with_the_next_generation(whole: Whole) -> None:
    generation = whole.get(STATUS)["generation"]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(whole.app.test_client().get, f"{STATUS}?generation={generation}&wait=60s")
        eventually(lambda: whole.daemon.feed.followers == 1, "the query")
        whole.secret("team-c")
        answer = asked.result(60).get_json()
    assert answer["generation"] > generation and answer["receivers"] == 3


def test_f7_the_etag_of_the_targets_covers_their_delivery(whole: Whole) -> None:
    whole.between.answers["*"] = (503, b"")
    whole.secret("team-a", url=f"https://other.example.com/{CANARY}")
    eventually(lambda: whole.deliveries()["team-a"] == "pending" and whole.get(STATUS)["next_attempt"], "the failure")
    listed = whole.client.get(TARGETS)
    known = {"If-None-Match": listed.headers["ETag"]}
    assert whole.client.get(TARGETS, headers=known).status_code == 304
    whole.between.answers.clear()
    assert asked(whole, "0s").status_code in (200, 202)
    eventually(lambda: whole.deliveries()["team-a"] == "ok", "being caught up")
    again = whole.client.get(TARGETS, headers=known)
    assert again.status_code == 200 and again.json is not None and listed.json is not None
    assert again.json["generation"] == listed.json["generation"]


def test_nothing_but_the_file_and_the_one_before_it_holds_a_credential(
    whole: Whole, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    whole.secret("team-a", url=f"https://hooks.example.com/{CANARY}/2", headers={"Authorization": f"Bearer {CANARY}"})
    eventually(lambda: "Bearer" in whole.between.alertmanager.file.read_text(), "the change")
    eventually(whole.settled, "delivery")
    whole.between.alertmanager.file.write_text(CONFIG)
    eventually(lambda: CANARY in whole.between.alertmanager.file.read_text(), "the file being written again")
    answers = [whole.client.get(path).text for path in (STATUS, TARGETS, "/metrics", "/health", "/", f"{TARGETS}/bad")]
    answers += [whole.client.post("/api/v2/alertmanager/refresh?wait=20s").text]
    assert CANARY not in "".join(answers) and CANARY not in caplog.text
    out = capfd.readouterr()
    assert CANARY not in out.out + out.err
    holds = {one.name for one in whole.between.alertmanager.folder.iterdir() if one.is_file() and CANARY in read(one)}
    assert holds <= {"alertmanager.yml", "alertmanager.yml.previous"} and "alertmanager.yml" in holds


def read(path: Path) -> str:
    return path.read_text(errors="replace")


def test_off_it_says_how_to_switch_it_on() -> None:
    client = create_app(Daemon(read_config({}))).test_client()
    answer = client.get(STATUS).get_json()
    assert answer["status"] == "off" and answer["message"].startswith("Alertmanager is off: set ALERTMANAGER_CONFIG")
    assert client.post("/api/v2/alertmanager/refresh").status_code == 503


def test_s1_after_a_restart_nothing_restored_replaces_the_file_until_a_refresh_has_confirmed_it(
    tmp_path: Path, alertmanager: Alertmanager
) -> None:
    alertmanager.reset()
    (tmp_path / "state").mkdir()
    with Between(alertmanager) as between:
        whole = Whole(tmp_path, between, ALERT_REFRESH_STATE_DIR=str(tmp_path / "state"), TARGET_REFRESH_WARMUP="1h")
        whole.daemon.start()
        try:
            eventually(whole.settled, "delivery")
            eventually((tmp_path / "state/snapshot-targets").exists, "the snapshot")
            eventually((tmp_path / "state/snapshot-rules").exists, "the snapshot of the rules")
        finally:
            whole.daemon.stop()
        alertmanager.reset()
        whole.folder.rename(tmp_path / "unmounted")
        whole.daemon = Daemon(read_config(whole.environ))
        whole.client = create_app(whole.daemon).test_client()
        whole.daemon.start()
        try:
            eventually(lambda: "confirmed" in str(whole.get(STATUS).get("waiting_for")), "waiting")
            assert alertmanager.file.read_text() == CONFIG and whole.get(STATUS)["instances"][0]["in_sync"]
            assert whole.deliveries()["team-a"] == "pending"
            (tmp_path / "unmounted").rename(whole.folder)
            eventually(lambda: whole.deliveries()["team-a"] == "ok", "delivery after all")
            assert "alert-refresh/team-a" in alertmanager.receivers()
        finally:
            whole.daemon.stop()


def test_a_target_that_changed_since_it_was_refused_is_pending() -> None:
    one, other = target("team-a"), target("team-a", url="https://other.example.com/")
    fault = Fault("url", "no")
    known = Delivered(undeliverable={"team-a": (one.digest, (fault,))})
    assert (known.state(one), known.faults(one)) == ("undeliverable", (fault,))
    assert (known.state(other), known.faults(other)) == ("pending", ())
    assert known.state(target("team-a", enabled=False)) is None
