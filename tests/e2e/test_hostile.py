"""What is not as it should be: floods and garbage of events, silent streams, odd tokens, answers that are missing."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.secrets import fill, put
from tests.e2e.state import NO_POLLS, at, card, headline
from tests.process.program import ROOT, Program, eventually

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install")
expect = playwright.expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from playwright.sync_api import Page, Route

    Visit = Callable[..., AbstractContextManager[Page]]

TOKEN = "admin-token-of-the-page"
PATIENT = {"TARGET_REFRESH_INTERVAL": "1h", "TARGET_REFRESH_WARMUP": "1h", "TARGET_REFRESH_RATE_LIMIT": "0s"}
OWN_STREAM = """
window.streams = [];
window.EventSource = class extends EventTarget {
  constructor() { super(); window.streams.push(this); setTimeout(() => this.onopen?.(), 0); }
  close() {}
  tell(event, data) { this.dispatchEvent(new MessageEvent(event, { data })); }
};
"""
"""In place of the browser's EventSource: a stream that is open, and silent but for what the test tells."""
FLOOD = """
const event = JSON.stringify({ kind: "targets", generation: 1, added: [], removed: [], changed: ["team-00"],
                               added_count: 0, removed_count: 0, changed_count: 1 });
setInterval(() => { for (let n = 0; n < 4; n++) window.streams.at(-1).tell("published", event); }, 4);
"""
MOST_ASKED = 50
"""Requests of a second that are not many; each event would be one at least."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "targets", [f"team-{number:02}" for number in range(12)])


@pytest.fixture
def program(folder: Path) -> Iterator[Program]:
    env = {"TARGET_DIRECTORY": str(folder), "RULES_FILE": str(ROOT / "config/examples/rules.yaml")}
    with Program(env=env | PATIENT | {"ALERT_REFRESH_ADMIN_TOKEN": TOKEN}) as started:
        started.wait_for("Targets refreshed successfully")
        started.wait_for("Rules refreshed successfully")
        yield started


def streams(page: Page) -> int:
    """How many streams were opened so far, with `OWN_STREAM`."""
    number: int = page.evaluate("window.streams.length")
    return number


def in_time(page: Page, true: Callable[[], bool]) -> bool:
    """Let the page's time pass until this is true; what it asks for is answered in real time, which nothing hastens."""

    def one_step() -> bool:
        page.clock.run_for(5_000)
        return true()

    return eventually(one_step)


def test_a_thousand_events_a_second_put_nothing_off_and_are_no_thousand_requests(
    program: Program, folder: Path, visit: Visit
) -> None:
    with visit("about:blank") as page:
        page.add_init_script(OWN_STREAM + NO_POLLS)
        page.goto(at(program))
        expect(page.locator("#live")).to_have_text("Live")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        began = time.monotonic()
        page.evaluate(FLOOD)
        put(folder, "newcomer")
        expect(card(page, "targets")).to_contain_text("13 targets fresh")
        assert len(asked) <= MOST_ASKED * (1 + time.monotonic() - began)


def test_an_event_that_is_none_is_passed_over(program: Program, visit: Visit) -> None:
    with visit("about:blank") as page:
        page.add_init_script(OWN_STREAM)
        page.goto(at(program))
        expect(page.locator("#live")).to_have_text("Live")
        for event in ("sync", "published", "refresh"):
            for data in ("", "{", "null", "[]", '{"generations": null}', '{"kind": "__proto__"}', '{"kind": 7}'):
                page.evaluate("about => window.streams[0].tell(...about)", [event, data])
        page.get_by_role("tab", name="History").click()
        expect(page.get_by_role("table", name="History")).to_be_visible()
        expect(page.locator("#live")).to_have_text("Live")


def test_a_stream_that_is_silent_about_what_a_poll_finds_is_opened_anew(
    program: Program, folder: Path, visit: Visit
) -> None:
    with visit("about:blank") as page:
        page.add_init_script(OWN_STREAM)
        page.clock.install()
        page.goto(at(program))
        expect(page.locator("#live")).to_have_text("Live")
        told = program.get("/api/v2/publishing/targets/status")[2]["generation"]
        both = {"targets": told, "rules": program.get("/api/v2/rules/status")[2]["generation"]}
        page.evaluate("all => streams[0].tell('sync', JSON.stringify({ generations: all }))", both)
        page.clock.run_for(30_000)
        assert streams(page) == 1
        put(folder, "newcomer")
        program.wait_for("Targets refreshed successfully", count=2)
        assert in_time(page, lambda: streams(page) > 1)
        expect(card(page, "targets")).to_contain_text("13 targets fresh")


