"""The program on one page: settings -> sources -> workers -> web."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from alert_refresh import __version__, durations, rules, targets, views
from alert_refresh.config import Config, Env, read_server
from alert_refresh.engine import Clock, Deadline, ShutdownTimeout, SystemClock, Trigger, Worker
from alert_refresh.observe.outcomes import log_outcome, log_publication

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alert_refresh.kind import Kind

log = logging.getLogger(__name__)


KINDS: tuple[Kind, ...] = (targets.KIND, rules.KIND, views.KIND)
PREFIX = "ALERT_REFRESH_"

SERVER_VARIABLES = (
    "FORWARDED_ALLOW_IPS",
    "GUNICORN_CMD_ARGS",
    "GUNICORN_FD",
    "GUNICORN_PID",
    "NOTIFY_SOCKET",
    "SCRIPT_NAME",
    "WATCHDOG_USEC",
    "WEB_CONCURRENCY",
)
"""Variables that gunicorn reads from the environment by itself; the server decides how to handle them."""


def read_config(environ: Mapping[str, str] | None = None) -> Config:
    """Read all settings, by default from the process's environment.

    Raises:
        ConfigErrors: every fault, each with name, value and reason.
    """
    env = Env(os.environ if environ is None else environ)
    config = read_server(env, {kind.name: kind.read(env) for kind in KINDS})
    env.finish((PREFIX, *(kind.prefix for kind in KINDS)))
    return config


def read_settings() -> dict[str, dict[str, tuple[str, str]]]:
    """The settings of the server and of each kind: name, default (empty if there is none), and description."""
    readers: dict[str, Callable[[Env], object]] = {"Server": lambda env: read_server(env, {})}
    readers |= {kind.name.capitalize(): kind.read for kind in KINDS}
    groups: dict[str, dict[str, tuple[str, str]]] = {}
    known: set[str] = set()
    for title, read in readers.items():
        env = Env({})
        read(env)
        groups[title] = {
            name: (default, env.meanings[name]) for name, default in env.defaults.items() if name not in known
        }
        known |= env.defaults.keys()
    return groups


def take_server_variables() -> dict[str, str]:
    """Remove the variables that gunicorn would act upon from the environment, and return them."""
    return {name: os.environ.pop(name) for name in SERVER_VARIABLES if name in os.environ}


class Daemon:
    """All workers together. `workers` maps the name of a kind to its worker, `off` the name of a kind that is off to
    the hint how to enable it.

    `halted` is set as soon as the daemon stops, to end waits in other threads. `gauges` holds the measurements of the
    server, by name: threads, connections, dropped log lines.
    """

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.workers: dict[str, Worker[Any]] = {}
        self.off: dict[str, str] = {}
        self.halted = threading.Event()
        self.gauges: dict[str, Callable[[], float]] = {}
        self._stop_by: Deadline | None = None
        for kind in KINDS:
            settings = config.kinds[kind.name]
            source = kind.build(settings, self.clock)
            if source is None:
                self.off[kind.name] = kind.enable_hint
            else:
                listeners = (log_outcome, *kind.listeners)
                worker = Worker(kind, source, settings.refresh, clock=self.clock, listeners=listeners)
                worker.listen_publish(log_publication)
                self.workers[kind.name] = worker

    def start(self) -> None:
        """Start every worker, and log the settings."""
        log.info("alert-refresh %s starts", __version__, extra={"settings": dict(self.config.effective)})
        for kind, enable_hint in self.off.items():
            log.info("%s are off; to switch them on, %s", kind.capitalize(), enable_hint, extra={"kind": kind})
        if not self.workers:
            log.warning("Nothing is configured, and nothing is kept up to date", extra={"off": self.off})
        self.halted.clear()
        self._stop_by = None
        for worker in self.workers.values():
            worker.start()

    def refresh(self) -> None:
        """Request a refresh of every kind, as a changed file does: never refused, and not counted by the rate limit."""
        for worker in self.workers.values():
            worker.notify(Trigger.FILE)

    def halt(self) -> None:
        """Begin to stop and return immediately: nothing new starts, every wait ends, the shutdown timeout runs."""
        if self._stop_by is not None:
            return
        timeout = self.config.shutdown_timeout
        self._stop_by = Deadline(self.clock, timeout)
        busy = [kind for kind, worker in self.workers.items() if worker.get_status().in_progress]
        log.info("Stopping", extra={"in_progress": busy, "timeout": durations.show(timeout)})
        for worker in self.workers.values():
            worker.halt()
        self.halted.set()

    def stop(self, timeout: float | None = None) -> bool:
        """Stop every worker within the shutdown timeout counted from `halt`, or within `timeout` seconds from now.

        False if a running attempt had to be abandoned.
        """
        self.halt()
        assert self._stop_by is not None
        deadline = self._stop_by if timeout is None else Deadline(self.clock, timeout)
        abandoned = []
        for kind, worker in self.workers.items():
            try:
                worker.stop(max(0.0, deadline.remaining()))
            except ShutdownTimeout:
                abandoned.append(kind)
        if abandoned:
            log.warning("Stopped; a running refresh was abandoned", extra={"abandoned": abandoned})
        else:
            log.info("shutdown_clean")
        return not abandoned

    def stuck(self) -> list[str]:
        """The names of hung threads."""
        return [name for worker in self.workers.values() if (name := worker.health())]
