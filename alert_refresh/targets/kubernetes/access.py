"""Asks for a refresh when a token, a certificate or a kubeconfig changed while refreshes fail."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alert_refresh.engine import Result, Trigger
from alert_refresh.files.watch import DATA, FolderWatch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from alert_refresh.engine import Outcome, Sink

log = logging.getLogger(__name__)


class AccessWatch(FolderWatch):
    """Asks for a refresh when one of the files changes while refreshes fail; else a change waits for the next one.

    Raises:
        OSError: inotify is unavailable.
    """

    def __init__(self, folder: Path, names: Collection[str], sink: Sink, name: str) -> None:
        self._sink = sink
        self._failing = False
        self._changed = False
        super().__init__(folder, self._noticed, names=names)
        self.name = name

    def refreshed(self, outcome: Outcome) -> None:
        """A change that came while the attempt ran may not have reached it: one that failed is worth another."""
        self._failing = outcome.result is Result.FAILED
        changed, self._changed = self._changed, False
        if self._failing and changed:
            self._sink.notify(Trigger.FILE)

    def _noticed(self, trigger: Trigger) -> None:
        self._changed = not self._failing
        if self._failing:
            self._sink.notify(trigger)


def access_watches(files: Iterable[Path], sink: Sink) -> tuple[AccessWatch, ...]:
    """One watch for each folder that holds some of the files; none where inotify is unavailable."""
    folders: dict[Path, set[str]] = {}
    for file in files:
        folders.setdefault(file.parent, {DATA}).add(file.name)
    try:
        return tuple(
            AccessWatch(folder, names, sink, f"access-{place}" if place else "access")
            for place, (folder, names) in enumerate(folders.items())
        )
    except OSError as error:
        log.warning("Token and kubeconfig are not watched: %s", error.strerror, extra={"kind": "targets"})
        return ()
