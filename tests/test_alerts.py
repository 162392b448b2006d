"""The alerts in config/prometheus: correct, tested by promtool, explained, and about what the program exports."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from alert_refresh.daemon import Daemon, read_config
from alert_refresh.engine import WatchHealth
from alert_refresh.web.app import create_app
from tests.day import names
from tests.fakes import START, LivingWatch
from tests.observe.test_metrics import EVERY_KIND
from tests.prometheus import CONFIG, ROOT, RULES, SHORTER, binary, shortened
from tests.web.world import World, target, targets

if TYPE_CHECKING:
    from pathlib import Path

TESTS = CONFIG / "alert-refresh.rules.test.yml"
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
OF_PROMETHEUS = {"up"}
SCRAPES = sorted(CONFIG.glob("prometheus*.yml"))
TOLD = {"ALERT_REFRESH_NOTIFY_URL": "http://127.0.0.1:1/hook"}


def promtool(*arguments: str | Path) -> str:
    """The output of a promtool that must succeed; skips where there is none."""
    tool = binary("promtool")
    if tool is None:
        pytest.skip("promtool is not here")
    result = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def exported() -> str:
    """What a program of which every kind is on, with a watch, a stale target and a state directory, exports."""
    answer = targets(target("one", stale_since=START), rejected=1)
    with (
        tempfile.TemporaryDirectory() as state,
        World(answer=lambda n: answer, environ=TOLD | {"ALERT_REFRESH_STATE_DIR": state}) as world,
    ):
        world.source.make_watches = lambda sink: (LivingWatch(WatchHealth(connected=True)),)
        world.start()
        text: str = world.client.get("/metrics").get_data(as_text=True)
    return text + create_app(Daemon(read_config(EVERY_KIND))).test_client().get("/metrics").get_data(as_text=True)


@pytest.mark.parametrize("file", SCRAPES, ids=lambda file: str(file.stem))
def test_the_scrape_configurations_and_the_alerts_in_them_are_correct(file: Path, tmp_path: Path) -> None:
    """Debian's Prometheus is built without the discovery of Kubernetes: that part is left out here."""
    config = yaml.safe_load(file.read_text())
    config["scrape_configs"][0].pop("kubernetes_sd_configs", None)
    shutil.copy(RULES, tmp_path)
    (tmp_path / file.name).write_text(yaml.safe_dump(config))
    assert f"{len(ALERTS)} rules found" in promtool("check", "config", tmp_path / file.name)


def test_every_scrape_configuration_has_the_job_and_the_labels_that_the_alerts_need() -> None:
    assert len(SCRAPES) == 2
    for file in SCRAPES:
        (scrape,) = yaml.safe_load(file.read_text())["scrape_configs"]
        assert scrape["job_name"] == "alert-refresh" and scrape["honor_labels"] is True
        assert scrape["relabel_configs"][-1]["target_label"] == "daemon"


def test_the_scrape_configuration_for_kubernetes_finds_the_port_and_the_label_of_the_deployment() -> None:
    (scrape,) = yaml.safe_load((CONFIG / "prometheus-kubernetes.yml").read_text())["scrape_configs"]
    (discovery,) = scrape["kubernetes_sd_configs"]
    assert discovery["role"] == discovery["selectors"][0]["role"] == "pod"
    deployment = yaml.safe_load((ROOT / "config/kubernetes/base/deployment.yaml").read_text())
    name, _, value = discovery["selectors"][0]["label"].partition("=")
    assert deployment["spec"]["template"]["metadata"]["labels"][name] == value
    port = deployment["spec"]["template"]["spec"]["containers"][0]["ports"][0]["name"]
    assert scrape["relabel_configs"][0]["regex"] == port


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    promtool("test", "rules", TESTS)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_each_alert_is_seen_silent_then_firing_then_resolved(alert: dict[str, Any]) -> None:
    lives = [
        [bool(case["exp_alerts"]) for case in test.get("alert_rule_test", []) if case["alertname"] == alert["alert"]]
        for test in yaml.safe_load(TESTS.read_text())["tests"]
    ]
    assert [False, True, False] in lives


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_each_alert_has_a_severity_a_summary_and_a_section_in_a_runbook(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"]["summary"].endswith(".")
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_every_metric_that_an_alert_looks_at_is_exported() -> None:
    text = exported()
    missing = {name for name in names() if not re.search(rf"^{name}(?:\{{| )", text, re.MULTILINE)}
    assert missing == OF_PROMETHEUS


def test_every_series_in_the_tests_of_the_alerts_has_the_labels_that_the_program_exports() -> None:
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", exported(), re.MULTILINE):
        found[name] = set(re.findall(r'(\w+)="', labels))
    series = [one["series"] for test in yaml.safe_load(TESTS.read_text())["tests"] for one in test["input_series"]]
    for one in series:
        name, labels = one.rstrip("}").split("{")
        if name not in OF_PROMETHEUS:
            assert set(re.findall(r'(\w+)="', labels)) == found[name] | {"instance"}, one


def test_the_alerts_of_the_page_of_metrics_are_these_with_their_severities() -> None:
    rows = re.findall(
        r"^\| `(AlertRefresh\w+)` \| .+ \| (\w+) \|$", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
    )
    assert rows == [(alert["alert"], alert["labels"]["severity"]) for alert in ALERTS]


def test_shortened_alerts_differ_in_times_alone() -> None:
    short = yaml.safe_load(shortened(RULES.read_text()))["groups"][0]["rules"]
    for alert, other in zip(ALERTS, short, strict=True):
        assert alert["labels"] | alert["annotations"] == other["labels"] | other["annotations"]
        assert alert.get("for") is None or alert["for"] != other["for"]
        assert not re.search(r"\[\d+[smh]\]| 30$", other["expr"], re.MULTILINE)
    assert f"{900 / SHORTER:g}" in short[1]["expr"]
