"""What the buttons do: refresh, approve, reject, one target, and the token that they may need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.secrets import fill, put, remove_together
from tests.e2e.state import at, card, headline
from tests.process.program import Program

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install")
expect = playwright.expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    Visit = Callable[..., AbstractContextManager[Page]]

NAMES = [f"team-{number:02}" for number in range(12)]
TOKEN = "admin-token-of-the-page"
PATIENT = {"TARGET_REFRESH_INTERVAL": "1h", "TARGET_REFRESH_BASE_BACKOFF": "5m", "TARGET_REFRESH_RATE_LIMIT": "0s"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "targets", NAMES)


@pytest.fixture
def program(folder: Path) -> Iterator[Program]:
    env = {"TARGET_DIRECTORY": str(folder), "ALERT_REFRESH_ADMIN_TOKEN": TOKEN} | PATIENT
    with Program(env=env) as started:
        started.wait_for("Targets refreshed successfully")
        yield started


def toast(page: Page) -> Locator:
    return page.locator("#toast")


def give(page: Page, token: str) -> None:
    """Type a token into the dialog that asks for it."""
    page.get_by_label("ALERT_REFRESH_ADMIN_TOKEN").fill(token)
    page.get_by_role("button", name="Use it").click()


def test_a_refresh_asks_for_the_token_once_and_says_what_became_of_it(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        refresh = page.get_by_role("button", name="Refresh targets")
        refresh.click()
        give(page, TOKEN)
        expect(toast(page)).to_have_text(re.compile(r"^Targets: refreshed in [\d.]+ m?s, nothing changed\.$"))
        page.evaluate("document.getElementById('toast').textContent = ''")
        refresh.click()
        expect(toast(page)).to_contain_text("Targets: refreshed")
        assert page.get_by_role("dialog").count() == 0
        stored = (
            "JSON.stringify([localStorage, sessionStorage, document.cookie, location.href, document.body.innerHTML])"
        )
        assert TOKEN not in page.evaluate(stored)
        page.reload()
        page.get_by_role("button", name="Refresh targets").click()
        expect(page.get_by_role("dialog")).to_contain_text("The daemon wants a token")


def test_a_wrong_token_is_told_and_asked_for_again(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        page.get_by_role("button", name="Refresh targets").click()
        give(page, "wrong")
        expect(page.get_by_role("alert")).to_have_text("The daemon does not accept this token.")
        give(page, TOKEN)
        expect(toast(page)).to_contain_text("Targets: refreshed")


def test_a_dialog_that_is_closed_asks_the_daemon_for_nothing(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        page.get_by_role("button", name="Refresh targets").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Refresh targets")).to_be_enabled()
        expect(toast(page)).to_have_text("")


def test_the_read_token_may_not_refresh(folder: Path, visit: Visit) -> None:
    env = {"ALERT_REFRESH_ADMIN_TOKEN": TOKEN, "ALERT_REFRESH_READ_TOKEN": "read-token-of-the-page"}
    with Program(env={"TARGET_DIRECTORY": str(folder)} | env) as program, visit(at(program)) as page:
        page.get_by_role("button", name="Refresh targets").click()
        give(page, "read-token-of-the-page")
        expect(toast(page)).to_have_text("This token may only read; the admin token is needed.")


def test_a_refresh_that_comes_too_soon_or_fails_tells_why(folder: Path, visit: Visit) -> None:
    with Program(env={"TARGET_DIRECTORY": str(folder), "TARGET_REFRESH_BASE_BACKOFF": "5m"}) as program:
        program.wait_for("Targets refreshed successfully")
        with visit(at(program)) as page:
            folder.rename(folder.with_name("away"))
            expect(headline(page)).to_contain_text("Not fresh: targets (not refreshed since ")
            refresh = page.get_by_role("button", name="Refresh targets")
            refresh.click()
            told = "Targets: the refresh failed. The folder of manifests cannot be read."
            expect(toast(page)).to_contain_text(told)
            refresh.click()
            expect(toast(page)).to_have_text(re.compile(r"Max 1 refresh per minute\. Possible again in \d+ s\."))


@pytest.mark.parametrize("approve", [True, False])
def test_held_removals_are_approved_after_a_question_or_kept(
    program: Program, folder: Path, visit: Visit, approve: bool
) -> None:
    with visit(at(program)) as page:
        expect(headline(page)).to_contain_text("Everything is fresh")
        remove_together(program, folder, NAMES[2:])
        expect(headline(page)).to_contain_text("Not fresh: targets (the removal of 10 is held since ")
        if approve:
            page.get_by_role("button", name="Remove them now").click()
            expect(page.get_by_role("dialog")).to_contain_text("Remove 10 targets?")
            expect(page.get_by_role("dialog")).to_contain_text("team-11")
            page.get_by_role("button", name="Remove", exact=True).click()
        else:
            page.get_by_role("button", name="Keep them").click()
        give(page, TOKEN)
        expect(toast(page)).to_have_text("10 targets removed." if approve else "10 targets kept.")
        text = "2 targets fresh" if approve else "What it lacks is kept, as was decided."
        expect(card(page, "targets")).to_contain_text(text)
        served = {one["name"] for one in program.get("/api/v2/publishing/targets")[2]["targets"]}
        assert len(served) == (2 if approve else 12)


def test_a_question_that_is_cancelled_removes_nothing(program: Program, folder: Path, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(headline(page)).to_contain_text("Everything is fresh")
        remove_together(program, folder, NAMES[2:])
        page.get_by_role("button", name="Remove them now").click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert len(program.get("/api/v2/publishing/targets")[2]["targets"]) == 12


def test_one_target_is_shown_whole_and_refreshed_alone(program: Program, folder: Path, visit: Visit) -> None:
    put(folder, "team-05", filter_config={"severity": ["critical"]})
    with visit(at(program)) as page:
        page.get_by_role("button", name="team-05").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("heading")).to_have_text("team-05")
        expect(dialog).to_contain_text('{"severity":["critical"]}')
        expect(dialog).to_contain_text("X-Key")
        page.get_by_role("button", name="Refresh this target").click()
        give(page, TOKEN)
        expect(toast(page)).to_contain_text("team-05: refreshed")
        page.get_by_role("tab", name="History").click()
        page.get_by_role("table", name="History").get_by_role("button").first.click()
        expect(dialog).to_contain_text("team-05")


def test_a_refresh_of_the_history_shows_what_it_changed(program: Program, folder: Path, visit: Visit) -> None:
    with visit(at(program) + "#history") as page:
        put(folder, "newcomer")
        rows = page.get_by_role("table", name="History").locator("tbody tr")
        expect(rows).to_have_count(2)
        rows.nth(0).get_by_role("button").click()
        expect(page.get_by_role("dialog")).to_contain_text("newcomer")
