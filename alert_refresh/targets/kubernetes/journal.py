"""The events that watches read and that are not applied yet."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alert_refresh.targets.kubernetes.encoding.json_list import Secret

FULL = 10_000
"""Events that may wait to be applied; a reflector that has more waits, and so does its server."""
FULL_PAUSE = 0.05
"""Seconds between two looks at whether there is room again."""


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
    """Events in the order they were read. Many put, one takes."""

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
        """Everything there is."""
        self.wake.clear()
        return [self._entries.popleft() for _ in range(len(self._entries))]
