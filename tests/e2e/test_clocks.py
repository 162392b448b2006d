"""Times: one zone everywhere, the daemon's clock, days that pass, and a computer that slept."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.secrets import fill, spoil
from tests.e2e.state import at, card, headline
from tests.process.program import Program

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install")
expect = playwright.expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from playwright.sync_api import Page, Route

    Visit = Callable[..., AbstractContextManager[Page]]

PATIENT = {"TARGET_REFRESH_INTERVAL": "1h", "TARGET_REFRESH_WARMUP": "1h"}
KATHMANDU = datetime.timezone(datetime.timedelta(hours=5, minutes=45))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "targets", [f"team-{number:02}" for number in range(3)])


@pytest.fixture
def program(folder: Path) -> Iterator[Program]:
    with Program(env={"TARGET_DIRECTORY": str(folder)} | PATIENT) as started:
        started.wait_for("Targets refreshed successfully")
        yield started


def test_the_first_line_has_the_time_of_the_browsers_zone_as_all_others_and_utc_beside_it(
    program: Program, folder: Path, visit: Visit
) -> None:
    spoil(folder, "team-01")
    with visit(at(program), timezone_id="Asia/Kathmandu") as page:
        expect(headline(page)).to_contain_text("1 stale since ")
        since = program.get("/api/v2/publishing/targets/team-01")[2]["since"]
        local = datetime.datetime.fromisoformat(since).astimezone(KATHMANDU)
        utc = since.replace("T", " ").replace("Z", " UTC")
        expect(headline(page)).to_contain_text(f"(1 stale since {local:%H:%M:%S}: team-01).")
        expect(headline(page).locator("time")).to_have_attribute("title", utc)
        expect(page).to_have_title(re.compile(f"{local:%H:%M:%S}"))
        expect(card(page, "targets")).to_contain_text(f"Since {local:%H:%M:%S}, for ")
        assert "UTC" not in page.locator("body").inner_text()


def test_a_time_of_yesterday_has_its_day_though_nothing_is_drawn_anew(
    program: Program, folder: Path, visit: Visit
) -> None:
    spoil(folder, "team-01")
    with visit(at(program)) as page:
        time = headline(page).locator("time")
        expect(time).to_have_text(re.compile(r"^[\d:]+$"))
        time.evaluate("element => { element.dateTime = '2020-02-01T12:00:00Z' }")
        expect(time).to_have_text(re.compile(r"^1 Feb [\d:]+$"))


def test_what_looks_like_a_time_and_is_none_stays_as_it_is(program: Program, visit: Visit) -> None:
    told = "Not fresh: since 2026-99-99 99:99:99 UTC."
    with visit("about:blank") as page:
        page.route("**/health", lambda route: route.fulfill(json={**route.fetch().json(), "summary": told}))
        page.goto(at(program))
        expect(headline(page)).to_have_text(told)


@pytest.mark.parametrize("hours", [-3, 3])
def test_ages_are_by_the_daemons_clock_whatever_the_browsers_is(program: Program, visit: Visit, hours: int) -> None:
    with visit("about:blank") as page:
        page.clock.install(time=datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours))
        page.goto(at(program))
        expect(card(page, "targets")).to_contain_text(re.compile(r"Refreshed (just now|\d+ s ago)"))
        expect(card(page, "targets")).to_contain_text(re.compile(r"Next in (59 min|1 h)"))


def test_an_answer_from_the_cache_of_the_browser_does_not_tell_the_time(program: Program, visit: Visit) -> None:
    def old(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers=answer.headers | {"date": "Thu, 01 Jan 2026 00:00:00 GMT"})

    with visit("about:blank") as page:
        page.route("**/api/v2/*/status", old)
        page.route("**/api/v2/publishing/*/status", old)
        page.goto(at(program))
        expect(page.locator("#live")).to_have_text("Live")
        expect(card(page, "targets")).to_contain_text(re.compile(r"Next in (59 min|1 h)"))


def test_after_a_computer_slept_the_stream_is_opened_anew(program: Program, visit: Visit) -> None:
    with visit("about:blank") as page:
        page.clock.install()
        page.goto(at(program))
        expect(page.locator("#live")).to_have_text("Live")
        page.clock.run_for(2_000)
        with page.expect_request("**/api/v2/events"):
            page.clock.fast_forward(3_600_000)
        expect(page.locator("#live")).to_have_text("Live")
