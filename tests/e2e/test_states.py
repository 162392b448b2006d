"""One look at the page tells the state of the real program: what is not fresh, why, since when and what to do."""

from __future__ import annotations

import json
import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.secrets import CANARY, fill, put, remove, remove_together, spoil
from tests.e2e.state import at, card, headline
from tests.process.program import ROOT, Program, eventually

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install")
expect = playwright.expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from playwright.sync_api import Page

    Visit = Callable[..., AbstractContextManager[Page]]

NAMES = [f"team-{number:02}" for number in range(12)]
PATIENT = {"TARGET_REFRESH_INTERVAL": "1h", "TARGET_REFRESH_WARMUP": "1h", "TARGET_REFRESH_BASE_BACKOFF": "5m"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "targets", NAMES)


@pytest.fixture
def program(folder: Path) -> Iterator[Program]:
    with Program(env={"TARGET_DIRECTORY": str(folder)} | PATIENT) as started:
        started.wait_for("Targets refreshed successfully")
        yield started


def test_nothing_configured_says_how_to_switch_each_kind_on(visit: Visit) -> None:
    with Program() as program, visit(at(program)) as page:
        expect(headline(page)).to_have_text("Nothing is configured.")
        expect(card(page, "targets")).to_contain_text("set TARGET_DIRECTORY")
        expect(card(page, "rules")).to_contain_text("set RULES_FILE")
        expect(card(page, "views")).to_contain_text("set VIEWS_DATABASE_URL")
        expect(page.get_by_role("button", name=re.compile("Refresh|Start"))).to_have_count(0)


