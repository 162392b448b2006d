"""The dashboard in config/grafana: importable, and every panel shows data of the real program in a real Prometheus."""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.alertmanager.server import Alertmanager
from tests.kube import KubeServer, faults, fill, kubeconfig
from tests.kube import secret as kubernetes_secret
from tests.observe.notify.hooks import Hook
from tests.postgres import hierarchy
from tests.process.program import ROOT, Program, eventually
from tests.process.test_alerts import RULES, quick
from tests.prometheus import shared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.prometheus import Scraped

pytestmark = pytest.mark.usefixtures("unmeasured")

DASHBOARD: dict[str, Any] = json.loads((ROOT / "config" / "grafana" / "alert-refresh.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
ROWS = [panel["title"] for panel in PANELS if panel["type"] == "row"]
SHOWN = [panel for panel in PANELS if panel["type"] != "row"]
WINDOW = "2m"
"""What `$__rate_interval` is here."""

SOON = 30.0
"""Seconds after which a query that has no data will have none."""
ANY = "an address"
VIEWS = ("mv_entity_ancestors", "mv_descendant_counts")


def queries() -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in SHOWN:
        for target in panel["targets"]:
            yield panel["title"], target


def test_it_has_a_row_for_each_question() -> None:
    assert ROWS == [
        "Freshness",
        "Attempts",
        "Errors by type",
        "Durations",
        "Targets",
        "Watch and propagation of targets (from a cluster)",
        "Rules",
        "Views, by view",
        "Alertmanager",
        "Streams, notifications, tokens, what is kept",
        "Server",
    ]


def test_it_can_be_imported_into_any_grafana_from_10_on() -> None:
    assert DASHBOARD["id"] is None and "uid" not in DASHBOARD and "__inputs" not in DASHBOARD
    assert 36 <= DASHBOARD["schemaVersion"] <= 38, "newer ones are of Grafana 11"
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "instance", "kind", "view"}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    sources = [panel["datasource"] for panel in SHOWN] + [target["datasource"] for _, target in queries()]
    sources += [one["datasource"] for one in variables.values() if one["type"] == "query"]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)


def test_panels_have_ids_and_titles_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len({panel["title"] for panel in PANELS}) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


OF_AN_ALERTMANAGER = ("alert_refresh_alertmanager_in_sync", "alert_refresh_alertmanager_reloads_total")
"""Their label `instance` is the Alertmanager, which `honor_labels` keeps."""


def test_every_query_may_be_narrowed_to_an_instance() -> None:
    for title, target in queries():
        if any(name in target["expr"] for name in OF_AN_ALERTMANAGER):
            continue
        selectors = re.findall(r"\balert_\w+|\bprocess_\w+|\bpublishing_\w+", target["expr"])
        narrowed = target["expr"].count('instance=~"$instance"') + target["expr"].count("and on (instance)")
        assert narrowed == len(selectors), title


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[Scraped]:
    """A program of which everything is on, with something wrong of each sort, scraped for a while."""
    database = hierarchy()
    database.run("analyze")  # else PostgreSQL has no estimate of the rows
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES.replace("good", "target-00000, missing"))
    (tmp_path / "state").mkdir(mode=0o700)
    with KubeServer() as kube, Hook(200) as hook, Alertmanager(tmp_path) as alertmanager:
        fill(kube.store, 3)
        environ = of_everything(kube, tmp_path) | {
            "ALERTMANAGER_CONFIG_TEMPLATE": str(ROOT / "config" / "examples" / "alertmanager.yml"),
            "ALERTMANAGER_CONFIG_FILE": str(alertmanager.file),
            "ALERTMANAGER_URL": alertmanager.url,
            "RULES_FILE": str(rules),
            "VIEWS_DATABASE_URL": database.dsn(),
            "VIEWS": ",".join(VIEWS),
            "VIEWS_SKIP_UNCHANGED": "false",
            "ALERT_REFRESH_NOTIFY_URL": hook.url,
        }
        try:
            with Program(env=environ) as program, shared(shorten=False).scraping(program.port) as scraped:
                for kind in ("Targets", "Rules", "Views", "Alertmanager"):
                    program.wait_for(f"{kind} refreshed successfully")
                program.wait_for("The watch is connected")
                scraped.waits_for('alert_refresh_attempts_total{%s,status="failed"} == 0')
                live(kube, program, scraped)
                yield scraped
        finally:
            database.drop()


