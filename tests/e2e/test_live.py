"""The page is live, and says when it is not: events, a full daemon, a daemon that is gone and comes back."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.secrets import fill, put, remove
from tests.e2e.state import NO_POLLS, at, card, headline
from tests.ports import lasting_port
from tests.process.program import Program, eventually

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install")
expect = playwright.expect

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from playwright.sync_api import Page, Route

    Visit = Callable[..., AbstractContextManager[Page]]

PATIENT = {"TARGET_REFRESH_INTERVAL": "1h", "TARGET_REFRESH_WARMUP": "1h"}
NEXT_TRY = 90_000
"""Milliseconds after which a page that was refused again and again tries once more, and room."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "targets", [f"team-{number:02}" for number in range(12)])


def test_a_change_is_seen_without_a_poll(folder: Path, visit: Visit) -> None:
    with Program(env={"TARGET_DIRECTORY": str(folder)} | PATIENT) as program, visit("about:blank") as page:
        page.add_init_script(NO_POLLS)
        page.goto(at(program))
        expect(page.locator("#live")).to_have_text("Live")
        put(folder, "newcomer")
        expect(page.get_by_role("button", name="newcomer")).to_be_visible()
        expect(card(page, "targets")).to_contain_text("13 targets fresh")
        put(folder, "newcomer", enabled=False)
        expect(page.get_by_role("row", name="newcomer")).to_contain_text("disabled")
        remove(folder, "newcomer")
        expect(page.get_by_role("button", name="newcomer")).to_have_count(0)


def test_a_list_that_is_refused_at_first_is_read_again_without_a_poll(folder: Path, visit: Visit) -> None:
    with Program(env={"TARGET_DIRECTORY": str(folder)} | PATIENT) as program, visit("about:blank") as page:
        program.wait_for("Targets refreshed successfully")
        page.add_init_script(NO_POLLS)
        page.route("**/api/v2/publishing/targets", lambda route: route.fulfill(status=503, json={}), times=3)
        page.goto(at(program))
        expect(page.get_by_role("button", name="team-00")).to_be_visible()


def test_a_refresh_that_ends_before_the_stream_is_open_is_in_the_history(folder: Path, visit: Visit) -> None:
    held: list[Route] = []
    with Program(env={"TARGET_DIRECTORY": str(folder)} | PATIENT) as program, visit("about:blank") as page:
        program.wait_for("Targets refreshed successfully")
        page.route("**/api/v2/events", lambda route: held.append(route), times=1)
        page.goto(at(program))
        history = card(page, "targets").get_by_role("img")
        expect(history).to_have_attribute("aria-label", re.compile(": 1 shown"))
        put(folder, "newcomer")
        assert eventually(lambda: len(program.get("/api/v2/refreshes")[2]["refreshes"]) == 2)
        held[0].continue_()
        expect(history).to_have_attribute("aria-label", re.compile(": 2 shown"))


def test_where_as_many_follow_as_may_it_says_so_and_polls(folder: Path, visit: Visit) -> None:
    env = {"TARGET_DIRECTORY": str(folder), "ALERT_REFRESH_MAX_STREAMS": "1"} | PATIENT
    with Program(env=env) as program, visit(at(program)) as first:
        expect(first.locator("#live")).to_have_text("Live")
        with visit(at(program)) as page:
            expect(page.locator("#live")).to_contain_text("Not live, read every 5 s: As many requests wait")
            expect(page.locator("#live")).to_contain_text("ALERT_REFRESH_MAX_STREAMS")
            put(folder, "newcomer")
            expect(page.get_by_role("button", name="newcomer")).to_be_visible()
            first.close()
            expect(page.locator("#live")).to_have_text("Live", timeout=NEXT_TRY)


def test_a_daemon_that_is_gone_is_told_with_what_to_look_at_and_its_return_is_noticed(
    folder: Path, visit: Visit
) -> None:
    env = {"TARGET_DIRECTORY": str(folder), "ALERT_REFRESH_BIND": f"127.0.0.1:{lasting_port()}"} | PATIENT
    with Program(env=env) as program:
        program.wait_for("Targets refreshed successfully")
        with visit(at(program)) as page:
            expect(page.locator("#live")).to_have_text("Live")
            program.stop()
            expect(headline(page)).to_have_text("The daemon does not answer")
            expect(page.locator("#advice")).to_contain_text(
                re.compile(r"Since [\d:]+, for \d+ s\. What is below was true")
            )
            expect(page.locator("#verdict")).to_contain_text("systemctl status alert-refresh")
            expect(page.locator("#live")).to_contain_text("Not live")
            page.get_by_role("button", name="Refresh targets").click()
            expect(page.locator("#toast")).to_contain_text("The daemon does not answer")
            put(folder, "newcomer")
            with Program(env=env) as again:
                again.wait_for("Serving")
                expect(headline(page)).to_contain_text("Everything is fresh", timeout=NEXT_TRY)
                expect(page.locator("#live")).to_have_text("Live", timeout=NEXT_TRY)
                expect(page.get_by_role("button", name="newcomer")).to_be_visible()


def test_a_page_that_nobody_sees_gives_its_stream_back_and_is_live_again_when_it_is_seen(
    folder: Path, visit: Visit
) -> None:
    seen = "is => { Object.defineProperty(document, 'hidden', { value: !is, configurable: true });"
    seen += " document.dispatchEvent(new Event('visibilitychange')) }"
    env = {"TARGET_DIRECTORY": str(folder), "ALERT_REFRESH_MAX_STREAMS": "1"} | PATIENT
    with Program(env=env) as program, visit("about:blank") as page:
        page.clock.install()
        page.goto(at(program))
        expect(page.locator("#live")).to_have_text("Live")
        page.evaluate(seen, False)
        page.clock.run_for(6_000)
        expect(page.locator("#live")).to_contain_text("Paused while hidden, since ")
        with visit(at(program)) as other:
            expect(other.locator("#live")).to_have_text("Live")
        put(folder, "newcomer")
        page.evaluate(seen, True)
        page.clock.run_for(1_000)
        expect(page.locator("#live")).to_have_text("Live")
        for _ in range(10):
            page.clock.run_for(500)
        expect(page.get_by_role("button", name="newcomer")).to_be_visible()


def test_a_daemon_that_hangs_is_told_too(folder: Path, visit: Visit) -> None:
    with Program(env={"TARGET_DIRECTORY": str(folder)} | PATIENT) as program:
        program.wait_for("Targets refreshed successfully")
        with visit("about:blank") as page:
            page.clock.install()
            page.goto(at(program))
            expect(page.locator("#live")).to_have_text("Live")
            program.send(signal.SIGSTOP)
            try:
                for _ in range(9):
                    page.clock.run_for(10_000)
                expect(headline(page)).to_have_text("The daemon does not answer", timeout=60_000)
            finally:
                program.send(signal.SIGCONT)
