"""gunicorn's threaded worker, with a deadline on everything a client does.

Connections wait in the server's loop, not in threads, until a whole request has arrived; a thread then only
computes and writes. What does not arrive in time is answered 408 and closed. When every thread is busy, the
loop answers the liveness route by itself. Nothing in the loop ever waits for a client.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import selectors
import signal
import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import ThreadWorker

from alert_refresh.observe.formats import where
from alert_refresh.web.connection import READ_SECONDS, Connection, TimedSocket, TooLong
from alert_refresh.web.refusals import refusal, status_for
from alert_refresh.web.requests import parser_for

if TYPE_CHECKING:
    from concurrent.futures import Future

TICK = 2.0
"""Seconds between two turns of an idle loop."""
SWEEP = 0.5
"""Seconds between two looks at the deadlines while connections wait."""
CLOSE_SECONDS = 1.0
"""For a client to read an answer to its end and close, before we do."""
STOP_LINGER = 0.3
"""For requests that are on their way on idle connections when the server stops."""
STOP_MARGIN = 0.5
"""For answers to be written once the engine's time to stop is over."""
BURST = 64
"""Connections accepted, and kilobytes drained, in one go."""
FILES_KEPT = 128
"""File descriptors left to the rest of the program."""
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


class DeadlineWorker(ThreadWorker):  # type: ignore[misc]
    """The one worker, in the one process. `app` (a `server.Server`) is told when it serves, beats, and halts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[Connection, None] = {}
        self.busy = 0
        self.quick = False
        self._accept_again = self._warn_again = 0.0
        self._make_parser = parser_for(self.cfg, lambda: not self.alive)

    def init_process(self) -> None:
        """Allow as many connections as files can be open."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self.cfg.worker_connections + FILES_KEPT
        if soft < wanted:
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.worker_connections = max(16, min(self.cfg.worker_connections, soft - FILES_KEPT))
        super().init_process()

    def init_signals(self) -> None:
        """SIGTERM and SIGINT stop; what makes gunicorn reload, or run a second worker, is refused."""
        super().init_signals()
        for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2):
            signal.signal(number, self.handle_refused)
            signal.siginterrupt(number, False)
        signal.signal(signal.SIGINT, self.handle_exit)
        signal.siginterrupt(signal.SIGINT, False)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop; a second SIGINT, from someone who waits at a terminal, does not wait."""
        self.quick |= sig == signal.SIGINT and not self.alive
        super().handle_exit(sig, frame)

    def handle_refused(self, sig: int, frame: Any) -> None:
        """Say so, from the loop: a signal may come while this very thread writes a log line."""
        name = signal.Signals(sig).name
        self.method_queue.defer(log.warning, "%s is ignored: settings are read once, and one process serves", name)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop without waiting for requests or a running refresh."""
        self.quick = True
        super().handle_exit(sig, frame)

    def notify(self) -> None:
        """Nothing: no master watches."""

    def run(self) -> None:
        """The loop. Signals only end a turn of it early, so everything happens here, in order."""
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        # Python writes here when a signal comes, also just before the loop goes to sleep.
        self.poller.register(self.PIPE[0], selectors.EVENT_READ, lambda pipe: os.read(pipe, 64))
        self.set_accept_enabled(True)
        self.app.serving()
        while self.alive:
            tick = self.app.beat(TICK)
            if not self._accepting and time.monotonic() >= self._accept_again:
                self.set_accept_enabled(True)
            self.wait_for_and_dispatch_events(min(tick, SWEEP) if self.waiting or not self._accepting else tick)
            self.sweep()
        self._wind_down(self.app.halt())

    def _wind_down(self, seconds: float) -> None:
        """Answer what was asked, for at most `seconds` and a margin; then close everything."""
        if self._accepting:
            for listener in self.sockets:
                self.accept(listener)
            self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        now = time.monotonic()
        for conn in self.waiting:
            conn.deadline = min(conn.deadline, now + STOP_LINGER)
        while self.nr_conns > 0 and not self.quick and time.monotonic() < now + seconds + STOP_MARGIN:
            self.wait_for_and_dispatch_events(STOP_LINGER / 6)
            self.sweep()
        for conn in list(self.waiting):
            self.drop(conn)
        self.tpool.shutdown(wait=False, cancel_futures=True)

    # Connections: accepted, waiting, in a thread, closing

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

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
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

    # In a thread

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Answer one request; returns whether the connection can carry another."""
        try:
            return bool(super().handle_request(req, conn))
        except (ConnectionError, TimeoutError) as error:
            log.debug("A client went away: %s", type(error).__name__)
            conn.reset_on_close()
            return False
        except (OSError, SystemExit) as error:
            self.handle_error(req, conn.sock, conn.client, error)
            return False

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Whether the next request's start is known; what is left of a body is here already, if the answer said so."""
        assert conn.parser is not None
        return bool(keepalive and conn.parser.finish_body(deadline=time.monotonic() + STOP_LINGER))

    def handle_error(self, req: Any, client: TimedSocket, addr: Any, exc: BaseException) -> None:
        """Say what went wrong, to the log and to the client, and to neither more than they may know."""
        status = status_for(exc)
        ip = addr[0] if isinstance(addr, tuple) else None
        if status >= 500:
            stack = where(type(exc), exc.__traceback__)
            log.error("A request failed with %s", type(exc).__name__, extra={"ip": ip, "stack": stack})
        else:
            log.info("A request was refused: %s", type(exc).__name__, extra={"ip": ip, "status": status})
        try:
            client.sendall(refusal(status))
        except OSError:
            return