def of_everything(kube: KubeServer, folder: Path) -> dict[str, str]:
    """Settings with which all kinds refresh often."""
    environ = {
        "KUBECONFIG": str(kubeconfig(folder / "kubeconfig", kube.url)),
        "ALERT_REFRESH_STATE_DIR": str(folder / "state"),
        "ALERT_REFRESH_ADMIN_TOKEN": "the-admin-token-of-a-test",
    }
    return environ | quick("TARGET", INTERVAL="1s") | quick("RULES", INTERVAL="1s") | quick("VIEWS", INTERVAL="2s")


def live(kube: KubeServer, program: Program, scraped: Scraped) -> None:
    """A stale target and a rejected Secret, a few failed attempts, changes, requests and wrong tokens."""
    kube.store.replace(kubernetes_secret("target-00001", url="no-url"))
    kube.store.create(kubernetes_secret("never-valid", url="no-url"))
    kube.fault(faults.status(503), when=lambda request: "watch" not in request.query, times=2)
    token = {"Authorization": "Bearer the-admin-token-of-a-test"}
    for number in range(1, 8):
        kube.store.replace(kubernetes_secret("target-00002", url=f"https://example.com/{number}"))
        program.get("/api/v2/publishing/targets/refresh", "POST", **token)
        program.get("/api/v2/publishing/targets/refresh", "POST", Authorization="Bearer wrong")
        program.get("/api/v2/publishing/targets")
        scraped.waits_for(f"changes(alert_history_publishing_refresh_generation{{%s}}[5m]) >= {number}")


def without_variables(expression: str, instance: str) -> str:
    """A query as Grafana would send it."""
    return (
        expression.replace('instance=~"$instance"', instance)
        .replace('kind=~"$kind"', 'kind=~".*"')
        .replace('view=~"$view"', 'view=~".*"')
        .replace("$__rate_interval", WINDOW)
    )


def test_every_query_has_data_and_the_labels_of_its_legend(seen: Scraped) -> None:
    empty = []
    for title, target in queries():
        expression = without_variables(target["expr"], "%s")
        assert "$" not in expression
        if not eventually(functools.partial(shows, seen, expression), SOON):
            empty.append(f"{title}: {expression}")
        for one in seen.query(expression):
            lacks = labels_shown(title, target) - set(one["metric"])
            assert lacks <= {"target"}, f"a legend or a column of {title} would be empty: {lacks}"
    assert empty == []
    assert not shows(seen, 'alert_refresh_attempts_total{%s,status="lost"}'), "a query without data would be found"
    assert not shows(seen, "alert_refresh_healthy{%s} * NaN")
    for name in ("instance", "kind", "view"):
        assert values_of(name, seen) >= {"kind": {"targets", "rules", "views", "alertmanager"}, "view": set(VIEWS)}.get(
            name, {ANY}
        )


def shows(seen: Scraped, expression: str) -> bool:
    """Whether there is a number to show."""
    return any(one["value"][1] not in ("NaN", "+Inf") for one in seen.query(expression))


def labels_shown(title: str, target: dict[str, Any]) -> set[str]:
    """The labels in the legend of a query, or in the columns of its table."""
    labels = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    (panel,) = [panel for panel in SHOWN if panel["title"] == title]
    for transformation in panel.get("transformations", []):
        labels |= set(transformation["options"]["include"]["names"])
    return labels


def values_of(name: str, seen: Scraped) -> set[str]:
    """The values that a variable offers; `ANY` stands for an address."""
    (variable,) = [one for one in DASHBOARD["templating"]["list"] if one["name"] == name]
    found = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["query"]["query"])
    assert found
    return {ANY if found[2] == "instance" else one["metric"][found[2]] for one in seen.query(f"{found[1]}{{%s}}")}
