"""A queue of the events that reflectors have read and the applier has not applied yet."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alert_refresh.targets.kubernetes.encoding.json_list import Secret

FULL = 10_000
"""Events in the queue at which reflectors stop reading, so that TCP flow control slows the server down."""
FULL_PAUSE = 0.05
"""Seconds between two checks for room in the queue."""


class Entry(NamedTuple):
    """A change: the namespace as it is watched and the epoch of the list it was watched from, the Secret as it is or
    was, and when that was read (monotonic).
    """

    namespace: str
    epoch: int
    secret: Secret
    deleted: bool
    seen_at: float

    @property
    def uid(self) -> str:
        return self.secret.metadata.uid

    @property
    def version(self) -> str:
        return self.secret.metadata.resourceVersion


class Journal:
    """Events in the order they were read; several producers, one consumer."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self.wake = threading.Event()

    @property
    def full(self) -> bool:
        return len(self._entries) >= FULL

    def put(self, entry: Entry) -> None:
        self._entries.append(entry)
        self.wake.set()

    def take(self) -> list[Entry]:
        """Remove and return all events."""
        self.wake.clear()
        return [self._entries.popleft() for _ in range(len(self._entries))]
