"""A connection to a daemon, with one deadline for all of it: to connect, to send, and to receive head and body."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

    from _typeshed import WriteableBuffer

    from alert_refresh.cli.remote.server_url import ServerUrl


class Received(io.RawIOBase):
    """What a socket receives until a monotonic time, however slowly it comes; after that a read is a TimeoutError.

    With `silence`, in seconds, a single read ends that long after it began, too.
    """

    def __init__(self, source: socket.socket, until: float) -> None:
        super().__init__()
        self._source = source
        self.until = until
        self.silence = float("inf")

    def makefile(self, _: str) -> io.BufferedReader:
        """The stream that `HTTPResponse` reads."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Receive some bytes."""
        self._source.settimeout(min(remaining(self.until), self.silence))
        return self._source.recv_into(buffer)


class Connection(http.client.HTTPConnection):
    """A connection that is given up at a monotonic time. With `context` it speaks TLS."""

    def __init__(self, url: ServerUrl, context: ssl.SSLContext | None, until: float) -> None:
        self.default_port = 80 if context is None else 443  # HTTPConnection leaves it out of the Host header
        super().__init__(url.host or "localhost", url.port or None)
        self._url = url
        self._context = context
        self._until = until

    def connect(self) -> None:
        """Connect, to the first address of the host that answers."""
        if self._url.socket:
            self._connect(socket.AF_UNIX, self._url.socket)
            return
        failed: OSError = OSError()
        for family, _, _, _, address in socket.getaddrinfo(self._url.host, self._url.port, type=socket.SOCK_STREAM):
            try:
                self._connect(family, address)
                break
            except OSError as error:
                self.sock.close()
                failed = error
        else:
            raise failed
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            self.sock.settimeout(remaining(self._until))
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self._url.host)

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[http.client.HTTPResponse, Received]:
        """Send a request, and receive the head of the answer."""
        self.sock.settimeout(remaining(self._until))
        self.request(method, path, body, headers)
        received = Received(self.sock, self._until)
        response = http.client.HTTPResponse(received, method=method)  # type: ignore[arg-type]  # it uses makefile only
        response.begin()
        return response, received

    def _connect(self, family: int, address: Any) -> None:
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(remaining(self._until))
        self.sock.connect(address)


def remaining(until: float) -> float:
    """The seconds until a monotonic time.

    Raises:
        TimeoutError: it is over.
    """
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
