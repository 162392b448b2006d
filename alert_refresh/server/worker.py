"""gunicorn's threaded worker with a deadline for everything a client does: signals, event loop, requests."""

from __future__ import annotations

import logging
import os
import resource
import selectors
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from alert_refresh.engine.stack import stack_of
from alert_refresh.server.clients import STOP_LINGER, SWEEP, Clients
from alert_refresh.server.refusals import refusal, status_for

if TYPE_CHECKING:
    from alert_refresh.server.connection import Connection, TimedSocket

WHEN_GONE = "alert_refresh.when_gone"
"""The key in the environment of a request: see `Clients.when_gone`."""
TICK = 2.0
"""Seconds between two turns of an idle loop."""
STOP_MARGIN = 0.5
"""Seconds for responses to be written after the engine's shutdown timeout."""
FILES_KEPT = 128
"""File descriptors reserved for the rest of the program."""

log = logging.getLogger(__name__)


class DeadlineWorker(Clients):
    """The only worker, in the only process. Calls `serving`, `feed_watchdog`, `tell_status`, `halt` and `refreshing` of
    `app`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.quick = False

    def init_process(self) -> None:
        """Raise the limit of open files and derive the connection limit from it."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self.cfg.worker_connections + FILES_KEPT
        if soft < wanted:
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.worker_connections = max(16, min(self.cfg.worker_connections, soft - FILES_KEPT))
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the app; each request's environment gets what tells that its client has disconnected."""
        super().load_wsgi()
        app: Any = self.wsgi

        def call(environ: dict[str, Any], start_response: Any) -> Any:
            environ[WHEN_GONE] = partial(self.when_gone, environ["gunicorn.socket"])
            return app(environ, start_response)

        self.wsgi: Any = call

    def init_signals(self) -> None:
        """Do nothing: until the daemon starts, `process.prepare` handles the signals."""

    def install_signal_handlers(self) -> None:
        """SIGTERM and SIGINT stop, SIGHUP refreshes; the signals with which gunicorn adds workers are refused.

        Handlers only set flags or defer to the loop, since a signal may interrupt this thread while it logs.
        """
        signal.set_wakeup_fd(self.PIPE[1], warn_on_full_buffer=False)
        handlers: dict[int, Any] = {
            signal.SIGTERM: self.handle_exit,
            signal.SIGINT: self.handle_exit,
            signal.SIGQUIT: self.handle_quit,
            signal.SIGHUP: lambda *_: self.method_queue.defer(self.app.refresh),
            # Log rotation sends it. Not SIG_IGN, which child processes would inherit.
            signal.SIGUSR1: lambda *_: None,
            **dict.fromkeys((signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2), self.handle_refused),
        }
        for number, handler in handlers.items():
            signal.signal(number, handler)
            signal.siginterrupt(number, False)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop; a second SIGINT stops without waiting."""
        self.quick |= sig == signal.SIGINT and not self.alive
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop without waiting for requests or a running refresh."""
        self.quick = True
        super().handle_exit(sig, frame)

    def handle_refused(self, sig: int, frame: Any) -> None:
        """Log that the signal is ignored."""
        name = signal.Signals(sig).name
        self.method_queue.defer(log.warning, "%s is ignored: settings are read once, and one process serves", name)

    def notify(self) -> None:
        """Do nothing: there is no master process to notify."""

    def run(self) -> None:
        """Run the event loop. A signal only ends a turn early, so that everything happens here, in order."""
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        # The interpreter writes here when a signal arrives, also just before the loop blocks.
        self.poller.register(self.PIPE[0], selectors.EVENT_READ, lambda pipe: os.read(pipe, 64))
        self.set_accept_enabled(True)
        self.app.serving()
        while self.alive:
            tick = self.app.feed_watchdog(TICK)
            self.app.tell_status()
            if not self._accepting and time.monotonic() >= self._accept_again:
                self.set_accept_enabled(True)
            self.wait_for_and_dispatch_events(min(tick, SWEEP) if self.waiting or not self._accepting else tick)
            self.sweep()
        self._drain(self.app.halt())

    def _drain(self, seconds: float) -> None:
        """Answer the requests received so far, for at most `seconds` and a margin; then close everything.

        A running refresh is waited for here too: the loop notices a signal that says to wait no longer.
        """
        if self._accepting:
            for listener in self.sockets:
                self.accept(listener)
            self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        now = time.monotonic()
        for conn in self.waiting:
            conn.deadline = min(conn.deadline, now + STOP_LINGER)
        while not self.quick and self._waits_for(now + seconds):
            self.wait_for_and_dispatch_events(STOP_LINGER / 6)
            self.sweep()
            if time.monotonic() >= now + STOP_LINGER:
                self.cut_streams()
        for conn in list(self.waiting):
            self.drop(conn)
        for pool in (self.tpool, self.reserve, self.lists):
            pool.stop()

    def _waits_for(self, until: float) -> bool:
        """Whether there is something that a stop waits for, until then and for responses a margin longer."""
        left = until - time.monotonic()
        return (left > 0 and self.app.refreshing()) or (left > -STOP_MARGIN and self.nr_conns > 0)

    # Called in a thread of a pool

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Answer one request; returns whether the connection can be reused."""
        try:
            return bool(super().handle_request(req, conn))
        except (ConnectionError, TimeoutError) as error:
            log.debug("A client disconnected: %s", type(error).__name__)
            conn.sock.reset_on_close()
            return False
        except (OSError, SystemExit) as error:
            self.handle_error(req, conn.sock, conn.client, error)
            return False

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Whether the connection can be reused: the rest of the body, already received, is read first."""
        assert conn.parser is not None
        return bool(keepalive and conn.parser.finish_body(deadline=time.monotonic() + STOP_LINGER))

    def handle_error(self, req: Any, client: TimedSocket, addr: Any, exc: BaseException) -> None:
        """Log the error, without its message, and send the status that it maps to."""
        status = status_for(exc)
        ip = addr[0] if isinstance(addr, tuple) else None
        if status >= 500:
            log.error("A request failed with %s", type(exc).__name__, extra={"ip": ip, "stack": stack_of(exc)})
        else:
            log.info("A request was refused: %s", type(exc).__name__, extra={"ip": ip, "status": status})
        try:
            client.sendall(refusal(status))
        except OSError:
            return
