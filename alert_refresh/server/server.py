"""gunicorn's worker in a single process.

The daemon's state lives in the process that serves it, so there can be only one. gunicorn's master process, which
restarts workers and runs several, is not used: systemd or the kubelet restarts the program. That also halves the
memory, and the exit status is that of the worker.
"""

from __future__ import annotations

import codecs
import ctypes
import errno
import faulthandler
import gc
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.sock import create_sockets

from alert_refresh import address
from alert_refresh.engine.threads import completed
from alert_refresh.observe import logs
from alert_refresh.server.process import STDERR
from alert_refresh.server.systemd import ALIVE, READY, STOPPING, Systemd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alert_refresh.config import Config
    from alert_refresh.daemon import Daemon
    from alert_refresh.server.worker import DeadlineWorker

GRACE = 2.0
"""Seconds past the shutdown timeout after which the process exits even if a thread hangs."""
KEEPALIVE = 30
CONNECTIONS = 4096
BACKLOG = 1024
SOCKET_UMASK = 0o117
"""A Unix socket is accessible to its owner and group."""
SWITCH_INTERVAL = 0.0001
"""Seconds a thread may hold the interpreter lock, so that responses stay fast while a refresh parses. The p99 of GET
status during refreshes of 10,000 changed Secrets is 15 to 19 ms; with 0.5 ms it was 23 to 27 ms, with Python's default
of 5 ms 50 ms."""
COLLECTIONS = 1000
"""Collections of the younger generations before a full one. A full one visits every target and with 10,000 of them
blocks all threads for 20 to 50 ms; reference counting alone frees what a refresh replaces."""
STATUS_SECONDS = 1.0
"""Seconds between two looks at what systemd is told."""
FLUSH_SECONDS = 1.0
QUICK_SECONDS = 0.3
"""Seconds for threads to end when the stop does not wait for a running refresh."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - no temporary file of ours
SERVER_NAME = "alert-refresh"
ONE_PROCESS = ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS")

log = logging.getLogger(__name__)


class ServerLog:
    """The logger that gunicorn expects: from WARNING on, through this program's formatter, without access lines."""

    def __init__(self, cfg: Any) -> None:
        gunicorn = logging.getLogger("gunicorn.error")
        gunicorn.setLevel(logging.WARNING)
        for name in ("critical", "error", "warning", "info", "debug", "exception", "log"):
            setattr(self, name, getattr(gunicorn, name))

    def access(self, *_: object) -> None:
        """Do nothing: the application logs requests."""

    def reopen_files(self) -> None:
        """Do nothing: there is no log file."""

    def close_on_exec(self) -> None:
        """Do nothing: there is no log file."""


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """The application object that gunicorn's worker expects, and the callbacks of its loop.

    `variables` are the environment variables that gunicorn and systemd's protocol use.
    """

    def __init__(self, config: Config, variables: Mapping[str, str], stdout: logs.Stdout) -> None:
        self.config = config
        self.systemd = Systemd(variables)
        self.daemon: Daemon | None = None
        self.worker: DeadlineWorker | None = None
        self._stdout = stdout
        self._watchdog_due = self._status_due = 0.0
        self._summary: Callable[[], str] = str
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's settings, from this program's settings only."""
        settings = {
            "bind": [self.config.bind],
            "workers": 1,
            "threads": self.config.threads,
            "worker_connections": CONNECTIONS,
            "worker_tmp_dir": str(SHARED_MEMORY) if os.access(SHARED_MEMORY, os.W_OK) else None,
            "backlog": BACKLOG,
            "keepalive": KEEPALIVE,
            "max_requests": 0,
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "secure_scheme_headers": {},
            "header_map": "refuse",
            "umask": SOCKET_UMASK,
            "pre_request": lambda _worker, _request: None,
            "post_worker_init": lambda _worker: self._start(),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Build the daemon and the application; expensive imports happen here, after the settings were validated."""
        from alert_refresh.daemon import Daemon
        from alert_refresh.web.app import create_app
        from alert_refresh.web.summary import Summary

        worker = self.worker
        assert worker is not None
        self.daemon = Daemon(self.config)
        self._summary = Summary(self.daemon)
        self.daemon.gauges.update(
            log_lines_dropped_total=lambda: self._stdout.dropped,
            http_threads_busy=lambda: worker.busy,
            http_connections=lambda: worker.nr_conns,
        )
        # The first request would load this codec, which fails if no file descriptor is left.
        codecs.lookup("idna")
        return create_app(self.daemon)

    def run(self) -> None:
        """Serve until a signal stops the worker, then stop everything."""
        from alert_refresh.server.worker import DeadlineWorker

        server_log = ServerLog(self.cfg)
        sockets = self._listen(server_log)
        self.worker = worker = DeadlineWorker(1, os.getppid(), sockets, self, 0, self.cfg, server_log)
        worker.pid = os.getpid()
        try:
            worker.init_process()
        finally:
            if self.daemon is not None:
                # A worker that is still alive was not stopped: its loop has failed.
                self.daemon.stop(QUICK_SECONDS if worker.quick or worker.alive else None)
            if self.config.unix:
                Path(self.config.host).unlink(missing_ok=True)

    def _listen(self, server_log: ServerLog) -> list[Any]:
        """The listening sockets. gunicorn retries for five seconds if the address is in use, in case the previous
        process is still exiting.

        Raises:
            SystemExit: the address cannot be bound; the log names it and the cause.
        """
        error = address.error_of(address.Address(self.config.host, self.config.port))
        if error is not None:
            cause = address.reason(error)
            log.error("Cannot listen on ALERT_REFRESH_BIND=%s: %s", self.config.bind, cause, extra={"error": cause})
            if error.errno != errno.EADDRINUSE or self.config.unix:
                sys.exit(1)
        gunicorn = logging.getLogger("gunicorn.error")
        level = gunicorn.level
        gunicorn.setLevel(logging.CRITICAL)
        try:
            sockets: list[Any] = create_sockets(self.cfg, server_log)
        except SystemExit:
            log.error("The address is still in use: ALERT_REFRESH_BIND=%s", self.config.bind)
            raise
        finally:
            gunicorn.setLevel(level)
        return sockets

    def _start(self) -> None:
        """Start the daemon, once everything is loaded."""
        from gunicorn.http import wsgi

        assert self.daemon is not None and self.worker is not None
        wsgi.SERVER = SERVER_NAME
        sys.setswitchinterval(SWITCH_INTERVAL)
        self.worker.install_signal_handlers()
        self.daemon.start()
        _freeze_loaded()

    # Called by the worker's loop

    def serving(self) -> None:
        """Report that connections are accepted."""
        assert self.worker is not None
        log.info("Serving", extra={"address": [_address(listener) for listener in self.worker.sockets]})
        self.systemd.send(READY)

    def feed_watchdog(self, tick: float) -> float:
        """Notify systemd's watchdog while every thread makes progress; returns the seconds until the next call."""
        watchdog = self.systemd.watchdog
        if watchdog is None or self.daemon is None:
            return tick
        now = time.monotonic()
        if now >= self._watchdog_due:
            self._watchdog_due = now + watchdog / 3
            stuck = self.daemon.stuck()
            if stuck:
                log.error("Threads make no progress", extra={"stuck": stuck})
            else:
                self.systemd.send(ALIVE)
        return min(tick, watchdog / 3)

    def tell_status(self) -> None:
        """Tell systemd, in one sentence, how everything is, when that has changed; looks at most once a second."""
        now = time.monotonic()
        if self.systemd.listens and now >= self._status_due:
            self._status_due = now + STATUS_SECONDS
            self.systemd.tell(self._summary())

    def refresh(self) -> None:
        """SIGHUP was received: request a refresh of every kind. That is all a reload is; `tell_status` tells more."""
        assert self.daemon is not None
        self.systemd.reloading()
        log.info("SIGHUP: every kind is refreshed", extra={"kinds": list(self.daemon.workers)})
        self.daemon.refresh()
        self.systemd.send(READY)

    def halt(self) -> float:
        """The loop ends: end every wait; returns the seconds that a running refresh may still take."""
        assert self.daemon is not None
        self.systemd.send(STOPPING)
        self.daemon.halt()
        faulthandler.dump_traceback_later(self.config.shutdown_timeout + GRACE, exit=True, file=STDERR)
        return self.config.shutdown_timeout

    def refreshing(self) -> bool:
        """Whether a refresh is running."""
        assert self.daemon is not None
        return any(worker.get_status().in_progress for worker in self.daemon.workers.values())


def serve(config: Config, variables: Mapping[str, str]) -> None:
    """Run until a signal stops the server.

    Raises:
        SystemExit: with 1, after an error was logged, if it could not start or the server failed.
    """
    stdout = logs.Stdout()
    logs.configure(config, stdout)
    stdout.start()
    for name in ONE_PROCESS:
        if variables.get(name, "") not in ("", "1"):
            log.warning("%s is ignored: there is always exactly one process", name)
    try:
        if not completed(Server(config, variables, stdout).run):
            log.critical("The server failed; the process ends with exit status 1")
            sys.exit(1)
    finally:
        stdout.stop(FLUSH_SECONDS)
        faulthandler.cancel_dump_traceback_later()


def _freeze_loaded() -> None:
    """Exempt what is loaded from garbage collection, and return about 5 MB of freed memory to the system."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], COLLECTIONS)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _address(listener: Any) -> str:
    bound = listener.getsockname()
    if isinstance(bound, str):
        return f"unix:{bound}"
    return f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"
