"""Query parameters that nobody knows are refused on every route below /api, and nowhere else."""

from __future__ import annotations

import re

import pytest

from tests.web.world import ADMIN, World


def routes(world: World) -> list[tuple[str, str]]:
    """Method and path of every route below /api, with something in place of its parameters."""
    rules = world.app.url_map.iter_rules()
    return [
        (method, re.sub(r"<[^>]*>", "one", rule.rule))
        for rule in rules
        if rule.rule.startswith("/api")
        for method in sorted((rule.methods or set()) & {"GET", "POST", "PUT", "DELETE"})
    ]


@pytest.mark.parametrize("query", ["nobody=1", "Wait=10s", "reveal=true&typ=slack", "x"])
def test_an_unknown_parameter_is_refused_on_every_route(query: str) -> None:
    with World(environ={"ALERT_REFRESH_ADMIN_TOKEN": ADMIN}).start() as world:
        found = routes(world)
        assert len(found) > 15
        for method, path in found:
            headers = {"Authorization": f"Bearer {ADMIN}"}
            answer = world.client.open(f"{path}?{query}", method=method, headers=headers)
            assert answer.status_code == 400, (method, path, answer.json)
            assert "query parameter" in answer.text.lower()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/health", "/metrics"])
def test_probes_and_scrapes_may_carry_some(path: str) -> None:
    with World().start() as world:
        assert world.client.get(f"{path}?nobody=1").status_code == 200
