"""Writes docs/images/page-*.png: the page of the real program in four states. `make screenshots` runs it."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.browser import running
from tests.e2e.secrets import fill, put, put_together, remove, spoil
from tests.process.program import ROOT, Program, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

IMAGES = ROOT / "docs" / "images"
TEAMS = ("checkout", "identity", "search", "billing", "mobile", "data", "edge", "storage", "platform", "payments")
NAMES = [f"{prefix}-{team}" for team in TEAMS for prefix in ("slack", "pager")]
HISTORY = 45
"""Refreshes before the first picture."""
WIDE = {"width": 1280, "height": 800}


@contextmanager
def daemon(folder: Path) -> Iterator[Program]:
    """The program on these Secrets and on rules that name them, once it has a history."""
    rules = [
        {"id": f"page-{team}", "family": "paging", "match": [f'team="{team}"'], "targets": [f"pager-{team}"]}
        for team in TEAMS
    ]
    file = folder.with_name("rules.json")
    file.write_text(json.dumps({"rules": rules}))
    env = {
        "TARGET_DIRECTORY": str(folder),
        "RULES_FILE": str(file),
        "TARGET_REFRESH_INTERVAL": "2s",
        "TARGET_REFRESH_WARMUP": "1s",
        "TARGET_REFRESH_BASE_BACKOFF": "30s",
        "TARGET_REFRESH_MAX_RETRIES": "0",
        "RULES_REFRESH_INTERVAL": "3s",
    }
    with Program(env=env) as program:
        program.wait_for("Targets refreshed successfully")
        assert eventually(lambda: len(history(program)) >= HISTORY, seconds=240)
        yield program


def history(program: Program) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = program.get("/api/v2/refreshes?kind=targets")[2]["refreshes"]
    return found


@contextmanager
def page(browser: Browser, program: Program, **options: Any) -> Iterator[Page]:
    """The page, once it is live."""
    context = browser.new_context(**{"viewport": WIDE, "locale": "en-GB", "color_scheme": "light"} | options)
    shown = context.new_page()
    shown.goto(f"http://127.0.0.1:{program.port}/")
    shown.wait_for_selector("#live[data-state=live]")
    yield shown
    context.close()


def take(shown: Page, name: str, headline: str) -> None:
    """The picture of a state, once the page is in it and has drawn it."""
    shown.get_by_role("heading", level=1).get_by_text(headline).wait_for()
    shown.wait_for_selector("#chart canvas")
    shown.wait_for_timeout(1000)
    shown.screenshot(path=IMAGES / f"page-{name}.png")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, running() as browser:
        folder = fill(Path(place) / "targets", NAMES[:4])
        put_together(folder, "others", NAMES[4:])
        with daemon(folder) as program:
            with page(browser, program) as shown:
                take(shown, "fresh", "Everything is fresh")
                spoil(folder, NAMES[1])
                take(shown, "stale", "1 stale since")
                put(folder, NAMES[1])
            with page(browser, program, color_scheme="dark") as shown:
                folder.rename(folder.with_name("away"))
                shown.wait_for_selector("#verdict[data-level=bad]")
                take(shown, "failing", "not refreshed since")
                folder.with_name("away").rename(folder)
            with page(browser, program) as shown:
                remove(folder, "others")
                take(shown, "held", "is held since")


if __name__ == "__main__":
    main()
