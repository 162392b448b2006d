"""The stand-in itself: sockets, threads, TLS, bearer check, request log and fault injection around the routes."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.kube import api, protobuf, watching
from tests.kube.faults import Faults, Rule
from tests.kube.negotiation import PROTOBUF, negotiate
from tests.kube.store import Store
from tests.kube.wire import Response, Wire, failure

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

    from tests.kube.wire import Request

GZIP_ABOVE = 128 * 1024
UID = b"\x2a\x24"
"""Before a uid of 36 letters in protobuf."""


@dataclass(slots=True)
class Exchange:
    """One request being answered; what fault actions work on."""

    server: KubeServer
    wire: Wire
    request: Request

    def answer(self) -> bool:
        """Answer as a healthy server does; returns whether the connection stays open."""
        if api.is_watch(self.request) and self.permitted():
            return watching.serve(self)
        alive = self.wire.respond(self.compute(), chunk=self.server.chunk)
        return alive and self.request.headers.get("connection", "").lower() != "close"

    def permitted(self) -> bool:
        """Whether the caller is known and may watch."""
        return self.server.knows(self.request) and self.server.allows(
            api.verb_of(self.request), api.query_of(self.request).namespace
        )

    def compute(self, accept: str | None = None) -> Response:
        """The answer, not sent, to what the client accepts, or to `accept`; of a watch only its refusal."""
        request = self.request
        if accept is not None:
            request = replace(request, headers={**request.headers, "accept": accept})
        response = self._computed(request)
        if response.status >= 400 and response.status != 406 and self.server.protobuf:
            form = negotiate(request.headers.get("accept", ""), api.verb_of(request), protobuf=True)
            if form is not None and form.protobuf:
                body = protobuf.status(json.loads(response.body()))
                return Response(response.status, [body], response.headers | {"Content-Type": PROTOBUF})
        return response

    def _computed(self, request: Request) -> Response:
        if not self.server.knows(self.request):
            return failure(401, "Unauthorized", "Unauthorized")
        if api.is_watch(self.request):
            return api.forbidden(self.request, api.query_of(self.request).namespace)
        server = self.server
        response = api.answer(server.store, request, server.allows, server.user, protobuf=server.protobuf)
        if self.server.cost:
            response.blocks = _paced(response.blocks, self.server.cost * response.cost)
        if "gzip" in self.request.headers.get("accept-encoding", "") and len(response.body()) > GZIP_ABOVE:
            response.blocks = [gzip.compress(response.body(), 1)]
            response.headers["Content-Encoding"] = "gzip"
        return response


class KubeServer:
    """A Kubernetes API server for Secrets on 127.0.0.1.

    `tokens` are the bearer tokens it knows (None: everyone is let in) and may be replaced at any time;
    `denied` holds (verb, namespace) pairs that are answered 403, `user` is whom a SelfSubjectReview names.
    `requests` is the log of everything read, `sent` counts the bytes given to connections that have ended.
    `cost` is seconds that each full block of a list in JSON takes to make, `chunk` the size of chunks in bytes.
    Without `protobuf` it answers in JSON only.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tokens: set[str] | None = None,
        tls: ssl.SSLContext | None = None,
        cost: float = 0.0,
        chunk: int = 32768,
        bookmark_interval: float = 60.0,
        protobuf: bool = True,
    ) -> None:
        self.store = Store()
        self.faults = Faults()
        self.requests: list[Request] = []
        self.connections = 0
        self.handshakes_failed = 0
        self.sent = 0
        self.tokens = tokens
        self.denied: set[tuple[str, str]] = set()
        self.user = "system:serviceaccount:default:alert-refresh"
        self.tls = tls
        self.cost = cost
        self.chunk = chunk
        self.bookmark_interval = bookmark_interval
        self.protobuf = protobuf
        self.port = port
        self._reserved: socket.socket | None = None
        self._guard = threading.Lock()
        self._wires: dict[Wire, threading.Thread] = {}
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> KubeServer:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._reserved is not None:
            self._reserved.close()

    def open(self) -> None:
        """Listen, on the same port as before if it did before."""
        if self._reserved is None:
            # Bound and never listening: nobody else gets the port while this is closed, also not as a client's.
            self._reserved = _bound(self.port)
            self.port = self._reserved.getsockname()[1]
        self._listener = _bound(self.port)
        self._listener.listen(128)
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), name="kube-accept", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Refuse connections from now on and cut those there are; `open` makes it answer again."""
        listener, self._listener = self._listener, None
        if listener is None or self._acceptor is None:
            return
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self._acceptor.join()
        self.cut()

    def cut(self) -> None:
        """End the connections there are; a new one is accepted at any time."""
        with self._guard:
            wires = dict(self._wires)
        for wire in wires:
            wire.closing.set()
            try:
                wire.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        with self.store.changed:
            self.store.changed.notify_all()
        for thread in wires.values():
            thread.join()

    def fault(
        self,
        action: Callable[[Any], bool],
        path: str = "",
        *,
        when: Callable[[Request], bool] | None = None,
        after: int = 0,
        times: int | None = None,
        stage: str = "request",
    ) -> Rule:
        """Inject a fault from now on; the rule counts how often it fired."""
        return self.faults.add(Rule(action, path, when, after, times, stage))

    def knows(self, request: Request) -> bool:
        """Whether the bearer token is valid."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self.tokens is None or (scheme.lower() == "bearer" and token in self.tokens)

    def allows(self, verb: str, namespace: str) -> bool:
        """Whether that is allowed."""
        return (verb, namespace) not in self.denied

    def lists(self) -> list[Request]:
        """The lists that were requested."""
        return [one for one in self.requests if one.method == "GET" and not api.is_watch(one)]

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            wire = Wire(sock, self.connections, threading.Event())
            thread = threading.Thread(target=self._serve, args=(wire,), name=f"kube-{wire.number}", daemon=True)
            with self._guard:
                self._wires[wire] = thread
                thread.start()

    def _serve(self, wire: Wire) -> None:
        try:
            rule = self.faults.pick(None)
            if rule is not None:
                rule.action(wire)
                return
            if self.tls is not None and not self._handshake(wire, self.tls):
                return
            while (request := wire.read_request()) is not None and not wire.closing.is_set():
                self.requests.append(request)
                exchange = Exchange(self, wire, request)
                rule = self.faults.pick(request)
                if not (exchange.answer() if rule is None else rule.action(exchange)):
                    return
        except (OSError, ValueError):
            return
        finally:
            wire.close()
            with self._guard:
                self._wires.pop(wire, None)
                self.sent += wire.sent

    def _handshake(self, wire: Wire, context: ssl.SSLContext) -> bool:
        try:
            wire.sock = context.wrap_socket(wire.sock, server_side=True)
        except OSError:
            self.handshakes_failed += 1
            return False
        return True


def _bound(port: int) -> socket.socket:
    """A socket that is bound, and does not listen yet; another of this kind may be bound to the same port."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _paced(blocks: Iterable[bytes], seconds: float) -> Iterator[bytes]:
    """The same blocks, a full one no faster than in `seconds`: what a real server takes to make them."""
    due = time.monotonic()
    for block in blocks:
        due += seconds * (block.count(b'"uid":') + block.count(UID)) / api.BLOCK
        time.sleep(max(0.0, due - time.monotonic()))
        yield block
