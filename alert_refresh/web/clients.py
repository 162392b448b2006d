"""The clients of gunicorn's threaded worker: accepted, waiting, in a thread, closing.

They wait in the server's loop, not in threads, until a whole request has arrived; a thread then only computes
and writes. What does not arrive in time is answered 408 and closed. When every thread is busy, the loop answers
the liveness route by itself. Nothing in the loop ever waits for a client.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import time
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from alert_refresh.web.connection import READ_SECONDS, Connection, TimedSocket, TooLong
from alert_refresh.web.refusals import refusal
from alert_refresh.web.requests import parser_for

SWEEP = 0.5
"""Seconds between two looks at the deadlines while clients wait."""
CLOSE_SECONDS = 1.0
"""For a client to read an answer to its end and close, before we do."""
STOP_LINGER = 0.3
"""For requests that are on their way on idle connections when the server stops."""
BURST = 64
"""Connections accepted, and kilobytes drained, in one go."""
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


class Clients(ThreadWorker):  # type: ignore[misc]
    """What the loop does for its clients. `waiting` holds those it waits for, `busy` counts those in threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[Connection, None] = {}
        self.busy = 0
        self._accept_again = self._warn_again = 0.0
        self._make_parser = parser_for(self.cfg, lambda: not self.alive)

    def accept(self, listener: Any) -> None:
        """Take what connects, and make room by closing who has waited longest if there is none."""
        try:
            for _ in range(BURST):
                sock, client = listener.accept()
                own = TimedSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
                conn = Connection(own, client, listener.getsockname(), self._make_parser)
                self.nr_conns += 1
                self.watch(conn)
                self.on_readable(conn)
                if self.nr_conns > self.worker_connections:
                    self.shed()
        except OSError as error:
            if error.errno in OUT_OF_FILES:
                self._out_of_files()
            elif error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED):
                raise

    def _out_of_files(self) -> None:
        """Make room for who connects next, or leave them in the queue for a while."""
        now = time.monotonic()
        if now >= self._warn_again:
            self._warn_again = now + SWEEP
            log.warning("No file descriptor is left for a new connection")
        if not self.shed():
            self.set_accept_enabled(False)
            self._accept_again = now + SWEEP

    def watch(self, conn: Connection) -> None:
        """Let the loop wait for what the client sends."""
        self.waiting[conn] = None
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_readable, conn))

    def unwatch(self, conn: Connection) -> None:
        """The loop no longer waits for this client."""
        del self.waiting[conn]
        self.poller.unregister(conn.sock)

    def on_readable(self, conn: Connection, _: object = None) -> None:
        """Take what arrived; hand a whole request to a thread."""
        try:
            data = conn.sock.recv_now(16 * 1024)
            if not data:
                self.drop(conn)
            elif conn.closing:
                conn.drained += len(data)
                if conn.drained > BURST * 1024:
                    self.drop(conn)
            else:
                if conn.idle:
                    conn.deadline = time.monotonic() + (READ_SECONDS if self.alive else STOP_LINGER)
                self.feed(conn, data)
        except BlockingIOError:
            return
        except OSError:
            self.drop(conn)

    def feed(self, conn: Connection, data: bytes) -> None:
        """Add `data` to the connection's request, and begin it if it is whole."""
        try:
            if not conn.add(data):
                return
        except TooLong as error:
            self.refuse(conn, error.status)
            return
        self.unwatch(conn)
        if self.busy >= self.cfg.threads and conn.asks_for_health:
            self.finish(conn, keep=self.handle(conn))
            return
        self.busy += 1
        self.enqueue_req(conn)

    def finish_request(self, conn: Connection, fs: Any) -> None:
        """A thread is done with a request."""
        self.busy -= 1
        self.finish(conn, keep=not fs.cancelled() and fs.exception() is None and fs.result())

    def finish(self, conn: Connection, *, keep: bool) -> None:
        """Wait for the client's next request, or for it to close."""
        if not keep:
            self.watch(conn)
            self.close_gently(conn)
            return
        now = time.monotonic()
        conn.deadline = now + (self.cfg.keepalive if self.alive else STOP_LINGER)
        self.watch(conn)
        ahead = conn.take_back()
        if ahead:
            conn.deadline = now + READ_SECONDS
            self.feed(conn, ahead)

    def refuse(self, conn: Connection, status: int) -> None:
        """Answer by ourselves, and close."""
        try:
            conn.sock.send_now(refusal(status))
        except OSError:
            self.drop(conn)
            return
        self.close_gently(conn)

    def close_gently(self, conn: Connection) -> None:
        """End our side, and give the client a moment to read and end its own: a reset would lose the answer."""
        conn.closing = True
        conn.deadline = time.monotonic() + (CLOSE_SECONDS if self.alive else STOP_LINGER)
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(conn)

    def drop(self, conn: Connection) -> None:
        """Forget a waiting connection."""
        try:
            self.unwatch(conn)
        except (KeyError, ValueError, OSError):
            self.waiting.pop(conn, None)
        self.nr_conns -= 1
        conn.sock.close()

    def shed(self) -> bool:
        """Close the connection that has waited longest; False if none waits."""
        for conn in self.waiting:
            self.drop(conn)
            return True
        return False

    def sweep(self) -> None:
        """Close whoever's time is up; who has begun to ask is told."""
        now = time.monotonic()
        for conn in [conn for conn in self.waiting if conn.deadline <= now]:
            if conn.idle or conn.closing:
                self.drop(conn)
            else:
                self.refuse(conn, 408)
