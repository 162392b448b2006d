"""axe-core finds nothing in any state, in both colour schemes; everything is reached by keyboard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.secrets import fill, put, remove_together, spoil
from tests.e2e.state import at, headline
from tests.process.program import ROOT, Program

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install")
axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed: make install")
expect = playwright.expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from playwright.sync_api import Page

    Visit = Callable[..., AbstractContextManager[Page]]

AXE = (Path(axe.__file__).parent / "axe.min.js").read_text()
NAMES = [f"team-{number:02}" for number in range(12)]
PATIENT = {"TARGET_REFRESH_INTERVAL": "1h", "TARGET_REFRESH_WARMUP": "1h", "TARGET_REFRESH_BASE_BACKOFF": "5m"}
WHOLE = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}
SCHEMES = ("light", "dark")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "targets", NAMES)


@pytest.fixture
def program(folder: Path) -> Iterator[Program]:
    env = {"TARGET_DIRECTORY": str(folder), "RULES_FILE": str(ROOT / "config/examples/rules.yaml")}
    with Program(env=env | PATIENT | {"ALERT_REFRESH_ADMIN_TOKEN": "admin-token-of-the-page"}) as started:
        started.wait_for("Targets refreshed successfully")
        yield started


def violations(page: Page) -> list[str]:
    """What axe finds on the page as it is: the rule, what it says, and where."""
    page.evaluate(AXE)
    found: Any = page.evaluate("options => axe.run(document, options)", WHOLE)
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]


def in_both_schemes(page: Page) -> list[str]:
    found = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found += violations(page)
    return found


@pytest.mark.parametrize("width", [1280, 390])
def test_every_panel_with_faulty_items(program: Program, folder: Path, visit: Visit, width: int) -> None:
    spoil(folder, "team-03")
    put(folder, "new", url="hooks.example.com")
    with visit(at(program), viewport={"width": width, "height": 900}) as page:
        expect(headline(page)).to_contain_text("team-03; 1 rejected), rules (4 missing targets: ")
        for tab in ("Targets", "Rules", "History"):
            page.get_by_role("tab", name=tab).click()
            expect(page.get_by_role("table", name=tab)).to_be_visible()
            page.evaluate("scrollTo(0, document.body.scrollHeight)")
            assert in_both_schemes(page) == []


def test_nothing_configured(visit: Visit) -> None:
    with Program() as program, visit(at(program)) as page:
        expect(headline(page)).to_have_text("Nothing is configured.")
        assert in_both_schemes(page) == []


def test_failing_and_held(program: Program, folder: Path, visit: Visit) -> None:
    with visit(at(program)) as page:
        remove_together(program, folder, NAMES[2:])
        expect(headline(page)).to_contain_text("Not fresh: targets (the removal of 10 is held since ")
        assert in_both_schemes(page) == []
        folder.rename(folder.with_name("away"))
        expect(headline(page)).to_contain_text("Not fresh: targets (not refreshed since ")
        assert in_both_schemes(page) == []


def test_dialogs_and_messages(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        page.get_by_role("button", name="team-05").click()
        assert in_both_schemes(page) == []
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Refresh targets").click()
        page.get_by_label("ALERT_REFRESH_ADMIN_TOKEN").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        assert in_both_schemes(page) == []
        page.get_by_label("ALERT_REFRESH_ADMIN_TOKEN").fill("admin-token-of-the-page")
        page.keyboard.press("Enter")
        expect(page.locator("#toast")).to_contain_text("Targets: refreshed")
        assert in_both_schemes(page) == []


def test_a_daemon_that_is_gone(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(page.locator("#live")).to_have_text("Live")
        program.stop()
        expect(headline(page)).to_have_text("The daemon does not answer")
        assert in_both_schemes(page) == []


@pytest.mark.parametrize("name", ["runbook-targets.md", "runbook-views.md"])
def test_a_runbook(program: Program, visit: Visit, name: str) -> None:
    with visit(f"{at(program)}runbooks/{name}") as page:
        assert in_both_schemes(page) == []


def test_axe_would_find_something(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        page.evaluate("document.body.append(document.createElement('input'))")
        assert any(found.startswith("label:") for found in violations(page))


def test_everything_is_reached_and_done_by_keyboard(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(page.get_by_role("tab", name="Targets")).to_be_visible()
        expect(page.get_by_role("searchbox")).to_be_visible()
        expect(page.get_by_role("button", name="Show which")).to_be_visible()
        expect(page.locator("#advice").get_by_role("link")).to_be_visible()
        reached = []
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.innerText")
            )
            if reached[-1].startswith("Search"):
                break
        assert reached[0] == "What to do"
        assert {"Refresh targets", "Refresh rules", "Show which", "Targets"} <= set(reached)
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Shift+Tab")
        expect(page.get_by_role("tab", name="Targets")).to_be_focused()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name="Rules")).to_be_focused()
        expect(page.get_by_role("table", name="Rules")).to_be_visible()
        page.keyboard.press("ArrowLeft")
        page.get_by_role("button", name="team-05").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="team-05")).to_be_focused()


def test_a_button_that_was_pressed_keeps_the_focus(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        refresh = page.get_by_role("button", name="Refresh targets")
        refresh.press("Enter")
        page.get_by_label("ALERT_REFRESH_ADMIN_TOKEN").fill("admin-token-of-the-page")
        page.keyboard.press("Enter")
        expect(page.locator("#toast")).to_contain_text("Targets: refreshed")
        expect(refresh).to_be_enabled()
        expect(refresh).to_be_focused()


def test_a_link_whose_surroundings_change_keeps_the_focus(program: Program, folder: Path, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(headline(page)).to_contain_text("Not fresh")
        link = page.locator("#advice").get_by_role("link").first
        link.focus()
        put(folder, "one-more", url="z")
        expect(headline(page)).to_contain_text("1 rejected")
        expect(link).to_be_focused()


@pytest.mark.parametrize("width", [320, 390, 1920])
def test_nothing_is_wider_than_the_window(program: Program, folder: Path, visit: Visit, width: int) -> None:
    put(folder, "x" * 63, secret="y" * 200, url="z")
    with visit(at(program), viewport={"width": width, "height": 900}) as page:
        expect(headline(page)).to_contain_text("rejected")
        for tab in ("Targets", "Rules", "History"):
            page.get_by_role("tab", name=tab).click()
            expect(page.get_by_role("table", name=tab)).to_be_visible()
            page.evaluate("scrollTo(0, document.body.scrollHeight)")
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper_there_are_the_states_and_the_rows_but_no_buttons(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(page.get_by_role("table", name="Targets")).to_be_visible()
        page.emulate_media(media="print")
        expect(headline(page)).to_be_visible()
        expect(page.get_by_text("team-05", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name=re.compile("Refresh"))).to_have_count(0)
        assert len(page.pdf()) > 10_000