def test_of_refreshes_as_many_are_kept_as_the_daemon_keeps(program: Program, visit: Visit) -> None:
    known = program.get("/api/v2/refreshes")[2]
    one = known["refreshes"][0]
    reads = iter(range(100))

    def others(route: Route) -> None:
        read = next(reads)
        found = [one | {"request_id": f"{read}-{number}", "result": "success"} for number in range(300)]
        route.fulfill(json=known | {"refreshes": found})

    with visit("about:blank") as page:
        page.add_init_script(OWN_STREAM)
        page.route("**/api/v2/refreshes?*", others)
        page.goto(at(program))
        page.get_by_role("tab", name="History").click()
        rows = page.get_by_role("tabpanel").get_by_role("status")
        for number in ("300", "600", "900", "1,000", "1,000"):
            expect(rows).to_have_text(f"{number} refreshes")
            page.evaluate("streams[0].tell('sync', JSON.stringify({ generations: {}, missed: true }))")


@pytest.mark.parametrize("rest", ["#__proto__", "#panel", '#"><img src=x>', "?q=<script>alert(1)</script>#rules"])
def test_what_is_behind_the_address_chooses_a_tab_or_nothing(program: Program, visit: Visit, rest: str) -> None:
    with visit(at(program) + rest) as page:
        expect(page.locator("#live")).to_have_text("Live")
        wanted = "Rules" if rest.endswith("#rules") else "Targets"
        expect(page.get_by_role("tab", name=wanted)).to_have_attribute("aria-selected", "true")


def test_a_page_that_comes_back_from_the_cache_of_the_browser_begins_anew(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(page.locator("#live")).to_have_text("Live")
        with page.expect_request("**/api/v2/events"):
            page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        expect(page.locator("#live")).to_have_text("Live")


def test_a_daemon_of_another_version_gives_its_own_page(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(page.locator("#version")).to_have_text(re.compile(r"\d"))
        page.route("**/api/v2/version", lambda route: route.fulfill(json={"version": "99.0"}))
        with page.expect_navigation():
            page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        expect(page.locator("#version")).to_have_text("99.0")
        expect(page.locator("#live")).to_have_text("Live")


def test_causes_that_are_refused_at_first_are_read_again(visit: Visit) -> None:
    with Program() as program, visit("about:blank") as page:
        page.clock.install()
        page.route("**/page/causes.json", lambda route: route.fulfill(status=503, json={}), times=2)
        page.goto(at(program))
        expect(headline(page)).to_have_text("Nothing is configured.")
        expect(page.locator("#live")).to_have_text("Live")
        advice = "Each kind below says what switches it on."
        assert in_time(page, lambda: advice in page.locator("#advice").inner_text())
        expect(page.locator("#advice")).to_contain_text(advice)


def test_a_token_that_no_header_may_hold_is_told_and_never_sent(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        page.get_by_role("button", name="Refresh targets").click()
        field = page.get_by_label("ALERT_REFRESH_ADMIN_TOKEN")
        field.fill("tok\u2013en")
        page.get_by_role("button", name="Use it").click()
        assert field.evaluate("input => input.validity.patternMismatch")
        expect(page.get_by_role("dialog")).to_be_visible()
        field.fill(f" {TOKEN} ")
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#toast")).to_contain_text("Targets: refreshed")
        assert page.locator("#token").input_value() == ""


def test_the_token_is_asked_for_once_for_all_who_want_it(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(page.get_by_role("button", name="Refresh rules")).to_be_visible()
        page.evaluate(
            "for (const kind of ['targets', 'rules']) document.querySelector(`[aria-label='Refresh ${kind}']`).click()"
        )
        done: list[str] = []
        page.on(
            "response",
            lambda one: done.append(one.url) if one.status == 200 and "/refresh?" in one.url else None,
        )
        page.get_by_label("ALERT_REFRESH_ADMIN_TOKEN").fill(TOKEN)
        page.keyboard.press("Enter")
        for kind in ("targets", "rules"):
            expect(page.get_by_role("button", name=f"Refresh {kind}")).to_be_enabled()
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert eventually(lambda: bool(page.evaluate("1")) and len(done) >= 2)  # told of by another process
        assert len(done) == 2


def test_a_token_that_was_refused_is_not_sent_again(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        sent: list[str | None] = []
        page.on("request", lambda one: sent.append(one.headers.get("authorization")) if one.method == "POST" else None)
        refresh = page.get_by_role("button", name="Refresh targets")
        refresh.click()
        page.get_by_label("ALERT_REFRESH_ADMIN_TOKEN").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        page.keyboard.press("Escape")
        expect(refresh).to_be_enabled()
        refresh.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        expect(page.get_by_role("alert")).to_be_hidden()
        assert eventually(lambda: bool(page.evaluate("1")) and len(sent) >= 3)
        assert sent == [None, "Bearer wrong", None]
