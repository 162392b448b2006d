"""The connections of gunicorn's threaded worker: accepted, waiting, in a thread, closing.

A connection waits in the event loop, not in a thread, until a whole request has arrived; a thread then computes the
response. The loop sends the part of a response that the socket does not accept immediately. A request that does not
arrive in time is answered 408 and its connection closed. Some threads are reserved for status requests, and when
those are busy too, the loop answers the liveness route itself. The loop never blocks on a client and never recurses
because of what a client sends.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import ThreadWorker

from alert_refresh.config import shares
from alert_refresh.engine.threads import Pool
from alert_refresh.server.connection import READ_SECONDS, Connection, TimedSocket, TooLong
from alert_refresh.server.parser import parser_for
from alert_refresh.server.refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

SWEEP = 0.5
"""Seconds between two checks of the deadlines while clients wait."""
CLOSE_SECONDS = 1.0
"""Seconds for a client to read a response and close, before the server does."""
STOP_LINGER = 0.5
"""Seconds, while the server stops, for a request to arrive on an idle connection and for a client to read on."""
UNSENT_BUDGET = 64 * 1024 * 1024
"""Unsent bytes of responses, for all clients together."""
BURST = 64
"""Connections accepted in one turn, and kilobytes read and discarded from a closing one."""
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


class Clients(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """The event loop's side of each connection. `waiting` holds the connections in the poller, longest wait first,
    `held` the sockets in the poller of requests that wait for a change in a thread.

    `tpool` answers requests; `reserve` is for status requests when `tpool` is full; only `lists` answers long lists:
    more of them in parallel would not be faster, but use more memory and slow down all other requests.
    """

    tpool: Pool
    reserve: Pool
    lists: Pool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[Connection, None] = {}
        self.held: set[TimedSocket] = set()
        self._accept_again = self._warn_again = 0.0
        self._make_parser = parser_for(self.cfg, lambda: not self.alive)

    def get_thread_pool(self) -> Pool:
        """The general pool; also creates `reserve` and `lists`. Together they have the configured number of threads."""
        general, reserved, lists = shares(self.cfg.threads)
        self.reserve = Pool("http-reserve", reserved)
        self.lists = Pool("http-lists", lists)
        return Pool("http", general)

    @property
    def busy(self) -> int:
        """Requests that are in a thread or queued for one."""
        return sum(pool.busy for pool in (self.tpool, self.reserve, self.lists))

    def accept(self, listener: Any) -> None:
        """Accept pending connections; above the connection limit close the one that has waited longest."""
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
        """Free a file descriptor by closing a waiting connection; without one stop accepting for a while."""
        now = time.monotonic()
        if now >= self._warn_again:
            self._warn_again = now + SWEEP
            log.warning("No file descriptor is left for a new connection")
        if not self.close_longest_waiting():
            self.set_accept_enabled(False)
            self._accept_again = now + SWEEP

    def watch(self, conn: Connection) -> None:
        """Register the connection for reading, or for writing if a part of a response is unsent."""
        conn.sock.setblocking(False)
        if conn.sock.unsent:
            self.poller.register(conn.sock, selectors.EVENT_WRITE, partial(self.on_writable, conn))
        else:
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_readable, conn))
        self.waiting[conn] = None

    def unwatch(self, conn: Connection) -> None:
        """Remove the connection from the poller."""
        del self.waiting[conn]
        self.poller.unregister(conn.sock)

    def on_readable(self, conn: Connection, _: object = None) -> None:
        """Read what arrived; submit a complete request to a thread."""
        if conn.closed:
            # By another event of the same turn of the loop.
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
        """Add `data` to the connection's request, and begin the request if it is complete."""
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
        """Submit the request to a thread; with every thread busy, answer the liveness route in the loop."""
        pool = self.lists if conn.is_list_request else self.tpool
        if pool.full and conn.is_status_request:
            pool = self.reserve
            if pool.full and conn.is_liveness_request:
                # Deferred, since a pipelined request would otherwise recurse.
                self.method_queue.defer(self.settle, conn, self.handle(conn))
                return
        pool.submit(partial(self._answer, conn, pool))

    def _answer(self, conn: Connection, pool: Pool) -> None:
        """In a thread: answer the request, then return the connection to the loop."""
        keep = False
        try:
            keep = self.handle(conn)
        finally:
            self.method_queue.defer(self.finish_request, conn, pool, keep)

    def finish_request(self, conn: Connection, pool: Pool, keep: bool) -> None:
        """A thread has finished a request."""
        pool.done()
        self.release(conn.sock)
        conn.sock.streaming = False
        self.settle(conn, keep)

    def when_gone(self, sock: TimedSocket, callback: Callable[[], None], *, streams: bool) -> None:
        """In a thread whose request may wait for long: call `callback` in the loop when the client disconnects.

        Until the end of the request; not if the client sends a further request meanwhile.
        """
        sock.streaming = streams
        self.method_queue.defer(self.hold, sock, callback)

    def hold(self, sock: TimedSocket, callback: Callable[[], None]) -> None:
        """Watch for the end of a client while a thread answers it."""
        if sock.fileno() < 0:
            callback()
            return
        self.poller.register(sock, selectors.EVENT_READ, partial(self.on_held_readable, sock, callback))
        self.held.add(sock)

    def on_held_readable(self, sock: TimedSocket, callback: Callable[[], None], _: object = None) -> None:
        """The client disconnected, or sent a further request, which waits in the kernel."""
        ended = sock.at_end()
        if ended is not None:
            self.release(sock)
        if ended:
            callback()

    def cut_streams(self) -> None:
        """End streams whose clients do not read: their threads wait until they do."""
        for sock in self.held:
            if sock.streaming:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def release(self, sock: TimedSocket) -> None:
        """Watch for its end no longer."""
        if sock in self.held:
            self.held.remove(sock)
            self.poller.unregister(sock)

    def settle(self, conn: Connection, keep: bool) -> None:
        """The response is computed: send the unsent part before anything else."""
        conn.keep = keep
        if conn.sock.fileno() < 0:
            # The response failed midway and its thread closed the connection.
            self.drop(conn)
        elif conn.sock.unsent:
            conn.begin_sending(self._stall_timeout(conn))
            self.watch(conn)
            self.enforce_unsent_budget(conn)
        else:
            self.finish(conn)

    def on_writable(self, conn: Connection, _: object = None) -> None:
        """Send more of a response."""
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
        """Move a client that has read more of its response to the end of `waiting`.

        Progress is measured in the kernel's send buffer, which may be large: `on_writable` is called only once a good
        part of it is free.
        """
        if conn.made_progress(self._stall_timeout(conn)):
            self.waiting[conn] = self.waiting.pop(conn)

    def _stall_timeout(self, conn: Connection) -> float:
        """Seconds within which a client must read some of its response."""
        return conn.sock.write_seconds if self.alive else STOP_LINGER

    def finish(self, conn: Connection) -> None:
        """Wait for the client's next request, or close the connection."""
        self.watch(conn)
        if not conn.keep:
            self.close_gently(conn)
            return
        conn.deadline = time.monotonic() + (self.cfg.keepalive if self.alive else STOP_LINGER)
        ahead = conn.take_buffered()
        if ahead:
            self.feed(conn, ahead)

    def refuse(self, conn: Connection, status: int) -> None:
        """Send the server's own error response, and close."""
        try:
            conn.sock.send(refusal(status))
        except OSError:
            self.drop(conn)
            return
        self.close_gently(conn)

    def close_gently(self, conn: Connection) -> None:
        """Shut down writing and wait for the client to close: a reset would discard the response."""
        conn.closing = True
        conn.deadline = time.monotonic() + (CLOSE_SECONDS if self.alive else STOP_LINGER)
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(conn)

    def drop(self, conn: Connection) -> None:
        """Close a connection immediately."""
        if conn.closed:
            return
        conn.closed = True
        if conn in self.waiting:
            self.unwatch(conn)
        self.nr_conns -= 1
        conn.sock.close()

    def abandon(self, conn: Connection) -> None:
        """Reset a connection whose client does not read its response."""
        log.debug("A client did not read its response")
        conn.sock.reset_on_close()
        self.drop(conn)

    def close_longest_waiting(self) -> bool:
        """Close the connection that has waited longest; False if there is none."""
        for conn in self.waiting:
            self.drop(conn)
            return True
        return False

    def enforce_unsent_budget(self, newest: Connection) -> None:
        """Keep all unsent bytes within `UNSENT_BUDGET`: abandon the clients without progress for the longest time.

        Clients that have read nothing yet come first, so that many of them cannot evict one that reads slowly.
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
        """Close connections past their deadline, with 408 if a part of a request has arrived."""
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
