"""Pages of the documentation as HTML: anchors, links, and nothing that leads elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from alert_refresh.web.page import runbook
from tests.web.page.test_assets import links

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of the test's own, known as one.md; there is another.md too."""
    monkeypatch.setattr(runbook, "PAGES", {name: tmp_path / name for name in ("one.md", "another.md")})
    monkeypatch.setattr(runbook, "render", runbook.render.__wrapped__)
    return tmp_path / "one.md"


def rendered(page: Path, text: str) -> str:
    page.write_text(text)
    return runbook.render("one.md").decode()


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("A target is stale", "a-target-is-stale"),
        ("The safe search_path", "the-safe-search_path"),
        ("Views are never skipped, or always", "views-are-never-skipped-or-always"),
        ("`held` in C++ & more", "held-in-c--more"),
    ],
)
def test_a_heading_has_the_anchor_that_github_gives_it(page: Path, heading: str, anchor: str) -> None:
    assert f'<h2 id="{anchor}">' in rendered(page, f"## {heading}\n")


def test_the_title_is_the_first_heading(page: Path) -> None:
    assert "<title>Runbook: a &lt;b&gt; - alert-refresh</title>" in rendered(page, "# Runbook: a <b>\n\n## More\n")


@pytest.mark.parametrize("address", ["another.md", "another.md#part", "#part", "one.md"])
def test_a_link_to_another_page_stays(page: Path, address: str) -> None:
    assert f'<a href="{address}">there</a>' in rendered(page, f"[there]({address})\n")


@pytest.mark.parametrize(
    "address", ["https://example.com/", "//example.com", "../README.md", "none.md", "decisions/1.md"]
)
def test_a_link_to_what_is_not_served_becomes_text(page: Path, address: str) -> None:
    html = rendered(page, f"see [*there* too]({address}) and [one](another.md)\n")
    assert "<em><em>there</em> too</em>" in html
    assert address not in html
    assert '<a href="another.md">one</a>' in html


def test_an_image_is_its_text(page: Path) -> None:
    html = rendered(page, "![A *stale* target](images/x.png)\n")
    assert "<p>A *stale* target</p>" in html


def test_markup_in_a_page_is_text(page: Path) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in rendered(page, "<script>alert(1)</script>\n")


def test_tables_are_tables_without_inline_styles(page: Path) -> None:
    html = rendered(page, "| a | b |\n|---|--:|\n| 1 | 2 |\n")
    assert "<td>2</td>" in html


@pytest.mark.parametrize("name", runbook.PAGES)
def test_every_link_of_every_page_leads_to_a_page_and_an_anchor_that_exist(name: str) -> None:
    html = runbook.render(name)
    assert links(html).inline == []
    for address in links(html).addresses:
        target, _, anchor = address.partition("#")
        if target.startswith("../"):
            assert target in ("../", "../page/page.css", "../page/icon-none.png")
            continue
        assert not re.match(r"[a-z]+:|/", target), address
        if anchor:
            assert f' id="{anchor}"' in runbook.render(target or name).decode(), f"{name}: {address}"
