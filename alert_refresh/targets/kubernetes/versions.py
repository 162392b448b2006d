"""The highest resourceVersions that watches were told, so that a list that is older than them is recognized."""

from __future__ import annotations

from alert_refresh.targets.kubernetes.store import UNKNOWN


class HighestVersions:
    """One thread for each namespace writes, any may read. Of each namespace the newest epoch counts."""

    def __init__(self) -> None:
        self._highest: dict[str, tuple[int, int]] = {}

    def note(self, namespace: str, epoch: int, version: int) -> None:
        """An event or bookmark of that epoch has this version."""
        self._highest[namespace] = max(self._highest.get(namespace, (epoch, version)), (epoch, version))

    def highest(self, namespace: str, epoch: int) -> int:
        """The highest version told in that epoch, `UNKNOWN` if there was none."""
        of, version = self._highest.get(namespace, (epoch, UNKNOWN))
        return version if of == epoch else UNKNOWN
