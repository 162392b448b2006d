"""Response bodies under limits: all GETs of one attempt share a byte budget and one retry after a 401."""

from __future__ import annotations

import re
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from urllib3.exceptions import HTTPError

from alert_refresh.engine import Permanent, Transient
from alert_refresh.engine.errors import TIMEOUT
from alert_refresh.engine.threads import spawn
from alert_refresh.targets.kubernetes.encoding import protobuf_list
from alert_refresh.targets.kubernetes.errors import Unauthorized, unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3 import HTTPResponse

    from alert_refresh.engine import Deadline
    from alert_refresh.targets.kubernetes.client import KubeClient

MAX_BYTES = 128 * 1024 * 1024
"""Of all response bodies of one attempt, decompressed: 100,000 Secrets of typical size."""

CONNECT_SHARE = 0.3
"""The share of the remaining time that connecting and the TLS handshake may take."""

READ = 256 * 1024
"""Bytes of one read."""


class KubeReader:
    """Sends the GETs of one attempt, all to one `server` as `KubeClient.server` names it."""

    def __init__(self, client: KubeClient, max_bytes: int | None = None) -> None:
        self._client = client
        self.server = client.server()
        self._limit = MAX_BYTES if max_bytes is None else max_bytes
        self._left = self._limit
        self._second_chance = True

    @contextmanager
    def get(self, path: str, query: Mapping[str, str], deadline: Deadline, accept: str) -> Iterator[Answer]:
        """A response with status 200; its body has to be read within the context and by the deadline.

        After a 401 the client reads the token (or the whole kubeconfig) again and retries once.

        Raises:
            Transient, Permanent: the request failed, or the body exceeds what is left of the budget.
        """
        with closing(self._open(path, query, deadline, accept)) as response, Watchdog(response, deadline) as watchdog:
            promised = response.headers.get("Content-Length", "")
            if re.fullmatch(r"[0-9]+", promised) and float(promised) > self._left:
                raise self._too_large()
            try:
                yield Answer(response, deadline, watchdog, self._count)
            except HTTPError as error:
                watchdog.check()
                raise unreachable(error) from error

    def _open(self, path: str, query: Mapping[str, str], deadline: Deadline, accept: str) -> HTTPResponse:
        try:
            return self._send(path, query, deadline, accept)
        except Unauthorized:
            if not self._second_chance:
                raise
        self._second_chance = False
        self._client.reset()
        return self._send(path, query, deadline, accept)

    def _send(self, path: str, query: Mapping[str, str], deadline: Deadline, accept: str) -> HTTPResponse:
        left = deadline.check()
        return self._client.get(path, query, connect=left * CONNECT_SHARE, read=left, server=self.server, accept=accept)

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self._too_large()

    def _too_large(self) -> Permanent:
        return Permanent(f"the API server's answer is larger than {self._limit >> 20} MiB", "too_large")


class Answer:
    """A response whose body has not been read yet."""

    def __init__(
        self, response: HTTPResponse, deadline: Deadline, watchdog: Watchdog, count: Callable[[int], None]
    ) -> None:
        self._response = response
        self._deadline = deadline
        self._watchdog = watchdog
        self._count = count
        self.content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def protobuf(self) -> bool:
        """Whether the body is declared as protobuf."""
        return self.content_type == protobuf_list.CONTENT_TYPE

    def pieces(self) -> Iterator[bytes]:
        """The body in chunks.

        Raises:
            HTTPError: it is incomplete, or the connection broke.
            Transient: the deadline has passed.
            Permanent: it is too large.
        """
        while True:
            piece = self._response.read(READ)
            self._watchdog.check()
            self._deadline.check()
            if not piece:
                return
            self._count(len(piece))
            yield piece

    def whole(self) -> bytearray:
        """The whole body; raises as `pieces`."""
        body = bytearray()
        for piece in self.pieces():
            body += piece
        return body


class Watchdog:
    """Shuts a response down at the deadline: no read timeout ends a read to which a few bytes keep arriving."""

    def __init__(self, response: HTTPResponse, deadline: Deadline) -> None:
        self._response = response
        self._seconds = deadline.check()
        self._over = threading.Event()
        self._fired = False

    def __enter__(self) -> Watchdog:
        self._thread = spawn("targets-read-deadline", self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Raises Transient: the deadline has passed, so the body is incomplete (error type `timeout`)."""
        if self._fired:
            raise Transient("the API server's answer did not end in time", TIMEOUT)

    def _run(self) -> None:
        if not self._over.wait(self._seconds):
            self._fired = True
            shut_down(self._response)


def shut_down(response: HTTPResponse) -> None:
    """Unblock a read in another thread; from then on the response is at EOF."""
    try:
        response.shutdown()
    except (ValueError, RuntimeError, OSError, HTTPError):
        # The socket is already closed.
        return
