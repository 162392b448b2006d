"""`GET /metrics`, in the format that the client accepts."""

from __future__ import annotations

import gzip
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from alert_refresh.web.app import create_app
from tests.rules.examples import packed
from tests.rules.world import World as RulesWorld
from tests.targets.test_metrics import CONTRACTS_NAMES, promtool
from tests.web.world import World

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
REFRESHES = "alert_history_publishing_refresh"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0", OPENMETRICS),
        ('APPLICATION/OpenMetrics-Text; version="1.0.0"; charset=utf-8', OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0, text/plain", OPENMETRICS),
        ("text/plain;q=0.9, application/openmetrics-text;version=1.0.0;q=0.1", TEXT),
        ("text/*, application/openmetrics-text;version=1.0.0;q=0.1", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0", TEXT),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;version=abc", TEXT),
        ("application/*", TEXT),
        (";;,=", TEXT),
    ],
)
def test_the_format_is_the_one_that_the_client_prefers(accept: str | None, content_type: str) -> None:
    with World() as world:
        response = world.client.get("/metrics", headers={} if accept is None else {"Accept": accept})
        assert (response.status_code, response.headers["Content-Type"]) == (200, content_type)
        assert "Accept" in response.headers["Vary"]
        assert response.text.endswith("# EOF\n") == (content_type == OPENMETRICS)


def test_both_formats_tell_the_same_and_neither_has_created_series(tmp_path: Path) -> None:
    with World().start() as targets_world, RulesWorld(tmp_path, packed(3)).start() as rules_world:
        for world in (targets_world, rules_world):
            text = world.client.get("/metrics").text
            openmetrics = world.client.get("/metrics", headers={"Accept": PROMETHEUS_3}).text
            parsed: list[Any] = [text_families(text), openmetrics_families(openmetrics)]  # type: ignore[no-untyped-call]  # no types
            names = [{sample.name for family in families for sample in family.samples} for families in parsed]
            assert names[0] == names[1]
            assert not [name for name in names[0] if name.endswith("_created")]
            assert "alert_refresh_attempts_total" in names[0]


def test_an_app_that_is_built_again_has_no_created_series_either() -> None:
    with World().start() as world:
        world.post("?wait=5s")
        for app in (world.app, create_app(world.daemon)):
            assert "_created" not in app.test_client().get("/metrics").text


def test_promtool_finds_no_fault_in_openmetrics() -> None:
    tool = promtool()
    if tool is None:
        pytest.skip("promtool is not here")
    with World().start() as world:
        text = world.client.get("/metrics", headers={"Accept": PROMETHEUS_3}).data
    checked = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=30)
    faults = [line for line in checked.stderr.decode().splitlines() if line.split(" ")[0] not in CONTRACTS_NAMES]
    # promtool reads the text format only, in which a counter's type names the sample.
    assert [line for line in faults if "_total" not in line and "counter" not in line] == []


@pytest.mark.parametrize("accept", [TEXT, PROMETHEUS_3])
@pytest.mark.parametrize(
    ("query", "families"),
    [
        (f"name[]={REFRESHES}_total", {REFRESHES}),
        (f"name[]={REFRESHES}", {REFRESHES}),
        (f"name[]={REFRESHES}_held&name[]=alert_refresh_held", {f"{REFRESHES}_held", "alert_refresh_held"}),
        (f"name[]={REFRESHES}_duration_seconds_bucket", {f"{REFRESHES}_duration_seconds"}),
        (f"name%5B%5D={REFRESHES}_duration_seconds", {f"{REFRESHES}_duration_seconds"}),
        ("name[]=no_such_name", set()),
        ("name[]=", set()),
    ],
)  # fmt: skip
def test_only_the_families_that_are_named_are_shown_and_those_whole(
    accept: str, query: str, families: set[str]
) -> None:
    parse: Any = openmetrics_families if accept == PROMETHEUS_3 else text_families
    with World().start() as world:
        response = world.client.get(f"/metrics?{query}", headers={"Accept": accept})
        everything = world.client.get("/metrics", headers={"Accept": accept}).text
        assert response.status_code == 200
        shown = {family.name: family for family in parse(response.text)}
        assert set(shown) == families
        for family in parse(everything):
            if family.name in families:
                assert len(shown[family.name].samples) == len(family.samples)


def test_a_query_without_names_shows_everything() -> None:
    with World().start() as world:
        assert f"{REFRESHES}_total" in world.client.get("/metrics?other=1").text


@pytest.mark.parametrize("accept", [TEXT, PROMETHEUS_3])
def test_metrics_are_compressed_for_clients_that_accept_it(accept: str) -> None:
    with World().start() as world:
        response = world.client.get("/metrics", headers={"Accept": accept, "Accept-Encoding": "gzip"})
        assert response.headers["Content-Encoding"] == "gzip"
        assert set(response.vary) == {"Accept", "Accept-Encoding"}
        assert f"{REFRESHES}_total" in gzip.decompress(response.data).decode()


def test_metrics_with_a_slash_behind_are_a_404_and_a_post_of_them_a_405_that_says_what_is_allowed() -> None:
    with World() as world:
        for path, method, code in (("/metrics/", "GET", 404), ("/metrics/x", "GET", 404), ("/metrics", "POST", 405)):
            response = world.client.open(path, method=method)
            assert (response.status_code, set(response.json)) == (code, {"error", "message", "request_id"})
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
