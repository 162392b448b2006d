"""The page of the API in a real browser."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.browser import browsing
from tests.openapi import operations
from tests.web.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

SHADOW = "document.querySelector('rapi-doc').shadowRoot"


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log(self, *_: Any) -> None:
        pass


@contextmanager
def served(world: World, prefix: str) -> Iterator[str]:
    """The app below a prefix, as a proxy may serve it; everything else is a 404."""

    def nothing(environ: Any, start_response: Any) -> list[bytes]:
        start_response("404 Not Found", [])
        return []

    app: Any = DispatcherMiddleware(nothing, {prefix: world.app}) if prefix else world.app
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}{prefix}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("prefix", ["", "/ops/alerts"])
def test_the_page_shows_every_operation_asks_no_other_host_and_breaks_no_policy(prefix: str) -> None:
    with World().start() as world, served(world, prefix) as root, browsing() as seen:
        seen.page.goto(f"{root}/docs")
        seen.page.wait_for_function(f"() => {SHADOW}.querySelectorAll('.expanded-endpoint-body').length > 30")
        text = seen.page.evaluate(f"() => {SHADOW}.textContent")
        missing = [one["summary"] for one in operations().values() if one["summary"] not in text]
        assert missing == []
        assert {url for url in seen.asked if not url.startswith(("data:", "blob:"))} >= {
            f"{root}/{name}" for name in ("docs", "docs/page.js", "docs/rapidoc-min.js", "openapi.json")
        }
        assert [url for url in seen.asked if not url.startswith((f"{root}/", "data:", "blob:"))] == []
        assert seen.complaints == []


def test_a_request_from_the_page_goes_to_the_daemon_behind_the_prefix() -> None:
    with World().start() as world, served(world, "/ops/alerts") as root, browsing() as seen:
        seen.page.goto(f"{root}/docs")
        button = seen.page.locator("[id='get-/healthz'] button", has_text="TRY")
        with seen.page.expect_response(f"{root}/healthz") as answered:
            button.click()
        assert answered.value.json() == {"status": "ok"}
        assert seen.complaints == []
