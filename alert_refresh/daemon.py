"""The program on one page: settings -> sources -> workers -> web."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alert_refresh import __version__, durations, rules, targets, views
from alert_refresh.config import Config, read_server
from alert_refresh.engine import Clock, ConfigErrors, Deadline, ShutdownTimeout, SystemClock, Trigger, Worker
from alert_refresh.env import Env
from alert_refresh.kind import load
from alert_refresh.observe import notify
from alert_refresh.observe.feed import Feed
from alert_refresh.observe.outcomes import log_outcome, log_publication
from alert_refresh.observe.refreshes import Refreshes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from alert_refresh.keep.keeper import Keeper
    from alert_refresh.kind import Kind

log = logging.getLogger(__name__)


KINDS: tuple[Kind, ...] = (targets.KIND, rules.KIND, views.KIND)
PREFIXES = ("ALERT_REFRESH_", "ALERTMANAGER_REFRESH_")
"""An unknown variable that begins with one of these, or with that of a kind, stops the start."""

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
    prefixes = (*PREFIXES, *(kind.prefix for kind in KINDS))
    env.finish(prefixes)
    return replace(config, warnings=tuple(env.warnings))


def read_kind(kind: Kind, names: Collection[str]) -> Any:
    """The settings of one kind for a command that needs these variables of the process's environment and no other.

    Raises:
        ConfigErrors: every fault of these variables.
    """
    env = Env(os.environ)
    settings = kind.read(env)
    if faults := [one for one in env.faults if one.field in names]:
        raise ConfigErrors(faults)
    return settings


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
        self.gauges: dict[str, Callable[[], float]] = {"http_streams": lambda: self.feed.followers}
        self.notifier = notify.build(config, self.clock)
        notified = () if self.notifier is None else (self.notifier,)
        self.feed = Feed(self.clock, config.max_streams)
        self.refreshes = Refreshes()
        self._stop_by: Deadline | None = None
        self.keeper = self._make_keeper()
        for kind in KINDS:
            settings = config.kinds[kind.name]
            source = kind.build(settings, self.clock)
            if source is None:
                self.off[kind.name] = kind.enable_hint
            else:
                listeners = (log_outcome, *kind.listeners, *notified)
                worker = Worker(kind, source, settings.refresh, clock=self.clock, listeners=listeners)
                worker.listen_publish(log_publication)
                if self.notifier is not None:
                    worker.listen_publish(self.notifier.hold)
                self.workers[kind.name] = worker

    def _make_keeper(self) -> Keeper | None:
        keep = self.config.keep
        if keep.folder is None:
            return None
        from alert_refresh.keep.keeper import Keeper

        return Keeper(keep.folder, keep.key, keep.max_age, self.clock)

    def start(self) -> None:
        """Restore what was kept, start every worker, and log the settings."""
        log.info("alert-refresh %s starts", __version__, extra={"settings": dict(self.config.effective)})
        for warning in self.config.warnings:
            log.warning("%s", warning)
        for kind, enable_hint in self.off.items():
            log.info("%s are off; to switch them on, %s", kind.capitalize(), enable_hint, extra={"kind": kind})
        if not self.workers:
            log.warning("Nothing is configured, and nothing is kept up to date", extra={"off": self.off})
        self.halted.clear()
        self._stop_by = None
        if self.keeper is not None:
            kept = [kind for kind in KINDS if kind.keep and kind.name in self.workers]
            self.keeper.start(self.workers, {kind.name: load(kind.keep) for kind in kept})
        outcomes = () if self.keeper is None else self.keeper.restored
        named = {kind.name: kind.plan or kind.fields for kind in KINDS if kind.name in self.workers}
        compared = {kind: load(name) for kind, name in named.items() if name}
        self.refreshes.start(self.workers, compared, outcomes)
        self.feed.start(self.workers)
        if self.notifier is not None:
            for kind, worker in self.workers.items():
                self.notifier.restored(kind, worker.get_status().hold)
            self.notifier.start()
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
        self.feed.halt()

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
        self.feed.stop()
        if self.keeper is not None:
            self.keeper.stop()
        if self.notifier is not None:
            self.notifier.stop()
        if abandoned:
            log.warning("Stopped; a running refresh was abandoned", extra={"abandoned": abandoned})
        else:
            log.info("shutdown_clean")
        return not abandoned

    def stuck(self) -> list[str]:
        """The names of hung threads."""
        return [name for worker in self.workers.values() if (name := worker.health())]
