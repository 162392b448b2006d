"""The files of the page: what they may weigh and load, and how they are served."""

from __future__ import annotations

import configparser
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import alert_refresh
from alert_refresh.web.page import assets
from alert_refresh.web.page.runbook import PAGES
from tests.web.world import World

FILES = assets.read()
PACKAGE = Path(alert_refresh.__file__).parent
UPLOT_SHA256 = "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
"""Of `dist/uPlot.iife.min.js` in uplot 1.6.32 of the npm registry."""
BUDGET = 120_000
"""Bytes of all styles, scripts and images, as they lie there."""
ADDRESS = re.compile(rb"\b(?:https?|wss?):|[\"'(=]//", re.IGNORECASE)


class Links(HTMLParser):
    """Addresses, inline scripts and inline styles of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        for name, value in attrs:
            if name in ("href", "src"):
                self.addresses.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{name} of {tag}")

    def handle_data(self, data: str) -> None:
        if self._tag in ("script", "style") and data.strip():
            self.inline.append(data)


def links(page: bytes) -> Links:
    found = Links()
    found.feed(page.decode())
    return found


def test_styles_scripts_and_images_weigh_at_most_120_kilobytes() -> None:
    assert sum(len(content) for name, content in FILES.items() if not name.endswith(".html")) <= BUDGET


@pytest.mark.parametrize("name", FILES)
def test_no_file_holds_an_absolute_address(name: str) -> None:
    assert ADDRESS.findall(FILES[name]) == []


def test_the_page_has_no_inline_script_and_no_inline_style() -> None:
    assert links(FILES["index.html"]).inline == []


def test_every_address_of_the_page_is_relative_and_answered() -> None:
    with World().start() as world:
        addresses = [one for one in links(FILES["index.html"]).addresses if not one.startswith("#")]
        assert addresses
        for address in addresses:
            assert not address.startswith("/")
            assert world.client.get(f"/{address}").status_code == 200, address


def test_every_module_that_a_script_imports_is_loaded_beforehand() -> None:
    scripts = [content for name, content in FILES.items() if name.endswith(".js") and name != "uplot.js"]
    imported = {name for content in scripts for name in re.findall(rb'from "\./(\w+\.js)"', content)}
    preloaded = set(re.findall(rb'modulepreload" href="page/(\w+\.js)"', FILES["index.html"]))
    assert imported == preloaded


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("page.js", "text/javascript; charset=utf-8"),
        ("page.css", "text/css; charset=utf-8"),
        ("icon-ok.png", "image/png"),
        ("causes.json", "application/json; charset=utf-8"),
    ],
)
def test_a_file_has_its_type_and_is_asked_for_again(name: str, content_type: str) -> None:
    with World() as world:
        response = world.client.get(f"/page/{name}")
        assert (response.status_code, response.headers["Content-Type"]) == (200, content_type)
        assert response.headers["Cache-Control"] == "no-cache"
        again = world.client.get(f"/page/{name}", headers={"If-None-Match": response.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")


def test_the_chart_library_is_the_published_file_but_for_its_first_and_last_line() -> None:
    kept = FILES["uplot.js"].removesuffix(b"export default uPlot;\n")
    published = b"/*! https://github.com/leeoniya/uPlot (v1.6.32) */\n" + kept
    assert hashlib.sha256(published).hexdigest() == UPLOT_SHA256


def test_every_file_and_page_is_in_the_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(PACKAGE.parent / "setup.cfg")
    patterns = setup["options.package_data"]["alert_refresh"].split()
    packaged = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    assert {*assets.STATIC.iterdir(), *PAGES.values()} <= packaged


def test_the_chart_library_has_its_licence_beside_it() -> None:
    assert "Permission is hereby granted" in (assets.STATIC / "uplot.LICENSE").read_text()
