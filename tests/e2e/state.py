"""Where things are on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.process.program import Program


NO_POLLS = """
const { setTimeout } = window;
window.setTimeout = (call, wait, ...more) => setTimeout(call, wait >= 15000 ? 2 ** 30 : wait, ...more);
"""
"""A script with which a page that is live never polls: what is seen came with an event."""


def at(program: Program) -> str:
    """The address of the page."""
    return f"http://127.0.0.1:{program.port}/"


def headline(page: Page) -> Locator:
    """The line above all."""
    return page.get_by_role("heading", level=1)


def card(page: Page, kind: str) -> Locator:
    """The card of a kind."""
    return page.get_by_role("article", name=kind.capitalize())
