"""The program with a scripted source, and with routes that hang.

    python -m tests.process.scripted '["ok", "fail", "hang"]' [SECONDS [LATE]]

Each word is what one attempt does, the last one again and again: `ok`, `fail`, `denied` (permanent), `later`
(asks to wait an hour), `slow` (1 s), `hang` (until stopped or forever), `until PATH` (until there is such a file),
`while PATH` (as long as there is one), `exit`, `memory`, `crash`. SECONDS are what a client has to send a request, and
to take an answer; LATE, if not the same, is how long past its timeout an attempt is abandoned. Each attempt logs
`Attempt N: WORD` when it begins. A webhook has a minute to answer, and a stop that is late is not cut short.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alert_refresh.daemon as program
from alert_refresh.cli.main import main
from alert_refresh.credential import Credential
from alert_refresh.engine import Permanent, Snapshot, Transient
from alert_refresh.targets.target import Target
from tests.kinds import with_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flask import Flask

    from alert_refresh.engine import Deadline, Request, Sink, Watch

CANARY = "canary-5f2a"

log = logging.getLogger("alert_refresh.scripted")


class Scripted:
    """A source that follows a script."""

    name = "scripted"

    def __init__(self, script: list[str]) -> None:
        self._script = script
        self._calls = 0

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[Any]:
        word = self._script[min(self._calls, len(self._script) - 1)]
        self._calls += 1
        log.info("Attempt %d: %s", self._calls, word)
        match word:
            case "fail":
                raise Transient("connection refused", "network")
            case "denied":
                raise Permanent("403 Forbidden", "auth")
            case "later":
                raise Transient("429 Too Many Requests", "k8s_api", retry_after=3600)
            case "slow":
                threading.Event().wait(1.0)
            case "hang":
                threading.Event().wait()
            case _ if word.startswith("until "):
                wait_for_file(word.removeprefix("until "))
            case _ if word.startswith("while "):
                wait_for_file(word.removeprefix("while "), there=False)
            case "exit":
                raise SystemExit(CANARY)
            case "memory":
                raise MemoryError(CANARY)
            case "crash":
                raise RuntimeError(CANARY)
        name = f"target-{self._calls}"
        url = Credential(f"https://example.com/{CANARY}")
        return Snapshot({name: Target(name, "webhook", "webhook", url)}, digest=name)

    def watches(self, sink: Sink) -> Sequence[Watch]:
        return ()

    def close(self) -> None:
        pass


def wait_for_file(path: str, *, there: bool = True) -> None:
    while Path(path).exists() is not there:
        threading.Event().wait(0.02)


def with_more_routes(create_app: Callable[..., Flask]) -> Callable[..., Flask]:
    """The application, and routes that are slow, hang, break or answer a lot."""

    def create(daemon: program.Daemon) -> Flask:
        from flask import request

        from alert_refresh.server import server

        server.GRACE = 20.0  # not earlier: with it gunicorn is imported, which reads the environment
        app = create_app(daemon)

        @app.get("/slow")
        def slow() -> str:
            threading.Event().wait(float(request.args["seconds"]))
            return "{}"

        @app.get("/until")
        def until() -> str:
            log.info("Waiting")
            wait_for_file(request.args["path"])
            return "{}"

        @app.get("/hang")
        @app.get("/hang/status", endpoint="hang_status")
        def hang() -> str:
            log.info("Hanging")
            threading.Event().wait()
            return "{}"

        add_faulty(app)
        return app

    return create


def add_faulty(app: Flask) -> None:
    """Routes with large or invalid responses, and exceptions."""
    from flask import Response, request

    @app.get("/big")
    def big() -> Response:
        return Response(b"x" * int(request.args["bytes"]))

    @app.get("/stream")
    def stream() -> Response:
        pieces = int(request.args["pieces"])
        return Response(b"%9d\n" % number * 10_000 for number in range(pieces))

    @app.get("/torn")
    def torn() -> Response:
        def pieces() -> Iterator[bytes]:
            yield b"some"
            raise RuntimeError(CANARY)

        return Response(pieces())

    @app.get("/break")
    def break_the_loop() -> str:
        Breaking.sweep_raises = {"RuntimeError": RuntimeError, "MemoryError": MemoryError, "OSError": OSError}[
            request.args["error"]
        ]
        return "{}"

    @app.get("/leave")
    def leave() -> str:
        raise SystemExit(CANARY)

    @app.post("/body")
    def body() -> str:
        return json.dumps({"length": len(request.get_data())})

    @app.get("/header")
    def header() -> Response:
        return Response("{}", headers={"X-Bad": "\x01" + CANARY})


class Breaking:
    """What the server's loop raises in its next turn, if anything."""

    sweep_raises: type[Exception] | None = None

    @classmethod
    def install(cls) -> None:
        from alert_refresh.server.clients import Clients

        whole = Clients.sweep

        def sweep(clients: Clients) -> None:
            if cls.sweep_raises is not None:
                raise cls.sweep_raises(CANARY)
            whole(clients)

        Clients.sweep = sweep  # type: ignore[method-assign,assignment]  # fault injection


def run() -> None:
    """Replace the targets' source, and the application's factory, then serve."""
    from alert_refresh.engine import attempt_threads
    from alert_refresh.observe.notify import delivery
    from alert_refresh.server import connection
    from alert_refresh.web import app

    script = json.loads(sys.argv[1]) if len(sys.argv) > 1 else ["ok"]
    if len(sys.argv) > 2:
        connection.READ_SECONDS = connection.TimedSocket.write_seconds = float(sys.argv[2])
        attempt_threads.ABANDON_AFTER = float(sys.argv[-1])
    delivery.TIMEOUT = 60.0
    program.KINDS = with_source("targets", lambda _settings, _clock: Scripted(script))
    app.create_app = with_more_routes(app.create_app)
    Breaking.install()
    main(["serve"], prog_name="alert-refresh")


if __name__ == "__main__":
    run()
