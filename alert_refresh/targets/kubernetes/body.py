"""Bodies of answers under limits: all GETs of one attempt share a byte budget and one second chance after a 401."""

from __future__ import annotations

import fcntl
import re
import termios
from array import array
from typing import TYPE_CHECKING

from urllib3.exceptions import HTTPError

from alert_refresh.engine import Permanent
from alert_refresh.targets.kubernetes.errors import Unauthorized, unreachable

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from urllib3 import HTTPResponse

    from alert_refresh.engine import Deadline
    from alert_refresh.targets.kubernetes.client import KubeClient

MAX_BYTES = 128 * 1024 * 1024
"""Of all answers of one attempt, unpacked: a hundred thousand Secrets of the usual size."""

CONNECT_SHARE = 0.3
"""Of the time left, what connecting with its TLS handshake may take at most."""

ENOUGH = 1024
"""Bytes that are worth a read while there is something else to do."""
READ = 256 * 1024
"""Bytes taken at once at most."""


class KubeReader:
    """Reads whole bodies for one attempt, all of them from one `server`, as `KubeClient.server` names it."""

    def __init__(self, client: KubeClient, max_bytes: int | None = None) -> None:
        self._client = client
        self.server = client.server()
        self._limit = MAX_BYTES if max_bytes is None else max_bytes
        self._left = self._limit
        self._second_chance = True

    def get(
        self,
        path: str,
        query: Mapping[str, str],
        deadline: Deadline,
        meanwhile: Callable[[bytearray], bool] | None = None,
    ) -> bytearray:
        """The body of an answer with status 200, read to its end by the deadline.

        While there is nothing to read `meanwhile` is called with what has been read: it does a little of something
        else, and says whether there was anything to do. A 401 makes the client read the token (of a kubeconfig: all
        of it) again and try once more.

        Raises:
            Transient, Permanent: there is none, or it is larger than what the attempt may still read.
        """
        try:
            return self._get(path, query, deadline, meanwhile)
        except Unauthorized:
            if not self._second_chance:
                raise
        self._second_chance = False
        self._client.reset()
        return self._get(path, query, deadline, meanwhile)

    def _get(
        self, path: str, query: Mapping[str, str], deadline: Deadline, meanwhile: Callable[[bytearray], bool] | None
    ) -> bytearray:
        left = deadline.check()
        response = self._client.get(path, query, connect=left * CONNECT_SHARE, read=left, server=self.server)
        try:
            return self._body(response, deadline, meanwhile)
        except HTTPError as error:
            raise unreachable(error) from error
        finally:
            # Ends the connection, unless the answer was read to its end.
            response.close()

    def _body(
        self, response: HTTPResponse, deadline: Deadline, meanwhile: Callable[[bytearray], bool] | None
    ) -> bytearray:
        body = bytearray()
        promised = response.headers.get("Content-Length", "")
        if re.fullmatch(r"[0-9]+", promised) and float(promised) > self._left:
            raise self._too_large()
        # An answer that ends the connection has given up its socket: its reads keep the first timeout each.
        sock = getattr(response.connection, "sock", None)
        while True:
            # What is buffered above the socket waits too; nothing is lost by it but that wait.
            while meanwhile is not None and sock is not None and not _arrived(sock) and meanwhile(body):
                deadline.check()
            left = deadline.check()
            if sock is not None:
                sock.settimeout(left)
            piece = response.read1(READ)
            if not piece:
                return body
            self._left -= len(piece)
            if self._left < 0:
                raise self._too_large()
            body += piece

    def _too_large(self) -> Permanent:
        return Permanent(f"the API server's answer is larger than {self._limit >> 20} MiB", "too_large")


def _arrived(sock: socket.socket) -> bool:
    """Whether there is enough to read. A few bytes may be the end of a chunk, behind which a read would wait."""
    waiting = array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, waiting)
    return waiting[0] >= ENOUGH
