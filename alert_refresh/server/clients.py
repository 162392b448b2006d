"""The clients of gunicorn's threaded worker: accepted, waiting, in a thread, closing.

They wait in the server's loop, not in threads, until a whole request has arrived; a thread then only computes.
What a client does not take of the answer at once is sent by the loop. What does not arrive in time is answered
408 and closed. Some threads are kept for reads that tell how the daemon is, and when those are busy too, the loop
answers the liveness route by itself. Nothing in the loop ever waits for a client, and nothing a client sends makes
it call itself again.
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

from alert_refresh.engine.threads import Pool
from alert_refresh.server.connection import READ_SECONDS, Connection, TimedSocket, TooLong
from alert_refresh.server.parser import parser_for
from alert_refresh.server.refusals import refusal

SWEEP = 0.5
"""Seconds between two looks at the deadlines while clients wait."""
CLOSE_SECONDS = 1.0
"""For a client to read an answer to its end and close, before we do."""
STOP_LINGER = 0.5
"""For requests that are on their way on idle connections when the server stops, and for more of an answer to be
taken then."""
RESERVED_SHARE = 1 / 8
LIST_SHARE = 1 / 16
"""Shares of the threads: for reads that tell how the daemon is, and for long lists."""
UNSENT_BUDGET = 64 * 1024 * 1024
"""Bytes of answers, of all clients together, that may wait to be taken."""
BURST = 64
"""Connections accepted, and kilobytes drained, in one go."""
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


class Clients(ThreadWorker):  # type: ignore[misc]
    """What the loop does for its clients. `waiting` holds those it waits for, longest first.

    `tpool` answers; `reserve` are the threads kept for reads that tell how the daemon is, and `lists` those that
    alone make long lists: more of them at once would not be quicker, but need more memory and slow down all others.
    """

    tpool: Pool
    reserve: Pool
    lists: Pool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[Connection, None] = {}
        self._accept_again = self._warn_again = 0.0
        self._make_parser = parser_for(self.cfg, lambda: not self.alive)

    def get_thread_pool(self) -> Pool:
        """The threads, and beside them those for some requests only; together as many as the settings say."""
        self.reserve = Pool("http-reserve", max(1, int(self.cfg.threads * RESERVED_SHARE)))
        self.lists = Pool("http-lists", max(1, int(self.cfg.threads * LIST_SHARE)))
        return Pool("http", self.cfg.threads - self.reserve.size - self.lists.size)

    @property
    def busy(self) -> int:
        """Requests that threads answer, or that wait for one."""
        return sum(pool.busy for pool in (self.tpool, self.reserve, self.lists))

    def accept(self, listener: Any) -> None:
        """Take what connects, and make room by closing who has waited longest if there is none."""
        try:
            for _ in range(BURST):
                sock, client = listener.accept()
                own = TimedSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
                conn = Connection(own, client, listener.getsockname(), self._make_parser)
                self.watch(conn)
                self.nr_conns += 1
                self.on_readable(conn)
                if self.nr_conns > self.worker_connections:
                    self.close_longest_waiting()
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
        if not self.close_longest_waiting():
            self.set_accept_enabled(False)
            self._accept_again = now + SWEEP

    def watch(self, conn: Connection) -> None:
        """Let the loop wait for what the client sends, or until it takes more of an answer of which a rest is left."""
        conn.sock.setblocking(False)
        if conn.sock.unsent:
            self.poller.register(conn.sock, selectors.EVENT_WRITE, partial(self.on_writable, conn))
        else:
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_readable, conn))
        self.waiting[conn] = None

    def unwatch(self, conn: Connection) -> None:
        """The loop no longer waits for this client."""
        del self.waiting[conn]
        self.poller.unregister(conn.sock)

    def on_readable(self, conn: Connection, _: object = None) -> None:
        """Take what arrived; hand a whole request to a thread."""
        if conn.closed:
            # By another event of the same turn.
            return
        try:
            data = conn.sock.recv_available(16 * 1024)
            if not data:
                self.drop(conn)
            elif conn.closing:
                conn.drained += len(data)
                if conn.drained > BURST * 1024:
                    self.drop(conn)
            else:
                self.feed(conn, data)
        except BlockingIOError:
            return
        except OSError:
            self.drop(conn)

    def feed(self, conn: Connection, data: bytes) -> None:
        """Add `data` to the connection's request, and begin it if it is whole."""
        begins = conn.idle
        try:
            whole = conn.add(data)
        except TooLong as error:
            self.refuse(conn, error.status)
            return
        if begins and not conn.idle:
            conn.deadline = time.monotonic() + (READ_SECONDS if self.alive else STOP_LINGER)
        if whole:
            self.unwatch(conn)
            self.begin(conn)

    def begin(self, conn: Connection) -> None:
        """Have a thread answer; the loop itself if every thread is busy and the request is for the liveness route."""
        pool = self.lists if conn.is_list_request else self.tpool
        if pool.full and conn.is_status_request:
            pool = self.reserve
            if pool.full and conn.is_liveness_request:
                # In a later turn of the loop: another request may have come with this one, and so on.
                self.method_queue.defer(self.settle, conn, self.handle(conn))
                return
        pool.submit(partial(self._answer, conn, pool))

    def _answer(self, conn: Connection, pool: Pool) -> None:
        """In a thread: answer the request, and give the connection back to the loop."""
        keep = False
        try:
            keep = self.handle(conn)
        finally:
            self.method_queue.defer(self.finish_request, conn, pool, keep)

    def finish_request(self, conn: Connection, pool: Pool, keep: bool) -> None:
        """A thread is done with a request."""
        pool.done()
        self.settle(conn, keep)

    def settle(self, conn: Connection, keep: bool) -> None:
        """The answer is known: send what is left of it before anything else."""
        conn.keep = keep
        if conn.sock.fileno() < 0:
            # An answer that broke off: its thread has closed the connection.
            self.drop(conn)
        elif conn.sock.unsent:
            conn.begin_sending(self._stall_timeout(conn))
            self.watch(conn)
            self.enforce_unsent_budget(conn)
        else:
            self.finish(conn)

    def on_writable(self, conn: Connection, _: object = None) -> None:
        """Send more of an answer."""
        if conn.closed:
            return
        try:
            conn.sock.send_rest()
        except OSError:
            self.drop(conn)
            return
        if not conn.sock.unsent:
            self.unwatch(conn)
            self.finish(conn)
        else:
            self._note_progress(conn)

    def _note_progress(self, conn: Connection) -> None:
        """Whoever takes something of its answer has not waited for long. It takes it from the system's buffer first,
        which may be large: `on_writable` is called only when a good part of that is free.
        """
        if conn.made_progress(self._stall_timeout(conn)):
            self.waiting[conn] = self.waiting.pop(conn)

    def _stall_timeout(self, conn: Connection) -> float:
        """Seconds within which a client must take some of its answer."""
        return conn.sock.write_seconds if self.alive else STOP_LINGER

    def finish(self, conn: Connection) -> None:
        """Wait for the client's next request, or for it to close."""
        self.watch(conn)
        if not conn.keep:
            self.close_gently(conn)
            return
        conn.deadline = time.monotonic() + (self.cfg.keepalive if self.alive else STOP_LINGER)
        ahead = conn.take_buffered()
        if ahead:
            self.feed(conn, ahead)

    def refuse(self, conn: Connection, status: int) -> None:
        """Answer by ourselves, and close."""
        try:
            conn.sock.send(refusal(status))
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
        """Forget a connection."""
        if conn.closed:
            return
        conn.closed = True
        if conn in self.waiting:
            self.unwatch(conn)
        self.nr_conns -= 1
        conn.sock.close()

    def abandon(self, conn: Connection) -> None:
        """Forget a connection whose client does not take its answer."""
        log.debug("A client did not take its answer")
        conn.sock.reset_on_close()
        self.drop(conn)

    def close_longest_waiting(self) -> bool:
        """Close the connection that has waited longest; False if none waits."""
        for conn in self.waiting:
            self.drop(conn)
            return True
        return False

    def enforce_unsent_budget(self, newest: Connection) -> None:
        """Keep the unsent bytes of all within their budget: whoever has taken none for the longest is given up.

        Those that never took any come first: their number must not push out a client that reads slowly.
        """
        for conn in [conn for conn in self.waiting if conn.sock.unsent]:
            self._note_progress(conn)
        sending = [conn for conn in self.waiting if conn.sock.unsent and conn is not newest]
        excess = newest.sock.unsent + sum(conn.sock.unsent for conn in sending) - UNSENT_BUDGET
        for conn in sorted(sending, key=lambda conn: conn.took_more):
            if excess <= 0:
                return
            excess -= conn.sock.unsent
            self.abandon(conn)

    def sweep(self) -> None:
        """Close whoever's time is up; who has begun to ask is told."""
        now = time.monotonic()
        for conn in [conn for conn in self.waiting if conn.deadline <= now]:
            if conn.sock.unsent:
                self._note_progress(conn)
                if conn.deadline <= now:
                    self.abandon(conn)
            elif conn.idle or conn.closing:
                self.drop(conn)
            else:
                self.refuse(conn, 408)
