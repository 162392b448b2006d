"""What the daemon itself serves: targets and rules, read from their workers, and when that has changed."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Result, Trigger, Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.engine import Clock, Outcome, Publication, Sink, Snapshot, Worker

REST = 1.0
"""Seconds without a publication after which the next one is taken over at once; and the longest time that one waits."""
QUIET = 0.1
"""Seconds without a publication after which those that came shortly after another are taken over together."""


@dataclass(frozen=True, slots=True)
class Served:
    """What is served now. `rules` is None where they are not configured; `confirmed` is False while one of them was
    restored from disk and no refresh has succeeded since.
    """

    targets: Snapshot[Any]
    rules: Snapshot[Any] | None
    confirmed: bool


class Upstream:
    """Listens to the workers of targets and, where they count, rules. `news` is set with each of their publications."""

    def __init__(self, workers: Mapping[str, Worker[Any]], clock: Clock) -> None:
        self._workers = workers
        self._clock = clock
        self._confirmed: set[str] = set()
        self._seen: deque[float] = deque()
        self.news = threading.Event()
        for worker in workers.values():
            worker.listen(self._ended)
            worker.listen_publish(self._published)

    def served(self) -> Served | None:
        """What is served; None while not all of it is loaded or restored."""
        found = {name: worker.get_status() for name, worker in self._workers.items()}
        targets = found["targets"].snapshot
        rules = found["rules"].snapshot if "rules" in found else None
        if targets is None or ("rules" in found and rules is None):
            return None
        return Served(targets, rules, not any(status.restored for status in found.values()))

    def take(self) -> float | None:
        """When the oldest change was seen that was published since the last call, in monotonic seconds."""
        taken = []
        with suppress(IndexError):
            while True:
                taken.append(self._seen.popleft())
        return min(taken, default=None)

    def give_back(self, seen_at: float | None) -> None:
        """The change that was seen then is not delivered yet."""
        if seen_at is not None:
            self._seen.append(seen_at)

    def _ended(self, outcome: Outcome) -> None:
        """An attempt ended: is there another generation, or is what was restored confirmed?"""
        confirms = outcome.result is Result.SUCCESS and outcome.kind not in self._confirmed
        if confirms:
            self._confirmed.add(outcome.kind)
        if outcome.changed or confirms:
            self._tell(outcome.seen_at if outcome.changed else None)

    def _published(self, published: Publication) -> None:
        self._tell(self._clock.monotonic() if published.seen_at is None else published.seen_at)

    def _tell(self, seen_at: float | None) -> None:
        self.give_back(seen_at)
        self.news.set()


class PublicationWatch(Watch):
    """Requests a refresh after publications: the first after a rest at once, those shortly after it together."""

    name = "publications"

    def __init__(self, upstream: Upstream, sink: Sink, clock: Clock) -> None:
        self._upstream = upstream
        self._sink = sink
        self._clock = clock
        self._stopping = False
        self._last = -REST

    def run(self) -> None:
        """Wait for publications until stopped."""
        news = self._upstream.news
        while self._wait(None):
            news.clear()
            now = self._clock.monotonic()
            if now - self._last < REST:
                self._settle(now + REST)
            self._last = self._clock.monotonic()
            if not self._stopping:
                self._sink.notify(Trigger.WATCH)

    def stop(self) -> None:
        """End `run`."""
        self._stopping = True
        self._upstream.news.set()

    def _settle(self, until: float) -> None:
        """Wait until nothing was published for a while, but not for ever."""
        while (left := until - self._clock.monotonic()) > 0 and self._wait(min(QUIET, left)):
            self._upstream.news.clear()

    def _wait(self, seconds: float | None) -> bool:
        """Whether something is published, in that time; False after `stop`."""
        return self._clock.wait(self._upstream.news, seconds) and not self._stopping
