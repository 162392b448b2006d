from __future__ import annotations

from typing import Any

import pytest

from tests.web.world import TARGETS, World

NAME = "alert_refresh_http_requests_total"


def counted(world: World) -> dict[tuple[str, str], float]:
    """The counts, by route and class; the scrape itself is counted after it."""
    found = {}
    for name, value in world.metrics().items():
        if name.startswith(NAME) and value:
            code, route = name.split('"')[1::2]
            found[route, code] = value
    return found


@pytest.mark.parametrize(
    ("method", "path", "route", "code"),
    [
        ("GET", f"{TARGETS}/status", f"{TARGETS}/status", "2xx"),
        ("POST", f"{TARGETS}/refresh", f"{TARGETS}/refresh", "2xx"),
        ("GET", f"{TARGETS}?type=x", TARGETS, "4xx"),
        ("GET", f"{TARGETS}/nobody", f"{TARGETS}/<target_name:name>", "4xx"),
        ("GET", f"{TARGETS}/one?reveal=true", f"{TARGETS}/<target_name:name>", "4xx"),
        ("GET", "/api/v2/rules", "/api/v2/rules", "5xx"),
        ("GET", "/nowhere/hooks.example.com", "none", "4xx"),
        ("DELETE", f"{TARGETS}/status", "none", "4xx"),
    ],
)
def test_an_answer_is_counted_by_its_route_and_the_class_of_its_status(
    method: str, path: str, route: str, code: str
) -> None:
    with World().start() as world:
        world.client.open(path, method=method)
        assert counted(world) == {(route, code): 1}


def test_every_route_has_every_class_with_0_from_the_start() -> None:
    with World() as world:
        shown = [name for name in world.metrics() if name.startswith(NAME)]
        routes = {rule.rule for rule in world.app.url_map.iter_rules()} | {"none"}
    assert len(shown) == 4 * len(routes)
    for route in routes:
        for code in ("2xx", "3xx", "4xx", "5xx"):
            assert f'{NAME}{{code="{code}",route="{route}"}}' in shown


def test_h18_a_thousand_paths_make_no_series() -> None:
    with World().start() as world:
        before = len(world.metrics())
        for number in range(500):
            world.client.get(f"/{number}/x")
            world.client.get(f"{TARGETS}/target-{number}")
        assert len(world.metrics()) == before
        assert counted(world)["none", "4xx"] == 500


def test_a_view_that_breaks_is_counted_as_5xx() -> None:
    with World() as world:

        @world.app.get("/breaks")
        def breaks() -> Any:
            raise RuntimeError

        world.client.get("/breaks")
        assert counted(world) == {("/breaks", "5xx"): 1}
