"""The program with one thing changed, to measure what that thing is worth: `python -m bench.variant --help`."""

from __future__ import annotations

import argparse
import gc
from typing import TYPE_CHECKING

from alert_refresh.cli import main as cli
from alert_refresh.server import server
from alert_refresh.web import app
from alert_refresh.web.answers import JsonResponse

if TYPE_CHECKING:
    from flask import Flask

    from alert_refresh.daemon import Daemon


def with_an_empty_view() -> None:
    """Add a route that answers `{}`, to compare others with."""
    create_app = app.create_app

    def create(daemon: Daemon) -> Flask:
        flask = create_app(daemon)
        flask.add_url_rule("/api/v2/publishing/empty/status", "empty", lambda: JsonResponse(b"{}"))
        return flask

    app.create_app = create


def collect_rarely(times: int) -> None:
    """Let the garbage collector look at everything that often only."""
    settle = server._freeze_loaded

    def and_then() -> None:
        settle()
        gc.set_threshold(*gc.get_threshold()[:2], times)

    server._freeze_loaded = and_then


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.variant", description=__doc__)
    parser.add_argument("--empty-view", action="store_true")
    parser.add_argument("--switch-interval", type=float, help="seconds")
    parser.add_argument("--collect", type=int, help="collections of the second generation before one of the third")
    options = parser.parse_args()
    if options.collect is not None:
        collect_rarely(options.collect)
    if options.empty_view:
        with_an_empty_view()
    if options.switch_interval is not None:
        server.SWITCH_INTERVAL = options.switch_interval
    cli.main(["serve"])


if __name__ == "__main__":
    main()