def test_all_is_fresh(program: Program, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(headline(page)).to_have_text("Everything is fresh: 12 targets.")
        assert program.get("/health")[2]["summary"] == headline(page).inner_text()
        expect(page).to_have_title("Everything is fresh: 12 targets. - alert-refresh")
        expect(card(page, "targets")).to_contain_text("12 targets fresh")
        expect(card(page, "targets")).to_contain_text("Refreshed")
        expect(card(page, "views")).to_contain_text("off")
        expect(page.locator("#live")).to_have_text("Live")
        expect(page.get_by_role("table", name="Targets").get_by_role("row")).to_have_count(13)
        expect(page.locator("#chart canvas")).to_be_visible()


def test_the_first_start_says_that_it_reads(tmp_path: Path, visit: Visit) -> None:
    with (
        silent_cluster(tmp_path) as kubeconfig,
        Program(env={"KUBECONFIG": str(kubeconfig)}) as program,
        visit(at(program)) as page,
    ):
        expect(headline(page)).to_have_text("Not fresh: targets (not loaded yet).")
        expect(card(page, "targets")).to_contain_text("starting")
        expect(card(page, "targets")).to_contain_text("Refreshing now")


def test_a_failure_tells_its_cause_since_when_and_what_to_do(program: Program, folder: Path, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(headline(page)).to_contain_text("Everything is fresh")
        folder.rename(folder.with_name("away"))
        expect(headline(page)).to_contain_text("Not fresh: targets (not refreshed since ")
        expect(page).to_have_title(re.compile(r"^\(!\) Not fresh: targets \(.* - alert-refresh$"))
        advice = page.locator("#advice")
        expect(advice).to_contain_text(
            re.compile(r"The folder of manifests cannot be read\. Since [\d:]+, for \d+ s\.")
        )
        expect(card(page, "targets")).to_contain_text("The last good version is served. Next attempt in")
        expect(card(page, "targets")).to_contain_text("the folder TARGET_DIRECTORY is missing")
        advice.get_by_role("link", name="What to do").click()
        expect(page.locator(":target")).to_have_text("The folder cannot be read")
        expect(page.locator(":target")).to_be_in_viewport()


def test_the_third_failure_in_a_row_is_an_alarm(folder: Path, visit: Visit) -> None:
    env = {"TARGET_DIRECTORY": str(folder.parent / "none"), "TARGET_REFRESH_BASE_BACKOFF": "1ms"}
    with Program(env=env | {"TARGET_REFRESH_MAX_RETRIES": "2"}) as program, visit(at(program)) as page:
        expect(page.locator("#verdict")).to_have_attribute("data-level", "bad")
        expect(card(page, "targets")).to_contain_text("3 attempts failed. Nothing is served.")


def test_a_stale_target_and_a_rejected_secret_show_their_faults_by_field(
    program: Program, folder: Path, visit: Visit
) -> None:
    with visit(at(program)) as page:
        expect(headline(page)).to_contain_text("Everything is fresh")
        spoil(folder, "team-03")
        put(folder, "new", url="hooks.example.com")
        expect(headline(page)).to_have_text(
            re.compile(r"^Not fresh: targets \(1 stale since \d\d:\d\d:\d\d: team-03; 1 rejected\)\.$")
        )
        card(page, "targets").get_by_role("button", name="Show which").first.click()
        rows = page.get_by_role("table", name="Targets").locator("tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.nth(0)).to_contain_text("rejected")
        expect(rows.nth(0)).to_contain_text("monitoring/new-secret")
        expect(rows.nth(0)).to_contain_text("url bad_url: has no scheme")
        expect(rows.nth(1)).to_contain_text("stale")
        expect(rows.nth(1)).to_contain_text("type schema: is none of")
        put(folder, "team-03")
        remove(folder, "new")
        expect(headline(page)).to_contain_text("Everything is fresh")


def test_held_removals_are_named_with_what_can_be_decided(program: Program, folder: Path, visit: Visit) -> None:
    with visit(at(program)) as page:
        expect(headline(page)).to_contain_text("Everything is fresh")
        remove_together(program, folder, NAMES[2:])
        expect(headline(page)).to_contain_text("Not fresh: targets (the removal of 10 is held since ")
        held = card(page, "targets")
        expect(held).to_contain_text("The source no longer has 10 targets. What it lacks is still served.")
        expect(held).to_contain_text("team-02, team-03")
        expect(held.get_by_role("button", name="Remove them now")).to_be_visible()
        expect(held.get_by_role("button", name="Keep them")).to_be_visible()
        expect(held.get_by_role("img")).to_have_attribute("aria-label", re.compile("1 held"))


def test_the_removal_of_one_target_is_told_in_the_singular(tmp_path: Path, visit: Visit) -> None:
    folder = fill(tmp_path / "one", ["alone"])
    with Program(env={"TARGET_DIRECTORY": str(folder)} | PATIENT) as program, visit(at(program)) as page:
        expect(headline(page)).to_have_text("Everything is fresh: 1 target.")
        remove(folder, "alone")
        held = card(page, "targets")
        expect(held).to_contain_text("The source no longer has 1 target. What it lacks is still served.")
        expect(held.get_by_role("button", name="Keep it")).to_be_visible()
        row = page.get_by_role("table", name="Targets").locator("tbody tr")
        expect(row).to_contain_text("its Secret is gone, and its removal is held")
        held.get_by_role("button", name="Remove it now").click()
        expect(page.get_by_role("dialog")).to_contain_text("Remove 1 target?What is still served is gone at once.")


def test_the_scale_of_the_durations_names_no_value_twice(program: Program, visit: Visit) -> None:
    with visit("about:blank") as page:
        page.add_init_script(
            "window.drawn = []; const { fillText } = CanvasRenderingContext2D.prototype;"
            "CanvasRenderingContext2D.prototype.fillText = function (text, x, y)"
            "{ drawn.push([text, y]); return fillText.call(this, text, x, y); }"
        )
        one = program.get("/api/v2/refreshes")[2]["refreshes"][0]
        durations = [one | {"request_id": str(ms), "duration_ms": ms} for ms in (0, 4)]
        change(page, "**/api/v2/refreshes*", lambda found: found | {"refreshes": durations})
        page.goto(at(program))
        assert eventually(lambda: "1 ms" in [text for text, _ in page.evaluate("drawn")])
        labels = [text for text, _ in {(text, y) for text, y in page.evaluate("drawn")} if text.endswith(" ms")]
        assert len(set(labels)) == len(labels) and "0 ms" not in labels


def test_what_was_restored_says_so(folder: Path, tmp_path: Path, visit: Visit) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    env = {"TARGET_DIRECTORY": str(folder), "ALERT_REFRESH_STATE_DIR": str(state)} | PATIENT
    with Program(env=env) as program:
        program.wait_for("Targets refreshed successfully")
        program.stop()
    with silent_cluster(tmp_path) as kubeconfig:
        env = {"KUBECONFIG": str(kubeconfig), "ALERT_REFRESH_STATE_DIR": str(state)} | PATIENT
        with Program(env=env) as program, visit(at(program)) as page:
            expect(headline(page)).to_have_text("Not fresh: targets (restored after a restart; not watched).")
            expect(card(page, "targets")).to_contain_text("no refresh has confirmed it yet")
            expect(card(page, "targets")).to_contain_text("12 targets fresh")


def test_a_stuck_thread_is_named(program: Program, visit: Visit) -> None:
    with visit("about:blank") as page:
        change(page, "**/health", lambda found: found | {"status": "unhealthy", "stuck": ["targets-attempt-2"]})
        page.goto(at(program))
        expect(page.locator("#verdict")).to_have_attribute("data-level", "bad")
        expect(card(page, "targets")).to_contain_text("targets-attempt-2")


def test_rules_that_name_missing_targets_are_shown_with_both(folder: Path, visit: Visit) -> None:
    env = {"TARGET_DIRECTORY": str(folder), "RULES_FILE": str(ROOT / "config/examples/rules.yaml")}
    with Program(env=env) as program, visit(at(program)) as page:
        expect(headline(page)).to_contain_text("Not fresh: rules (4 missing targets: ")
        expect(card(page, "rules")).to_contain_text("4 targets named that do not exist.")
        page.get_by_role("tab", name="Rules").click()
        row = page.get_by_role("table", name="Rules").locator("tr", has_text="page-watchdog-silent")
        expect(row).to_contain_text("paging")
        expect(row).to_contain_text('alertname="WatchdogSilent"')
        expect(row).to_contain_text("pagerduty-oncall missing")


def test_more_missing_targets_than_an_answer_lists_are_all_counted_and_shown(folder: Path, visit: Visit) -> None:
    file = folder.with_name("rules.yaml")
    rules = [f"- {{id: r{n}, match: ['a=\"{n}\"'], targets: [ghost-{n}]}}\n" for n in range(150)]
    file.write_text("".join(["rules:\n", *rules]))
    env = {"TARGET_DIRECTORY": str(folder), "RULES_FILE": str(file)}
    with Program(env=env) as program, visit(at(program)) as page:
        expect(headline(page)).to_contain_text("rules (150 missing targets: ")
        expect(card(page, "rules")).to_contain_text("150 targets named that do not exist.")
        card(page, "rules").get_by_role("button", name="Show which").click()
        expect(page.get_by_role("tabpanel").get_by_role("status")).to_have_text("150 rules")
        page.get_by_role("searchbox").fill("ghost-99")
        expect(page.get_by_role("table", name="Rules")).to_contain_text("ghost-99 missing")


def test_a_kind_that_the_page_does_not_know_and_alertmanager_are_shown(program: Program, visit: Visit) -> None:
    with visit("about:blank") as page:
        well = {"status": "healthy", "loaded": True, "stale": False, "last_refresh": None, "seconds_since_success": 1}
        more = {"alertmanager": well, "weather": well}
        change(page, "**/health", lambda found: {**found, "kinds": {**found["kinds"], **more}})
        known = program.get("/api/v2/publishing/targets/status")[2]
        instances = [
            {"url": "am-1:9093", "version": "0.27.0", "in_sync": True, "error": None},
            {"url": "am-2:9093", "version": None, "in_sync": False, "error": "it refused the connection"},
        ]
        lost = [{"target": "team-04", "faults": [{"field": "headers", "message": "no version knows them"}]}]
        unrouted = [{"rule": "utf8", "faults": [{"field": "match[0]", "message": "has a label name of other letters"}]}]
        mine = {
            "instances": instances,
            "receivers": 12,
            "routes": 9,
            "undeliverable": lost,
            "undeliverable_count": 1,
            "undeliverable_rules": unrouted,
            "undeliverable_rules_count": 1,
            "overlapping": ["team-05"],
            "warnings": ["the template names no target"],
            "waiting_for": "targets, or rules, are not loaded yet",
        }
        page.route("**/api/v2/alertmanager/status", lambda route: route.fulfill(json=known | mine))
        page.route("**/api/v2/weather/status", lambda route: route.fulfill(json=known))
        page.goto(at(program))
        expect(card(page, "alertmanager")).to_contain_text("targets, or rules, are not loaded yet")
        expect(card(page, "alertmanager")).to_contain_text("1 of 2 instances out of sync.")
        expect(card(page, "alertmanager")).to_contain_text("12 receivers, 9 routes")
        expect(card(page, "weather")).to_contain_text("fresh")
        page.get_by_role("tab", name="Alertmanager").click()
        expect(page.get_by_role("tabpanel")).to_contain_text("am-2:9093")
        for text in ("headers no version knows them", "match[0] has a label name", "team-05", "names no target"):
            expect(page.get_by_role("tabpanel")).to_contain_text(text)


def test_alertmanager_that_is_written_for_has_its_state_and_each_target_its_delivery(
    folder: Path, tmp_path: Path, visit: Visit
) -> None:
    env = {
        "TARGET_DIRECTORY": str(folder),
        "ALERTMANAGER_CONFIG_TEMPLATE": str(ROOT / "config/examples/alertmanager.yml"),
        "ALERTMANAGER_CONFIG_FILE": str(tmp_path / "alertmanager.yml"),
    }
    for name in NAMES:
        put(folder, name, type="webhook", format="webhook", headers={})
    with Program(env=env | PATIENT) as program, visit(at(program)) as page:
        expect(headline(page)).to_have_text("Everything is fresh: 12 targets, alertmanager.")
        expect(card(page, "alertmanager")).to_contain_text("12 receivers, 12 routes")
        rows = page.get_by_role("table", name="Targets").locator("tbody tr")
        expect(rows.filter(has_text="team-04")).to_contain_text("ok")
        put(folder, "team-04", type="webhook", format="webhook", headers={"X-Team": CANARY})
        expect(headline(page)).to_have_text("Not fresh: alertmanager (1 target undeliverable: team-04).")
        expect(card(page, "alertmanager")).to_contain_text("1 target undeliverable.")
        expect(rows.first).to_contain_text("team-04")
        expect(rows.first).to_contain_text("undeliverable")
        expect(rows.first).to_contain_text("headers")
        page.get_by_label("State").select_option("undeliverable")
        expect(rows).to_have_count(1)
        page.get_by_role("button", name="team-04").click()
        expect(page.get_by_role("dialog")).to_contain_text("headers")
        page.keyboard.press("Escape")
        page.get_by_role("tab", name="Alertmanager").click()
        expect(page.get_by_role("tabpanel")).to_contain_text("ALERTMANAGER_URL is not set")
        expect(page.get_by_role("tabpanel")).to_contain_text("team-04")
        card(page, "alertmanager").get_by_role("link", name="What to do").click()
        expect(page.locator(":target")).to_have_text("A target is undeliverable")


def test_an_alertmanager_that_is_away_is_told_with_its_cause(folder: Path, tmp_path: Path, visit: Visit) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        env = {
            "TARGET_DIRECTORY": str(folder),
            "ALERTMANAGER_CONFIG_TEMPLATE": str(ROOT / "config/examples/alertmanager.yml"),
            "ALERTMANAGER_CONFIG_FILE": str(tmp_path / "alertmanager.yml"),
            "ALERTMANAGER_URL": f"http://127.0.0.1:{closed.getsockname()[1]}",
        }
        with Program(env=env | PATIENT) as program, visit(at(program)) as page:
            expect(headline(page)).to_contain_text(
                ": it refused the connection; 12 targets undeliverable: team-00, team-01 and 10 more; out of sync: "
            )
            expect(page.locator("#advice")).to_contain_text("An Alertmanager cannot be reached.")
            expect(card(page, "alertmanager")).to_contain_text("failed. Nothing is served. Next attempt in")
            page.get_by_role("tab", name="Alertmanager").click()
            expect(page.get_by_role("tabpanel")).to_contain_text("out of sync")
            expect(page.get_by_role("tabpanel")).to_contain_text("it refused the connection")


def test_no_credential_ever_reaches_the_browser(program: Program, folder: Path, visit: Visit) -> None:
    with visit("about:blank") as page:
        bodies: list[str] = []
        page.on(
            "response", lambda response: bodies.append(text_of(response)) if "/events" not in response.url else None
        )
        page.goto(at(program))
        expect(headline(page)).to_contain_text("Everything is fresh")
        spoil(folder, "team-03")
        expect(headline(page)).to_contain_text("Not fresh: targets (1 stale since ")
        page.get_by_role("button", name="team-03").click()
        expect(page.get_by_role("dialog")).to_contain_text("https://hooks.example.com")
        assert any("team-03" in body for body in bodies)
        assert CANARY not in page.content() + "".join(bodies)


def text_of(response: object) -> str:
    body: str = response.text() if response.status == 200 else ""  # type: ignore[attr-defined]
    return body


def change(page: Page, pattern: str, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Let the page get another answer than the daemon gives."""
    page.route(pattern, lambda route: route.fulfill(json=changed(route.fetch().json())))


@contextmanager
def silent_cluster(folder: Path) -> Iterator[Path]:
    """The kubeconfig of an API server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.getsockname()[1]}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}]}
        file = folder / "kubeconfig"
        file.write_text(json.dumps(config | {"clusters": [cluster], "contexts": [context]}))
        yield file
