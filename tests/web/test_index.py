"""The list of routes at `/`, and the version."""

from __future__ import annotations

import platform

import pytest
from flask import Flask

from alert_refresh import __version__
from alert_refresh.web import index
from alert_refresh.web.app import create_app
from tests.web.test_app import ROUTES
from tests.web.world import World


def test_the_index_lists_every_route_with_its_description() -> None:
    with World() as world:
        answer = world.client.get("/").json
        assert (answer["name"], answer["version"]) == ("alert-refresh", __version__)
        listed = {(one["method"], one["path"]) for one in answer["routes"]}
        assert listed == {(method, index.VARIABLE.sub(r"{\1}", path)) for method, path in ROUTES}
        assert len(answer["routes"]) == len(listed)
        assert all(set(one) == {"method", "path", "summary"} and one["summary"] for one in answer["routes"])


def test_the_summary_of_a_route_is_the_first_line_of_its_docstring() -> None:
    with World() as world:
        summaries = {one["path"]: one["summary"] for one in world.client.get("/").json["routes"]}
        assert summaries["/api/v2/version"] == "The version of the program and of Python"
        assert summaries["/api/v2/publishing/targets/{name}"] == "One target; ?reveal=true"
        assert summaries["/healthz"].startswith("200 while every thread makes progress")


def test_a_route_without_a_docstring_stops_the_start() -> None:
    app = Flask("bare", static_folder=None)
    app.add_url_rule("/bare", "bare", lambda: "")
    with pytest.raises(ValueError, match="the view function of bare has no docstring"):
        index.install(app)


def test_the_same_routes_are_listed_for_a_kind_that_is_off() -> None:
    with World() as on, World(off=True) as off:
        listed = [[(one["method"], one["path"]) for one in world.client.get("/").json["routes"]] for world in (on, off)]
        assert listed[0] == listed[1]


def test_every_get_of_the_list_without_a_variable_answers() -> None:
    with World().start() as world:
        for one in world.client.get("/").json["routes"]:
            if one["method"] == "GET" and "{" not in one["path"]:
                assert world.client.get(one["path"]).status_code in (200, 503), one


def test_the_version_is_that_of_the_program_and_of_python() -> None:
    with World() as world:
        expected = {"name": "alert-refresh", "version": __version__, "python": platform.python_version()}
        assert world.client.get("/api/v2/version").json == expected


@pytest.mark.parametrize("path", ["/", "/api/v2/version"])
def test_only_get_head_and_options_are_allowed(path: str) -> None:
    with World() as world:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            response = world.client.open(path, method=method)
            assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
            assert set(response.json) == {"error", "message", "request_id"}
        for method in ("GET", "HEAD", "OPTIONS"):
            assert world.client.open(path, method=method).status_code == 200


def test_an_app_that_is_built_again_lists_the_same() -> None:
    with World() as world:
        assert create_app(world.daemon).test_client().get("/").json == world.client.get("/").json


FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize("accept", [FIREFOX, "text/html", "text/html, application/json;q=0.9"])
def test_a_browser_gets_the_page(accept: str) -> None:
    with World() as world:
        response = world.client.get("/", headers={"Accept": accept})
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Frame-Options"] == "DENY"
        assert "Accept" in response.headers["Vary"]
        again = world.client.get("/", headers={"Accept": accept, "If-None-Match": response.headers["ETag"]})
        assert again.status_code == 304


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json, text/html", "text/plain"])
def test_other_clients_get_the_list_of_routes(accept: str | None) -> None:
    with World() as world:
        response = world.client.get("/", headers={} if accept is None else {"Accept": accept})
        assert response.json["name"] == "alert-refresh"
        assert "Accept" in response.headers["Vary"]
