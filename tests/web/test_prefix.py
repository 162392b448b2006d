"""ALERT_REFRESH_PATH_PREFIX: a proxy that leaves a prefix in the path."""

from __future__ import annotations

import pytest
from werkzeug.test import Client

from alert_refresh.daemon import read_config
from alert_refresh.engine import ConfigErrors
from tests.web.world import TARGETS, World

PREFIX = {"ALERT_REFRESH_PATH_PREFIX": "/ops/alert-refresh"}


def asking(world: World) -> Client:
    """A client that asks below the prefix too, which openapi.json leaves out."""
    return Client(world.app)


def test_everything_is_answered_below_the_prefix_and_without_it() -> None:
    with World(environ=PREFIX).start() as world:
        for path in ("/healthz", TARGETS, f"{TARGETS}/one", "/page/page.js", "/metrics"):
            assert asking(world).get(f"/ops/alert-refresh{path}").status_code == 200
            assert asking(world).get(path).status_code == 200


def test_the_prefix_alone_leads_to_the_page_by_a_relative_address() -> None:
    with World(environ=PREFIX) as world:
        response = asking(world).get("/ops/alert-refresh")
        assert (response.status_code, response.headers["Location"]) == (308, "alert-refresh/")
        page = asking(world).get("/ops/alert-refresh/", headers={"Accept": "text/html"})
        assert page.data.startswith(b"<!doctype html>")


@pytest.mark.parametrize("path", ["/ops/alert-refreshing/healthz", "/ops/healthz", "/ops/alert-refresh//healthz"])
def test_another_path_is_not_found(path: str) -> None:
    with World(environ=PREFIX) as world:
        assert asking(world).get(path).status_code == 404


def test_without_the_setting_there_is_no_prefix() -> None:
    with World() as world:
        assert asking(world).get("/ops/alert-refresh/healthz").status_code == 404


def test_a_token_is_wanted_below_the_prefix_too() -> None:
    with World(environ=PREFIX | {"ALERT_REFRESH_ADMIN_TOKEN": "admin-token-1"}).start() as world:
        assert asking(world).post(f"/ops/alert-refresh{TARGETS}/refresh").status_code == 401


@pytest.mark.parametrize(("value", "prefix"), [("/ops/", "/ops"), ("/", ""), ("", ""), ("/a.b/c~d", "/a.b/c~d")])
def test_a_slash_at_the_end_does_not_matter(value: str, prefix: str) -> None:
    assert read_config({"ALERT_REFRESH_PATH_PREFIX": value}).path_prefix == prefix


@pytest.mark.parametrize("value", ["ops", "/a//b", "/../x", "/a b", "/a?b", "/a%2fb", "/api", "/api/x", "/healthz"])
def test_a_prefix_that_is_none_or_hides_a_path_of_the_daemon_is_a_fault(value: str) -> None:
    with pytest.raises(ConfigErrors, match="ALERT_REFRESH_PATH_PREFIX"):
        read_config({"ALERT_REFRESH_PATH_PREFIX": value})
