"""What README.md shows is true."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from alert_refresh.engine import RefreshSettings
from tests.targets.test_metrics import promtool
from tests.test_packaging import known, listed
from tests.web.world import World

README = (Path(__file__).parent.parent / "README.md").read_text()
QUERIES = re.findall(r"^\| [^|]+ \| `([^`]*alert_[^`]*)` \|$", README, re.MULTILINE)


def test_the_readme_lists_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (?:`([^`]*)`|unset) \| \S", README, re.MULTILINE)
    assert dict(rows) == known()


def test_the_readme_says_of_every_setting_what_the_help_says() -> None:
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (?:`[^`]*`|unset) \| (\S.*) \|$", README, re.MULTILINE)
    assert {name: meaning.replace("`", "") for name, meaning in rows} == {
        name: meaning for name, (_, meaning) in listed().items()
    }


def test_every_metric_in_the_readme_is_served() -> None:
    with World().start() as world:
        served = world.client.get("/metrics").text
    named = set(re.findall(r"alert_(?:history|refresh)_\w+", " ".join(QUERIES)))
    assert len(named) >= 6
    for name in named:
        assert re.search(rf"^{name}(?:\{{| )", served, re.MULTILINE), name


def test_every_query_in_the_readme_is_correct_promql(tmp_path: Path) -> None:
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
