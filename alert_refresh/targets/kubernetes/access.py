"""Requests a refresh when a token, a certificate or a kubeconfig changes while refreshes fail."""

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
    """Requests a refresh when one of the files changes while refreshes fail; else the next refresh sees the change.

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
        """Request a refresh if a file changed during an attempt that failed: it may have used the old file."""
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
