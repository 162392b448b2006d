"""The kind's source in a world of its own: targets and rules as served, a file, and Alertmanagers; no thread."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from alert_refresh.alertmanager import Settings
from alert_refresh.alertmanager.delivered import Delivered, delivered
from alert_refresh.alertmanager.inputs import Mode
from alert_refresh.alertmanager.source import AlertmanagerSource
from alert_refresh.engine import (
    AttemptError,
    Deadline,
    Partial,
    RefreshSettings,
    Request,
    Snapshot,
    Status,
    SystemClock,
    Trigger,
)
from alert_refresh.files.write import write
from tests.alertmanager.amtool import amtool
from tests.alertmanager.examples import PLAIN
from tests.alertmanager.server import UNPACKED
from tests.process.program import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from alert_refresh.engine import Clock, Outcome, Publication
    from alert_refresh.rules.rule import Rule
    from alert_refresh.targets.target import Target


class Serving:
    """What stands for the worker of targets or of rules: it serves what it is told."""

    def __init__(self, *items: Any) -> None:
        self.status: Status[Any] = Status()
        self.listeners: list[Callable[[Outcome], None]] = []
        self.publish_listeners: list[Callable[[Publication], None]] = []
        self.serve(*items)

    def serve(self, *items: Any, restored: bool = False) -> None:
        """Serve these items from now on."""
        by_name = {getattr(one, "name", None) or one.id: one for one in items}
        self.status = Status(snapshot=Snapshot(by_name, digest=repr(by_name)), restored=restored)

    def get_status(self) -> Status[Any]:
        return self.status

    def listen(self, listener: Callable[[Outcome], None]) -> None:
        self.listeners.append(listener)

    def listen_publish(self, listener: Callable[[Publication], None]) -> None:
        self.publish_listeners.append(listener)


def settings(folder: Path, *urls: str, routes: Mode = Mode.RULES, interval: float = 0.0, **more: Any) -> Settings:
    """Settings for a template and a file in this folder."""
    values: dict[str, Any] = {
        "refresh": RefreshSettings(),
        "template": folder / "template.yml",
        "file": folder / "alertmanager.yml",
        "urls": urls,
        "routes": routes,
        "token_file": None,
        "ca_file": None,
        "min_reload_interval": interval,
    }
    return Settings(**(values | more))


class World:
    """The source, what it was told, and what came of its last refresh: `known`, `snapshot`, `error`."""

    def __init__(
        self,
        folder: Path,
        *urls: str,
        targets: tuple[Target, ...] = (),
        rules: tuple[Rule, ...] = (),
        template: str = PLAIN,
        tool: bool = True,
        unpacked: Path = UNPACKED,
        clock: Clock | None = None,
        **more: Any,
    ) -> None:
        self.folder = folder
        self.file = folder / "alertmanager.yml"
        self.template = folder / "template.yml"
        write(self.template, template.encode())  # renamed into place: nobody waits until it rests
        self.targets, self.rules = Serving(*targets), Serving(*rules)
        self.clock = clock or SystemClock()
        self._settings = settings(folder, *urls, **more)
        self._tool = tool
        self._unpacked = unpacked
        self.snapshot: Snapshot[Any] | None = None
        self.error: AttemptError | None = None
        self.restart()

    def restart(self) -> None:
        """A new process: nothing is remembered."""
        workers: Any = {"targets": self.targets, "rules": self.rules}
        if self._settings.routes is not Mode.RULES:
            del workers["rules"]
        self.source = AlertmanagerSource(self._settings, workers, self.clock)
        self.source.amtool.path = amtool(self._unpacked) if self._tool else None
        self.snapshot = None

    def configure(self, **changes: Any) -> None:
        """A new process with other settings."""
        self._settings = replace(self._settings, **changes)
        self.restart()

    @property
    def known(self) -> Delivered:
        return delivered(self.snapshot)

    @property
    def in_sync(self) -> list[bool]:
        """Of each Alertmanager, whether it runs what was rendered last."""
        return [one.name in self.known.in_sync for one in self.known.instances]

    @property
    def undeliverable(self) -> dict[str, list[str]]:
        """The undeliverable targets, with the fields that are at fault."""
        return {name: [fault.field for fault in faults] for name, (_, faults) in self.known.undeliverable.items()}

    def refresh(self, timeout: float = 60.0) -> Delivered:
        """One attempt."""
        self.error = None
        try:
            request, deadline = Request(Trigger.MANUAL), Deadline(self.clock, timeout)
            self.snapshot = self.source.refresh(self.snapshot, request, deadline)
        except Partial as partial:
            self.snapshot, self.error = partial.snapshot, partial.cause
        except AttemptError as error:
            self.error = error
        return self.known

    def good(self) -> Delivered:
        """One attempt, which succeeds."""
        known = self.refresh()
        assert self.error is None, self.error
        return known


class Leaping(SystemClock):
    """The system's clock; where an attempt only waits (`Deadline.wait`), that time passes at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        monkeypatch.setattr(Deadline, "wait", lambda _, seconds: self._leap(seconds))

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    def _leap(self, seconds: float) -> None:
        self._ahead += seconds


class Watched:
    """The source's watches, running; `triggers` are what they asked for."""

    def __init__(self, source: AlertmanagerSource) -> None:
        self.triggers: list[Trigger] = []
        self.news = threading.Event()
        sink: Any = SimpleNamespace(notify=self._notify)
        self.watches = source.watches(sink)
        self._threads = [threading.Thread(target=watch.run, name=watch.name) for watch in self.watches]

    def _notify(self, trigger: Trigger) -> None:
        self.triggers.append(trigger)
        self.news.set()

    def __enter__(self) -> Watched:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for watch in self.watches:
            watch.stop()
        for thread in self._threads:
            thread.join(PATIENCE)
