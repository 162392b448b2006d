"""An HTTP client that costs little itself: one connection, kept alive, no parsing beyond what is needed."""

from __future__ import annotations

import json
import socket
import time
from typing import Any, Self


class Client:
    """One connection to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def request(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Status and body."""
        self.send(path, method)
        return self.receive()

    def send(self, path: str, method: str = "GET") -> None:
        """Ask, without waiting for the answer."""
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())

    def receive(self) -> tuple[int, bytes]:
        """Status and body of what was asked."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._part()
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self._part()
        return int(head[9:12]), body

    def _part(self) -> bytes:
        part = self._socket.recv(65536)
        if not part:
            raise ConnectionError("the server closed the connection")
        return part

    def json(self, path: str, method: str = "GET") -> tuple[int, Any]:
        status, body = self.request(path, method)
        return status, json.loads(body)

    def timed(self, path: str, method: str = "GET", *, expect: int = 200) -> float:
        """Seconds that a request took."""
        began = time.perf_counter()
        status, body = self.request(path, method)
        took = time.perf_counter() - began
        if status != expect:
            raise AssertionError(f"{method} {path}: {status} {body[:200]!r}")
        return took
