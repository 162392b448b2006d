"""The status page in Debian's chromium: how soon something is seen, and how soon a change is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.table import Table, median, spread
from tests.browser import binary, running
from tests.e2e.secrets import fill, put
from tests.process.program import Program

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

TARGETS = 5000
VISITS, CHANGES, WORDS = 15, 30, 20
PAINT, REDRAW = 0.3, 0.05
ONE = "target-0007"
SCREEN: Any = {"width": 1280, "height": 1200}

PAINTED = """
// A moment is over when its frame was painted: a task that a frame asks for runs right after it.
window.painted = (what) => requestAnimationFrame(() => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { window.moments[what] ??= performance.now(); };
  port2.postMessage(0);
});
window.moments = {};
const seen = () => {
  if (document.querySelector(".card .serves:not(:empty)")) window.painted("kinds");
  if (document.querySelector("tbody td button")) window.painted("rows");
};
new MutationObserver(seen).observe(document, { childList: true, subtree: true, characterData: true });
const listen = EventSource.prototype.addEventListener;
EventSource.prototype.addEventListener = function (name, listener) {
  listen.call(this, name, (event) => {
    if (name === "published") window.moments = { event: performance.now() };
    listener(event);
  });
};
"""
"""Notes when the kinds and the first rows are on the screen, and when an event of the stream arrives."""

CHANGED = """(name) => new MutationObserver(() => {
  const row = [...document.querySelectorAll("tbody tr")].find((one) => one.textContent.includes(name));
  if (row?.textContent.includes(window.wanted)) window.painted("redrawn");
}).observe(document.body, { childList: true, subtree: true, characterData: true })"""
"""Notes when the row of a target with what is wanted is on the screen."""

SEARCH = """(words) => new Promise((resolve) => {
  const field = document.querySelector("input[type=search]");
  const began = performance.now();
  field.value = words;
  field.dispatchEvent(new Event("input"));
  window.moments = {};
  window.painted("searched");
  const wait = () => window.moments.searched ? resolve((window.moments.searched - began) / 1000) : setTimeout(wait);
  wait();
})"""
"""Types into the search field; resolves to the seconds until the rows are on the screen."""


def seen(browser: Browser, url: str) -> dict[str, float]:
    """Seconds from the start of the navigation, with nothing in the cache, until each is painted."""
    with browser.new_context(viewport=SCREEN, bypass_csp=True) as context:
        page = context.new_page()
        page.add_init_script(PAINTED)
        page.goto(url)
        page.wait_for_function("window.moments.kinds && window.moments.rows")
        moments: dict[str, float] = page.evaluate("window.moments")
        first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return {name: moment / 1000 for name, moment in (moments | {"first": first}).items()}


def redrawn(browser: Browser, url: str, folder: Path) -> tuple[list[float], list[float]]:
    """Seconds from an event about one target until its row is painted anew, and from a key until the list is."""
    changes = []
    with browser.new_context(viewport=SCREEN, bypass_csp=True) as context:
        page: Any = context.new_page()
        page.add_init_script(PAINTED)
        page.goto(url)
        page.wait_for_selector("#live[data-state=live]")
        page.wait_for_selector("tbody td button")
        page.evaluate(CHANGED, ONE)
        for number in range(CHANGES):
            kind = ("slack", "rootly")[number % 2]
            page.evaluate("kind => { window.wanted = kind; window.moments = {}; }", kind)
            put(folder, ONE, type=kind, format=kind)
            page.wait_for_function("window.moments.redrawn && window.moments.event")
            changes.append(page.evaluate("(window.moments.redrawn - window.moments.event) / 1000"))
            page.wait_for_timeout(600)  # the whole list is read again meanwhile
        searches = [page.evaluate(SEARCH, f"target-{number:02}") for number in range(WORDS)]
    return changes, searches


def in_a_browser(folder: Path) -> Table:
    table = Table(
        "The status page",
        note=f"{TARGETS:,} targets, loopback, Debian's chromium without a window, its cache empty; {VISITS} visits. "
        "The promise is about the sentence and the kinds, each with its state; the rows of targets are below them, and "
        "are measured without a promise.",
    )
    if binary() is None:
        table.add("Chromium is not installed", "", "", "")
        return table
    targets = fill(folder / "page-targets", [f"target-{number:04}" for number in range(TARGETS)])
    env = {"TARGET_DIRECTORY": str(targets), "TARGET_REFRESH_INTERVAL": "1h", "TARGET_REFRESH_WARMUP": "1h"}
    with Program(env=env) as program, running() as browser:
        program.wait_for("Targets refreshed successfully")
        url = f"http://127.0.0.1:{program.port}/"
        visits = [seen(browser, url) for _ in range(VISITS)]
        changes, searches = redrawn(browser, url, targets)
    kinds, lists = ([one[what] for one in visits] for what in ("kinds", "rows"))
    table.add("first contentful paint", spread([one["first"] for one in visits]), "", "")
    table.promise(
        "first meaningful paint: the kinds, each with its state", spread(kinds), "< 300 ms", kept=median(kinds) < PAINT
    )
    table.add("the first rows of the targets", spread(lists), "", "")
    kept = median(changes) < REDRAW
    table.promise(f"event about one target to its row redrawn ({CHANGES})", spread(changes), "< 50 ms", kept=kept)
    table.add(f"a search among them to its rows ({WORDS})", spread(searches), "", "")
    return table
