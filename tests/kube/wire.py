"""HTTP on a raw socket: reads requests, writes responses and arbitrary bytes."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Mapping
    from io import BufferedReader

TLS_HANDSHAKE = b"\x16"
JSON = "application/json"
CHUNK_ABOVE = 2048
"""Like Go's server: a longer body is sent in chunks."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was received; header names in lower case, `connection` counts from 1."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass(slots=True)
class Response:
    """An answer not yet sent. `blocks` are the body's bytes, made while it is sent; `cost` is what making them costs,
    in JSON 1.
    """

    status: int
    blocks: Iterable[bytes] = ()
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": JSON})
    cost: float = 1.0

    def body(self) -> bytes:
        """The whole body."""
        self.blocks = [b"".join(self.blocks)]
        return self.blocks[0]


def reply(status: int, document: Any) -> Response:
    """A JSON answer."""
    return Response(status, [json.dumps(document, separators=(",", ":")).encode() + b"\n"])


def failure(code: int, reason: str, message: str, *, metadata: Any = None, details: Any = None) -> Response:
    """A Status body as the API server writes it."""
    status = {"kind": "Status", "apiVersion": "v1", "metadata": metadata or {}, "status": "Failure"}
    return reply(code, status | {"message": message, "reason": reason, "details": details or {}, "code": code})


class Wire:
    """One connection from the server's side."""

    def __init__(self, sock: socket.socket, number: int, closing: threading.Event) -> None:
        self.sock = sock
        self.number = number
        self.closing = closing
        self.sent = 0
        self._reader: BufferedReader | None = None

    def read_request(self) -> Request | None:
        """The next request; None when the client has gone."""
        if self._reader is None:
            self._reader = self.sock.makefile("rb")
            if self._reader.peek(1)[:1] == TLS_HANDSHAKE:
                self._refuse_tls()
                return None
        line = self._reader.readline(65537).decode("latin-1").split()
        if len(line) != 3:
            return None
        headers: dict[str, str] = {}
        while (text := self._reader.readline(65537).decode("latin-1").strip()) != "":
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        body = self._reader.read(int(headers.get("content-length", "0")))
        url = urlsplit(line[1])
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        return Request(line[0], unquote(url.path), query, headers, body, self.number)

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.sent += len(data)
        self.sock.sendall(data)

    def head(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        """The status line and headers."""
        self.send(head(status, headers or {}))

    def respond(self, response: Response, *, chunk: int = 0) -> bool:
        """A whole response, in chunks of at most `chunk` bytes if it is long; returns whether it stays open."""
        blocks = iter(response.blocks)
        first = b"".join(_until(blocks, CHUNK_ABOVE))
        rest = next(blocks, None)
        if rest is None and (len(first) <= CHUNK_ABOVE or not chunk):
            self.send(head(response.status, response.headers | {"Content-Length": str(len(first))}) + first)
            return True
        self.send(head(response.status, response.headers | {"Transfer-Encoding": "chunked"}))
        self.send(chunked(first, chunk))
        while rest is not None:
            self.send(chunked(rest, chunk))
            rest = next(blocks, None)
        self.send(b"0\r\n\r\n")
        return True

    def _refuse_tls(self) -> None:
        """What Go's server says to TLS on a plain port; the rest is read so that no RST overtakes the answer."""
        self.send(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n")
        self.sock.shutdown(socket.SHUT_WR)
        while self.sock.recv(4096):
            pass

    def wait(self, seconds: float | None = None) -> bool:
        """Block until the server closes (True) or that many seconds have passed."""
        return self.closing.wait(seconds)

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close both halves."""
        if self._reader is not None:
            self._reader.close()
        self.sock.close()


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """A status line and headers."""
    phrase = HTTPStatus(status).phrase if status in list(HTTPStatus) else "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunked(data: bytes, size: int = 0) -> bytes:
    """`data` as chunks of at most `size` bytes; 0 makes one of it."""
    if not size or len(data) <= size:
        return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    return b"".join(
        b"%x\r\n%b\r\n" % (len(piece), piece)
        for piece in (data[start : start + size] for start in range(0, len(data), size))
    )


def _until(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Blocks until they are longer than `size`."""
    total = 0
    for block in blocks:
        yield block
        total += len(block)
        if total > size:
            return
