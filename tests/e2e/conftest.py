"""One browser for all tests of a file: playwright allows one at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import PATIENCE, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from playwright.sync_api import Browser, Page

EXPECTED = (
    "status of 401",
    "status of 403",
    "status of 429",
    "status of 502",
    "status of 503",
    "ERR_CONNECTION_REFUSED",
    "Failed to fetch dynamically imported module",
)
"""What the console says of answers and refusals that the page deals with."""


@pytest.fixture(autouse=True)
def programs_beside_a_browser(unmeasured: None) -> None:
    """They leave the processors to it."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install")
    api.expect.set_options(timeout=PATIENCE)
    with running() as started:
        yield started


@pytest.fixture
def visit(browser: Browser) -> Callable[..., AbstractContextManager[Page]]:
    """`visit(url, **options)` opens the page; a fault of a script or of the policy on it fails the test."""

    @contextmanager
    def opened(url: str, **options: Any) -> Iterator[Page]:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB"} | options)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        try:
            page.goto(url)
            yield page
        finally:
            if not page.is_closed():
                page.unroute_all(behavior="ignoreErrors")  # one may just be asking the daemon
            context.close()
        assert [fault for fault in faults if not any(words in fault for words in EXPECTED)] == []

    return opened
