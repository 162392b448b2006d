"""The program with targets that change on request.

    python -m tests.process.publishing [COUNT]

It serves COUNT targets (10 if not given). `GET /publish?count=N` publishes N generations, each with one changed target,
as a watch would, and answers with the first and the last of them, when each began (`time.perf_counter`, which the
processes of a machine share), and the seconds until its listeners had returned. A client that reads nothing is kept
for minutes.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

import alert_refresh.daemon as program
from alert_refresh.cli.main import main
from alert_refresh.credential import Credential
from alert_refresh.engine import Snapshot
from alert_refresh.targets.target import Target
from tests.kinds import with_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Flask

    from alert_refresh.engine import Deadline, Request, Sink, Watch

CANARY = "canary-77ae"
URL = f"https://example.com/{CANARY}"


class Some:
    """A source of so many targets, which never change by themselves."""

    name = "some"

    def __init__(self, count: int) -> None:
        self._items = {f"t{n}": Target(f"t{n}", "webhook", "webhook", Credential(URL)) for n in range(count)}

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[Any]:
        return Snapshot(self._items, digest="0")

    def watches(self, sink: Sink) -> Sequence[Watch]:
        return ()

    def close(self) -> None:
        pass


def with_publish(create_app: Callable[..., Flask]) -> Callable[..., Flask]:
    """The application, and the route that publishes."""
    numbers = itertools.count(1)

    def create(daemon: program.Daemon) -> Flask:
        from flask import request

        app = create_app(daemon)

        @app.get("/publish")
        def publish() -> str:
            worker = daemon.workers["targets"]
            generations, began, took = [], [], []
            for _ in range(int(request.args["count"])):
                number = next(numbers)
                current = worker.current()
                assert current is not None
                name = f"t{number % len(current.items)}"
                changed = replace(current.items[name], url=Credential(f"{URL}/{number}"))
                at = time.perf_counter()
                items = {**current.items, name: changed}
                assert worker.publish(Snapshot(items, digest=str(number)), current, worker.clock.monotonic())
                took.append(time.perf_counter() - at)
                began.append(at)
                served = worker.get_status().snapshot
                assert served is not None
                generations.append(served.generation)
            return json.dumps({"first": generations[0], "last": generations[-1], "began": began, "took": took})

        return app

    return create


def run() -> None:
    """Replace the targets' source, and the application's factory, then serve."""
    from alert_refresh.server import connection
    from alert_refresh.web import app

    connection.TimedSocket.write_seconds = 300.0
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    program.KINDS = with_source("targets", lambda _settings, _clock: Some(count))
    app.create_app = with_publish(app.create_app)
    main(["serve"], prog_name="alert-refresh")


if __name__ == "__main__":
    run()
