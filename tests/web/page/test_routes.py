"""The page's files and the runbooks over HTTP."""

from __future__ import annotations

import pytest

from alert_refresh.web.page.assets import POLICY
from alert_refresh.web.page.runbook import PAGES
from tests.web.world import World


@pytest.mark.parametrize("path", ["/page/none.js", "/page/index.html", "/page/uplot.LICENSE", "/page/..%2fcauses.py"])
def test_what_is_no_file_of_the_page_is_not_found(path: str) -> None:
    with World() as world:
        response = world.client.get(path)
        assert (response.status_code, response.json["error"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/runbooks/none.md", "/runbooks/runbook-targets", "/runbooks/..%2fREADME.md"])
def test_what_is_no_page_of_the_documentation_is_not_found(path: str) -> None:
    with World() as world:
        assert world.client.get(path).status_code == 404


@pytest.mark.parametrize("name", PAGES)
def test_every_page_of_the_documentation_is_served_under_the_policy_of_the_page(name: str) -> None:
    with World() as world:
        response = world.client.get(f"/runbooks/{name}")
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Content-Security-Policy"] == POLICY
        again = world.client.get(f"/runbooks/{name}", headers={"If-None-Match": response.headers["ETag"]})
        assert again.status_code == 304


def test_the_policy_allows_nothing_but_own_files_and_no_inline_script() -> None:
    directives = dict(one.split(" ", 1) for one in POLICY.split("; "))
    assert directives.pop("default-src") == "'none'"
    assert {value for name, value in directives.items() if name.endswith("-src")} == {"'self'"}
    assert "unsafe" not in POLICY
