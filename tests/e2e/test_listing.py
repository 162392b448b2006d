"""Lists of thousands: only what is near the window is drawn, search and filter; hostile names stay text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.secrets import fill, put
from tests.e2e.state import at, card, headline
from tests.process.program import Program, eventually

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install")
expect = playwright.expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from playwright.sync_api import Locator, Page, Route

    Visit = Callable[..., AbstractContextManager[Page]]

MANY, REJECTED = 5000, 200
DRAWN = 250
"""Rows that are drawn at most: those of the window and some beyond it."""
ISOLATED = """node => [...node.querySelectorAll('*')].every(
  one => one.children.length || !one.textContent.includes('\u202e') || one.tagName === 'BDI')"""
"""Whether every text that turns the direction of writing is in an element that isolates it."""
HOSTILE = '<img src=x onerror="document.title=1"><b>\u202egnp.exe\u202c</b>'


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = fill(tmp_path_factory.mktemp("many") / "targets", [f"target-{number:04}" for number in range(MANY)])
    for number in range(REJECTED):
        put(folder, f"bad-{number:03}", url="hooks.example.com", type="slak")
    with Program(env={"TARGET_DIRECTORY": str(folder), "TARGET_REFRESH_INTERVAL": "1h"}) as started:
        started.wait_for("Targets refreshed successfully")
        yield started


def rows(page: Page) -> Locator:
    return page.get_by_role("table", name="Targets").locator("tbody tr:not(.far)")


def count(page: Page) -> Locator:
    return page.get_by_role("tabpanel").get_by_role("status")


def test_of_thousands_those_near_the_window_are_drawn(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(card(page, "targets")).to_contain_text("5,000 targets fresh, 200 Secrets rejected")
        expect(count(page)).to_have_text("5,200 targets and rejected Secrets")
        expect(page.get_by_role("table", name="Targets")).to_have_attribute("aria-rowcount", "5201")
        assert eventually(lambda: 0 < rows(page).count() <= DRAWN)
        last = page.get_by_role("button", name="target-4999")
        for _ in range(20):
            page.evaluate("scrollTo(0, document.body.scrollHeight)")  # the page may grow as rows are drawn
            expect(page.locator("tbody").last.locator(".far")).to_have_count(0)
        expect(last).to_be_in_viewport()
        expect(page.get_by_role("row", name="target-4999")).to_have_attribute("aria-rowindex", "5201")
        assert eventually(lambda: 0 < rows(page).count() <= DRAWN)
        page.evaluate("scrollTo(0, 0)")
        expect(headline(page)).to_be_in_viewport()


def test_the_first_rows_are_drawn_wherever_they_are(program: Program, visit: Visit) -> None:
    """So that the browser's own search finds what is faulty."""
    with visit(at(program)) as page:
        expect(rows(page).first).to_be_visible()
        page.evaluate("document.querySelector('main').style.paddingTop = '5000px'")
        observed = "new Promise(done => new IntersectionObserver(done).observe(document.querySelector('tbody')))"
        page.evaluate(f"{observed}.then(() => true)")
        assert rows(page).count() == 25


def test_every_row_passes_by_when_one_scrolls(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        page.get_by_role("searchbox").fill("target-00")
        expect(count(page)).to_have_text("100 of 5,200 targets and rejected Secrets")
        seen: set[str] = set()
        for turn in range(200):
            seen |= set(rows(page).get_by_role("button").all_inner_texts())
            # A slow machine may draw only where the wheel rests: to the end and back, again and again.
            page.mouse.wheel(0, 700 if turn % 20 < 10 else -700)
            if len(seen) == 100:
                break
        assert sorted(seen) == [f"target-{number:04}" for number in range(100)]


def test_on_paper_there_are_as_many_rows_as_one_may_want_and_it_says_so(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(count(page)).to_have_text("5,200 targets and rejected Secrets")
        pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf()))
        assert 10 < pages < 150, "unprinted rows leave no empty paper"
        caption = "table => getComputedStyle(table, '::after').content"
        page.emulate_media(media="print")
        table = page.get_by_role("table", name="Targets")
        assert eventually(lambda: table.evaluate(caption) == '"Only the first 1,000 rows are printed."')
        page.emulate_media(media="screen")
        page.get_by_label("State").select_option("rejected")
        page.emulate_media(media="print")
        assert eventually(lambda: table.evaluate(caption) == "none")


def test_search_and_filter(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        search = page.get_by_role("searchbox")
        search.fill("target-123")
        expect(rows(page)).to_have_count(10)
        search.fill("monitoring TARGET-0007 ")
        expect(rows(page)).to_have_count(1)
        search.fill("has no scheme")
        expect(count(page)).to_have_text("200 of 5,200 targets and rejected Secrets")
        search.fill("no such words")
        expect(count(page)).to_have_text("0 of 5,200 targets and rejected Secrets")
        expect(page.get_by_role("table", name="Targets")).to_be_hidden()
        search.fill("")
        page.get_by_label("State").select_option("rejected")
        expect(count(page)).to_have_text("200 of 5,200 targets and rejected Secrets")
        page.get_by_label("State").select_option("stale")
        expect(count(page)).to_have_text("0 of 5,200 targets and rejected Secrets")
        page.get_by_label("State").select_option("fresh")
        page.get_by_role("combobox", name="Type").select_option("slack")
        expect(count(page)).to_have_text("1,249 of 5,200 targets and rejected Secrets")


def test_hostile_names_are_text_and_turn_nothing_beside_them(tmp_path: Path, visit: Visit) -> None:
    folder = fill(tmp_path / "targets", ["good"])
    put(folder, "bad", secret=HOSTILE, namespace=HOSTILE, url="x")
    with Program(env={"TARGET_DIRECTORY": str(folder)}) as program:
        program.wait_for("Targets refreshed successfully")
        with visit("about:blank") as page:
            changed = {
                "name": HOSTILE,
                "state": "stale",
                "since": None,
                "faults": [{"field": HOSTILE, "message": HOSTILE}],
            }

            def twice(route: Route) -> None:
                found = route.fetch().json()
                found["targets"].append(found["targets"][0] | changed)
                found["skipped"] = {"count": 1, "items": [{"source": {"file": HOSTILE}, "reason": HOSTILE}]}
                route.fulfill(json=found)

            page.route("**/api/v2/publishing/targets", twice)
            known = program.get("/api/v2/publishing/targets/status")[2]
            failed = {"consecutive_failures": 3, "error": HOSTILE, "error_type": HOSTILE}
            page.route("**/targets/status", lambda route: route.fulfill(json=known | failed))
            page.goto(at(program))
            expect(rows(page).first).to_contain_text(HOSTILE)
            expect(card(page, "targets")).to_contain_text(HOSTILE)
            page.get_by_role("button", name=HOSTILE).last.click()
            expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text(HOSTILE)
            assert page.locator("main img, dialog img, main b, dialog b").count() == 0
            assert page.title() == "(!) Not fresh: targets (1 rejected). - alert-refresh"
            assert page.locator("main").evaluate(ISOLATED)
            assert page.get_by_role("dialog").evaluate(ISOLATED)
