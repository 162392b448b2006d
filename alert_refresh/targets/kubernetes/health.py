"""The state of a watch's connection; a change of it is logged, once."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from alert_refresh.engine import WatchHealth
from alert_refresh.targets.kubernetes.list import name_of

if TYPE_CHECKING:
    from alert_refresh.engine import Clock

COUNTED = ("reconnects", "relists", "drift_corrected")

log = logging.getLogger(__name__)


class HealthRecorder:
    """Records the connection's state. One thread writes, any thread may read `health`; `counts` are since the start."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connected = False
        self._proof: float | None = None
        self._error: str | None = None
        self._told: bool | None = None
        self._first: float | None = None
        self.counts = Counter(dict.fromkeys(COUNTED, 0))

    def was_connected_before(self, at: float) -> bool:
        """Whether it was connected before that time (monotonic), now or then with a proof of life."""
        return self._first is not None and self._first < at and (self._told is True or self._proof is not None)

    def health(self) -> WatchHealth:
        """The current state."""
        return WatchHealth(self._connected, self._proof, self._error, dict(self.counts))

    def heard(self) -> None:
        """The server has sent something, and it was read to its end."""
        self._proof = self._clock.time()

    def disconnected(self, namespace: str | None, error: str) -> None:
        """Note that it is not connected, and why."""
        self._connected = False
        self._error = error if namespace is None else f"{name_of(namespace)}: {error}"
        if self._told is not False:
            self._told = False
            log.warning(
                "The watch is lost; until it is back the periodic refresh finds changes",
                extra={"kind": "targets", "namespace": namespace, "error": error},
            )

    def connected(self, namespace: str | None) -> bool:
        """Note that it is connected; returns whether it was lost before."""
        lost = self._error is not None
        self._connected, self._error = True, None
        if self._first is None:
            self._first = self._clock.monotonic()
        if self._told is not True:
            self._told = True
            log.info("The watch is connected", extra={"kind": "targets", "namespace": namespace})
        return lost
