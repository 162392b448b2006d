"""A queue of the events that reflectors have read and the applier has not applied yet."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alert_refresh.targets.kubernetes.events import WatchEvent

FULL = 10_000
"""Events in the queue at which reflectors stop reading, so that TCP flow control slows the server down."""
FULL_PAUSE = 0.05
"""Seconds between two checks for room in the queue."""


class Journal:
    """Events in the order they were read; several producers, one consumer."""

    def __init__(self) -> None:
        self._events: deque[WatchEvent] = deque()
        self.wake = threading.Event()

    @property
    def full(self) -> bool:
        return len(self._events) >= FULL

    def put(self, event: WatchEvent) -> None:
        self._events.append(event)
        self.wake.set()

    def take(self) -> list[WatchEvent]:
        """Remove and return all events."""
        self.wake.clear()
        return [self._events.popleft() for _ in range(len(self._events))]
