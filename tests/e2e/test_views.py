"""Views on a real PostgreSQL: their age, mode, lock waits, and the automated service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.state import at, card, headline
from tests.postgres import Database, hierarchy
from tests.process.program import Program

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install")
expect = playwright.expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from playwright.sync_api import Page

    Visit = Callable[..., AbstractContextManager[Page]]

TOLD = 20_000
"""Milliseconds for what a lock timeout and a wait for an answer take, and room."""


@pytest.fixture
def database() -> Iterator[Database]:
    made = hierarchy()
    yield made
    made.drop()


@pytest.fixture
def program(database: Database) -> Iterator[Program]:
    env = {
        "VIEWS_DATABASE_URL": database.dsn(),
        "VIEWS_REFRESH_INTERVAL": "1h",
        "VIEWS_LOCK_TIMEOUT": "100ms",
        "VIEWS_REFRESH_BASE_BACKOFF": "5m",
    }
    with Program(env=env) as started:
        yield started


def test_each_view_has_its_age_and_how_it_was_refreshed(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(headline(page)).to_contain_text("Everything is fresh")
        expect(card(page, "views")).to_contain_text("3 views, automated service running")
        rows = page.get_by_role("table", name="Views").locator("tbody tr")
        expect(rows).to_have_count(3)
        expect(rows.filter(has_text="mv_descendant_counts")).to_contain_text("refreshed, concurrent")


def test_a_lock_wait_is_told_with_its_runbook_and_one_view_is_refreshed_alone(
    program: Program, database: Database, visit: Visit
) -> None:
    with visit(at(program)) as page, database.connect() as other:
        expect(headline(page)).to_contain_text("Everything is fresh")
        other.autocommit = False
        other.execute("refresh materialized view mv_descendant_counts")
        page.get_by_role("button", name="Refresh mv_descendant_counts").click()
        expect(headline(page)).to_contain_text("Not fresh: views (not refreshed since ", timeout=TOLD)
        row = page.get_by_role("table", name="Views").get_by_role("row", name="mv_descendant_counts")
        expect(row).to_contain_text("a lock could not be acquired within the lock timeout")
        expect(row).not_to_contain_text("failed, failed")
        expect(page.locator("#toast")).to_contain_text("A view waited too long for a lock", timeout=TOLD)
        other.rollback()
        page.get_by_role("button", name="Refresh mv_descendant_counts").click()
        expect(headline(page)).to_contain_text("Everything is fresh")
        row.get_by_role("link").wait_for(state="detached")


def test_the_automated_service_is_stopped_after_a_question_and_started(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        page.get_by_role("button", name="Stop views").click()
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(headline(page)).to_have_text("Not fresh: views (the schedule is stopped).")
        expect(card(page, "views")).to_contain_text("nothing is refreshed by schedule")
        page.get_by_role("button", name="Start views").click()
        expect(headline(page)).to_contain_text("Everything is fresh")
