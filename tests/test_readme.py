"""What README.md and docs/metrics.md show is true; `process/test_tour.py` runs the README's commands."""

from __future__ import annotations

import re
import runpy
import subprocess
from pathlib import Path

import pytest
import yaml

from alert_refresh.daemon import read_config
from alert_refresh.engine import RefreshSettings
from tests.targets.test_metrics import promtool
from tests.test_packaging import known, listed
from tests.web.world import World

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
METRICS = (ROOT / "docs" / "metrics.md").read_text()
QUERIES = re.findall(r"^\| [^|]+ \| `([^`]*alert_[^`]*)` \|$", METRICS, re.MULTILINE)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def test_the_readme_lists_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (?:`([^`]*)`|unset) \| \S", README, re.MULTILINE)
    assert dict(rows) == known()


def test_the_readme_says_of_every_setting_what_the_help_says() -> None:
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (?:`[^`]*`|unset) \| (\S.*) \|$", README, re.MULTILINE)
    assert {name: meaning.replace("`", "") for name, meaning in rows} == {
        name: meaning for name, (_, meaning) in listed().items()
    }


def test_the_table_of_settings_is_the_one_that_is_made_from_the_settings() -> None:
    assert runpy.run_path(str(ROOT / "config" / "generate.py"))["readme"]() == README, "run `make generated`"


def test_every_metric_that_a_query_names_is_served() -> None:
    with World().start() as world:
        served = world.client.get("/metrics").text
    named = set(re.findall(r"alert_(?:history|refresh)_\w+", " ".join(QUERIES)))
    assert len(named) >= 6
    for name in named:
        assert re.search(rf"^{name}(?:\{{| )", served, re.MULTILINE), name


def test_every_query_is_correct_promql(tmp_path: Path) -> None:
    tool = promtool()
    if tool is None:
        pytest.skip("promtool is not here")
    assert len(QUERIES) >= 8
    rules = [{"record": f"readme:query:{number}", "expr": query} for number, query in enumerate(QUERIES)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "readme", "rules": rules}]}))
    result = subprocess.run([tool, "check", "rules", file], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_route_in_the_readme_is_served() -> None:
    routes = re.findall(r"^\| `(GET|POST) (/\S*)` \|", README, re.MULTILINE)
    assert len(routes) >= 8
    with World(settings=RefreshSettings(rate_limit=0.0)).start() as world:
        for method, path in routes:
            query = "?wait=10s" if method == "POST" else ""
            answer = world.client.open(path.replace("{name}", "one") + query, method=method)
            assert answer.status_code < 300, path


def test_the_settings_before_make_run_are_accepted() -> None:
    runs = re.findall(r"^(?: {4}|With `)((?:[A-Z0-9_]+=\S+ )+)make run", README, re.MULTILINE)
    assert len(runs) >= 3
    for settings in runs:
        by_shell = settings.replace("$HOME", "/home/somebody")
        read_config(dict(one.split("=", 1) for one in by_shell.split()))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.stem))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
