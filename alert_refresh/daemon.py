"""The program on one page: settings -> sources -> workers -> web."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Protocol

from alert_refresh import targets
from alert_refresh.config import Config, Env, read_server
from alert_refresh.engine import Clock, Deadline, ShutdownTimeout, SystemClock, Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.engine import Kind, Source

log = logging.getLogger(__name__)


class KindModule(Protocol):
    """What the folder of a kind exports."""

    KIND: Kind
    OFF: str
    """How to switch the kind on, for a user whose settings leave it off."""

    def read(self, env: Env) -> Any:
        """The kind's own frozen settings, with a `refresh: RefreshSettings` among them."""

    def build(self, settings: Any, clock: Clock) -> Source[Any] | None:
        """The source those settings name, or None when the kind is off."""


KINDS: tuple[KindModule, ...] = (targets,)


def read_config(environ: Mapping[str, str] | None = None) -> Config:
    """Read all settings, by default from the process's environment.

    Raises:
        ConfigErrors: every fault, each with name, value and reason.
    """
    env = Env(os.environ if environ is None else environ)
    config = read_server(env, {module.KIND.name: module.read(env) for module in KINDS})
    env.finish()
    return config


class Daemon:
    """All workers together. `workers` maps a kind's name to its worker; `off` maps a kind that is off to its cure."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.workers: dict[str, Worker[Any]] = {}
        self.off: dict[str, str] = {}
        for module in KINDS:
            settings = config.kinds[module.KIND.name]
            source = module.build(settings, self.clock)
            if source is None:
                self.off[module.KIND.name] = module.OFF
            else:
                self.workers[module.KIND.name] = Worker(module.KIND, source, settings.refresh, clock=self.clock)

    def start(self) -> None:
        """Start every worker."""
        for worker in self.workers.values():
            worker.start()

    def stop(self) -> bool:
        """Stop every worker under one total timeout; False if a running attempt had to be given up."""
        deadline = Deadline(self.clock, self.config.shutdown_timeout)
        clean = True
        for worker in self.workers.values():
            worker.halt()
        for worker in self.workers.values():
            try:
                worker.stop(max(0.0, deadline.remaining()))
            except ShutdownTimeout:
                clean = False
        return clean

    def stuck(self) -> list[str]:
        """The names of threads that make no progress."""
        return [name for worker in self.workers.values() if (name := worker.health())]
