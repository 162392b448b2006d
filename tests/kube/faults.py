"""Fault injection: rules that say when, and actions on the raw connection.

An action gets the `Exchange` (or, at the stage `connect`, the bare `Wire`) and returns whether the
connection stays open.
"""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.kube.wire import JSON, Response, Wire, chunked, failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.kube.server import Exchange
    from tests.kube.wire import Request

    Action = Callable[[Exchange], bool]


@dataclass(eq=False, slots=True)
class Rule:
    """An action for requests whose path begins with `path` and that `when` accepts: skips `after`, then fires
    `times` times (None: forever). `fired` proves that it did; `happened` is set the first time."""

    action: Any
    path: str = ""
    when: Callable[[Request], bool] | None = None
    after: int = 0
    times: int | None = None
    stage: str = "request"
    seen: int = 0
    fired: int = 0
    happened: threading.Event = field(default_factory=threading.Event)

    def matches(self, request: Request | None) -> bool:
        """Whether it concerns this request (None: a new connection), whether or not its turn has come."""
        if request is None:
            return self.stage == "connect"
        if self.stage != "request" or not request.path.startswith(self.path):
            return False
        return self.when is None or self.when(request)


class Faults:
    """The rules of a server, in order; the first whose turn it is acts."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._guard = threading.Lock()

    def add(self, rule: Rule) -> Rule:
        with self._guard:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove all rules; their counters stay readable."""
        with self._guard:
            self._rules.clear()

    def pick(self, request: Request | None) -> Rule | None:
        """The rule that acts now, counted."""
        with self._guard:
            for rule in self._rules:
                if not rule.matches(request):
                    continue
                rule.seen += 1
                if rule.seen > rule.after and (rule.times is None or rule.fired < rule.times):
                    rule.fired += 1
                    rule.happened.set()
                    return rule
        return None


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Action:
    """An error as the API server writes it, or with another body."""

    def act(exchange: Exchange) -> bool:
        response = failure(code, "Fault", f"canary-body {code}") if body is None else Response(code, [body])
        response.headers |= headers or {}
        return exchange.wire.respond(response)

    return act


def page(body: bytes, content_type: str = "application/json") -> Action:
    """200 with any body."""
    return lambda exchange: exchange.wire.respond(Response(200, [body], {"Content-Type": content_type}))


def edited(edit: Callable[[dict[str, Any]], Any]) -> Action:
    """The right answer, its JSON changed in place by `edit`."""

    def act(exchange: Exchange) -> bool:
        response = exchange.compute(JSON)
        document = json.loads(response.body())
        edit(document)
        response.blocks = [json.dumps(document).encode()]
        return exchange.wire.respond(response)

    return act


def recoded(code: int) -> Action:
    """The right answer under another status, such as 206."""

    def act(exchange: Exchange) -> bool:
        response = exchange.compute()
        response.status = code
        return exchange.wire.respond(response)

    return act


def redirect(location: str) -> Action:
    """302 to somewhere else."""
    return lambda exchange: exchange.wire.respond(Response(302, [], {"Location": location}))


def silence(exchange: Exchange) -> bool:
    """The request is read and no answer ever comes."""
    exchange.wire.wait()
    return False


def headers_then_silence(exchange: Exchange) -> bool:
    """Headers that promise a body that never comes."""
    exchange.wire.head(200, {"Content-Type": "application/json", "Content-Length": "1000"})
    exchange.wire.wait()
    return False


def drip(seconds: float, *, close: bool = False) -> Action:
    """The right answer, one byte every so many seconds; with `close` it says that it will end the connection."""
    ending = {"Connection": "close"} if close else {}

    def act(exchange: Exchange) -> bool:
        response = exchange.compute()
        body = response.body()
        exchange.wire.head(200, response.headers | {"Content-Length": str(len(body))} | ending)
        for number in range(len(body)):
            exchange.wire.send(body[number : number + 1])
            if exchange.wire.wait(seconds):
                return False
        return True

    return act


def truncated(how: str) -> Action:
    """Half of the right answer, then the end: `how` is `length`, `no-length` or `chunked` (without a last chunk)."""
    headers = {"length": {}, "no-length": {"Connection": "close"}, "chunked": {"Transfer-Encoding": "chunked"}}[how]

    def act(exchange: Exchange) -> bool:
        response = exchange.compute()
        body = response.body()
        half = body[: len(body) // 2]
        length = {"Content-Length": str(len(body))} if how == "length" else {}
        exchange.wire.head(200, response.headers | headers | length)
        exchange.wire.send(chunked(half) if how == "chunked" else half)
        return False

    return act


def reset(stage: str) -> Action:
    """RST after the `request`, after the `headers` or in the middle of the `body`."""

    def act(exchange: Exchange) -> bool:
        response = exchange.compute()
        body = response.body()
        if stage != "request":
            exchange.wire.head(200, response.headers | {"Content-Length": str(len(body))})
        if stage == "body":
            exchange.wire.send(body[: len(body) // 2])
        if stage != "request":
            exchange.wire.wait(0.05)
        exchange.wire.reset()
        return False

    return act


def encoded(how: str, size: int = 0) -> Action:
    """A body declared gzip: `garbage`, `plain` (the right answer, not packed) or `bomb` (`size` bytes of spaces)."""

    def act(exchange: Exchange) -> bool:
        response = exchange.compute(JSON)
        if how == "bomb":
            # After a full flush the compressor restarts, so the same compressed block can be repeated.
            packer, block = zlib.compressobj(9, wbits=31), b" " * (1 << 20)
            first = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
            again = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
            data = first + again * (size >> 20)
        elif how == "garbage":
            data = gzip.compress(response.body())[:10] + b"\xff\x00garbage" * 100
        else:
            data = response.body()
        return exchange.wire.respond(Response(200, [data], response.headers | {"Content-Encoding": "gzip"}))

    return act


def half_open(exchange: Exchange) -> bool:
    """A watch that starts and then sends nothing, while its connection stays open."""
    exchange.wire.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
    exchange.wire.wait()
    return False


def events(*lines: bytes) -> Action:
    """A watch that sends these lines and ends."""

    def act(exchange: Exchange) -> bool:
        exchange.wire.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
        for line in lines:
            exchange.wire.send(chunked(line + b"\n"))
        exchange.wire.send(b"0\r\n\r\n")
        return True

    return act


def silent_connection(wire: Wire) -> bool:
    """At the stage `connect`: accepted, and never a byte read or sent (so no TLS handshake either)."""
    wire.wait()
    return False


def reset_connection(wire: Wire) -> bool:
    """At the stage `connect`: RST after the first bytes, which with TLS is in the middle of the handshake."""
    wire.sock.recv(64)
    wire.reset()
    return False
