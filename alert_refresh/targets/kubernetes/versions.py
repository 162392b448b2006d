"""The highest resourceVersions that watches have received, to recognize a list that is older than them."""

from __future__ import annotations

from alert_refresh.targets.kubernetes.store import UNKNOWN


class HighestVersions:
    """The highest version of the newest epoch, by namespace. One thread per namespace writes, any thread may read."""

    def __init__(self) -> None:
        self._highest: dict[str, tuple[int, int]] = {}

    def note(self, namespace: str, epoch: int, version: int) -> None:
        """Record the version of an event or bookmark of that epoch."""
        self._highest[namespace] = max(self._highest.get(namespace, (epoch, version)), (epoch, version))

    def highest(self, namespace: str, epoch: int) -> int:
        """The highest version received in that epoch; `UNKNOWN` without any."""
        of, version = self._highest.get(namespace, (epoch, UNKNOWN))
        return version if of == epoch else UNKNOWN
