"""`/openapi.json` and `/docs` as they are served."""

from __future__ import annotations

import configparser
import hashlib
import re
from typing import Any

import pytest

from alert_refresh.web.docs.routes import FOLDER, OPENAPI, POLICY
from tests.web.world import World

FILES = {
    "/openapi.json": (OPENAPI, "application/json; charset=utf-8"),
    "/docs": (FOLDER / "page.html", "text/html; charset=utf-8"),
    "/docs/page.js": (FOLDER / "page.js", "text/javascript; charset=utf-8"),
    "/docs/rapidoc-min.js": (FOLDER / "rapidoc-min.js", "text/javascript; charset=utf-8"),
}
RAPIDOC = "9.3.8"
RAPIDOC_SHA256 = "affbd173a65e870e18f392cca963113bcdafb6e50e88cd2f6a834a65b22db94d"
"""Of dist/rapidoc-min.js in the package of that version in the npm registry."""


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_served_as_it_is_in_the_package(path: str) -> None:
    file, content_type = FILES[path]
    with World() as world:
        answer = world.client.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.data == file.read_bytes()


@pytest.mark.parametrize("path", FILES)
def test_a_client_that_has_it_is_told_so(path: str) -> None:
    with World() as world:
        first = world.client.get(path, headers={"Accept-Encoding": "gzip"})
        assert first.headers["Cache-Control"] == "no-cache"
        known = world.client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (known.status_code, known.data) == (304, b"")
        assert known.headers["ETag"] == first.headers["ETag"]
        assert world.client.get(path, headers={"If-None-Match": 'W/"0"'}).status_code == 200
        part: Any = world.client.get(path, headers={"Range": "bytes=0-1"})
        assert part.status_code == 200


def test_the_page_has_a_policy_of_its_own_that_allows_no_inline_script_and_no_other_host() -> None:
    with World() as world:
        assert world.client.get("/docs").headers.getlist("Content-Security-Policy") == [POLICY]
    assert "script-src 'self';" in POLICY and "unsafe-eval" not in POLICY and "http" not in POLICY
    page = (FOLDER / "page.html").read_text()
    assert re.findall(r"<script[^>]*>(?!</script>)", page) == []
    assert re.findall(r"\s(?:on\w+|style)=|https?:|//", page) == []


def test_addresses_in_the_page_are_relative() -> None:
    page, script = (FOLDER / "page.html").read_text(), (FOLDER / "page.js").read_text()
    assert re.findall(r'(?:src|href)="([^"]+)"', page) == ["data:,", "docs/rapidoc-min.js", "docs/page.js"]
    assert re.findall(r'URL\("([^"]+)"', script) == [".", "openapi.json"]


def test_the_viewer_is_the_published_file_and_its_license_lies_beside_it() -> None:
    content = (FOLDER / "rapidoc-min.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == RAPIDOC_SHA256
    assert f"RapiDoc {RAPIDOC} ".encode() in content[:200]
    assert (FOLDER / "LICENSE").read_text().startswith("MIT License")


def test_the_package_contains_the_files(packaged: set[str]) -> None:
    folder = FOLDER.parent.parent.parent
    files = {str(file.relative_to(folder)) for file, _ in FILES.values()}
    assert files | {"alert_refresh/web/docs/LICENSE"} <= packaged


@pytest.fixture
def packaged() -> set[str]:
    """The data files that setup.cfg puts into the package."""
    setup = configparser.ConfigParser()
    setup.read(FOLDER.parents[2] / "setup.cfg")
    found = dict(setup["options.package_data"])
    return {f"{package.replace('.', '/')}/{name}" for package, names in found.items() for name in names.split()}


def test_nothing_else_below_docs_is_served() -> None:
    with World() as world:
        for path in ("/docs/", "/docs/LICENSE", "/docs/page.html", "/docs/routes.py", "/docs/../app.py"):
            assert world.client.get(path).status_code == 404, path
