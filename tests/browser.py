"""A real browser for tests: Debian's Chromium, and what its page did."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

UNPACKED = Path(__file__).parent.parent / ".cache/chromium/usr"
LIBRARIES = UNPACKED / "lib/x86_64-linux-gnu"
PATIENCE = 30_000
"""Milliseconds that a test waits for what should happen immediately."""


@dataclass
class Seen:
    """The addresses that a page asked for, and what the browser complained about."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def binary() -> str | None:
    """Where Chromium is, if anywhere."""
    unpacked = UNPACKED / "lib/chromium/chromium"
    return str(unpacked) if unpacked.exists() else shutil.which("chromium")


@contextmanager
def running() -> Iterator[Browser]:
    """A new browser; the test is skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = binary()
    if path is None:
        pytest.skip("Chromium is not installed; `make tools` fetches it")
    environ = {**os.environ, "LD_LIBRARY_PATH": f"{LIBRARIES}:{LIBRARIES}/pulseaudio"}
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], env=environ)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def browsing() -> Iterator[Seen]:
    """A page of a new browser; the test is skipped where there is none."""
    with running() as browser:
        seen = Seen(browser.new_page())
        seen.page.set_default_timeout(PATIENCE)
        seen.page.on("request", lambda request: seen.asked.append(request.url))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on("console", lambda message: _note(seen, message.type, message.text))
        yield seen


def _note(seen: Seen, sort: str, text: str) -> None:
    if sort in ("error", "warning"):
        seen.complaints.append(text)
