"""The change feed: numbered events of all kinds, of which the last are kept, and those who follow them."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from alert_refresh.engine import Mailbox
from alert_refresh.engine.snapshot import difference
from alert_refresh.observe.formats import timestamp
from alert_refresh.observe.refreshes import RETRYING, SUPERSEDED, result_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alert_refresh.engine import Clock, Difference, Outcome, Request, Snapshot, Swap, Worker

MOST_EVENTS = 10_000
MOST_BYTES = 16 * 1024 * 1024
"""Of the events that are kept; the oldest go first."""
MOST_TAKEN = 500
"""Events that a follower takes at once."""
MAX_NAMES = 1000
"""Names that are listed of each sort; the counts count all."""

STOP_WITHIN = 1.0
"""Seconds that a stop waits for the thread."""

_POSITION = re.compile(r"([0-9]{1,16})\.([0-9]{1,16})")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Event:
    """An event: its number, which is one more than that of the event before it, its kind, and its text in a stream."""

    number: int
    kind: str
    text: bytes


class TooManyFollowers(Exception):
    """Raised when as many follow as may."""


class Feed:
    """Listens to the workers, and wakes followers. Thread-safe; a follower never delays what is published.

    Two threads may publish generations one after the other and tell the feed in the other order. So the feed compares
    what is served now with what it saw last: events are in the order of generations, and two generations may share one.

    At most so many `followers` follow at once: each is a request that holds a thread of the server. A thread of the
    feed's own wakes them, since to wake a hundred takes longer than to publish.
    """

    def __init__(self, clock: Clock, followers: int) -> None:
        self._clock = clock
        self._most_followers = followers
        self._epoch = int(clock.time() * 1000)
        self._workers: Mapping[str, Worker[Any]] = {}
        self._seen: dict[str, Snapshot[Any] | None] = {}
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._bytes = 0
        self._last = 0
        self._followers: tuple[Follower, ...] = ()
        self._bell: Mailbox[bool] | None = None
        self.open = False

    def start(self, workers: Mapping[str, Worker[Any]]) -> None:
        """Listen to these workers, from what they serve now; called before they start."""
        self.open = True
        # One that does not fit is not missed: the one before it has not been delivered yet.
        self._bell = Mailbox("feed", lambda _: self._wake(), 1)
        self._bell.start()
        if self._workers:
            return
        self._workers = workers
        for kind, worker in workers.items():
            self._seen[kind] = worker.get_status().snapshot
            worker.listen_swaps(self._swapped)
            worker.listen(self._heard)
            worker.listen_ends(self._ended)

    def halt(self) -> None:
        """End every wait of a follower, and return immediately."""
        self.open = False
        self._wake()

    def stop(self) -> None:
        """End the thread."""
        self.halt()
        if self._bell is not None:
            self._bell.stop(STOP_WITHIN)
            self._bell = None

    def follow(self, after: str = "") -> Follower:
        """A follower from now on, or from the event after the one with that id; close it in the end.

        Raises:
            TooManyFollowers: there are as many as may be.
        """
        found = _POSITION.fullmatch(after)
        known = found is not None and int(found[1]) == self._epoch
        with self._lock:
            if len(self._followers) >= self._most_followers:
                raise TooManyFollowers
            at = int(found[2]) if known and found is not None else self._last
            follower = Follower(self, min(at, self._last), missed=bool(after) and (not known or at > self._last))
            self._followers = (*self._followers, follower)
        return follower

    @property
    def followers(self) -> int:
        """How many follow."""
        return len(self._followers)

    def id_of(self, number: int) -> str:
        """The id of an event in streams."""
        return f"{self._epoch}.{number}"

    def generations(self) -> dict[str, int | None]:
        """The generation of each kind that was told last; None before the first."""
        with self._lock:
            seen = dict(self._seen)
        return {kind: None if snapshot is None else snapshot.generation for kind, snapshot in seen.items()}

    def after(self, number: int) -> tuple[Sequence[Event], int, int]:
        """The kept events after that number, the number of the oldest that is kept or will be, and of the last one."""
        with self._lock:
            first = self._last + 1 - len(self._events)
            return self._events[max(0, number + 1 - first) :], first, self._last

    def unfollow(self, follower: Follower) -> None:
        """Wake this follower no more."""
        with self._lock:
            self._followers = tuple(one for one in self._followers if one is not follower)

    def _swapped(self, swap: Swap) -> None:
        kind = swap.kind
        while True:
            seen, served = self._seen[kind], self._workers[kind].get_status().snapshot
            if served is None or (seen is not None and served.generation <= seen.generation):
                return
            data = _encode(_published(kind, served, difference(seen, served), timestamp(self._clock.time())))
            with self._lock:
                if self._seen[kind] is not seen:
                    continue
                self._seen[kind] = served
                self._append(kind, b"published", data)
            return

    def _heard(self, outcome: Outcome) -> None:
        self._tell_refresh(outcome, RETRYING if outcome.retry_in is not None else result_of(outcome))

    def _ended(self, request: Request) -> None:
        outcome = request.outcome
        if outcome is not None and outcome.retry_in is not None:
            # Its last attempt was to be retried, and is not.
            over = replace(outcome, retry_in=None)
            self._tell_refresh(over, SUPERSEDED if request.superseded else result_of(over))

    def _tell_refresh(self, outcome: Outcome, result: str) -> None:
        data = _encode(_refresh(outcome, result, self._clock.time()))
        with self._lock:
            self._append(outcome.kind, b"refresh", data)

    def _append(self, kind: str, name: bytes, data: bytes) -> None:
        """Add an event; called with the lock held."""
        self._last += 1
        text = b"id: %s\nevent: %s\ndata: %s\n\n" % (self.id_of(self._last).encode(), name, data)
        self._events.append(Event(self._last, kind, text))
        self._bytes += len(text)
        if len(self._events) > MOST_EVENTS + MOST_EVENTS // 10 or self._bytes > MOST_BYTES:
            # A tenth at once: removing from the front of a list moves all the others.
            dropped = self._events[: len(self._events) // 11 + 1]
            del self._events[: len(dropped)]
            self._bytes -= sum(len(event.text) for event in dropped)
        if self._followers and self._bell is not None:
            self._bell.put(True)

    def _wake(self) -> None:
        for follower in self._followers:
            follower.news.set()


class Follower:
    """One reader of the feed; used by one thread. `news` is set when there may be something new, or the wait is over.

    `missed` says whether events after the position it began at, or came to later, are not kept any more. `gone` is set
    when its client has disconnected.
    """

    def __init__(self, feed: Feed, position: int, *, missed: bool) -> None:
        self._feed = feed
        self._position = position
        self.missed = missed
        self.gone = False
        self.news = threading.Event()

    @property
    def id(self) -> str:
        """The position, as an id in streams: that of the last event that was taken."""
        return self._feed.id_of(self._position)

    @property
    def over(self) -> bool:
        """Whether there is nobody to tell any more, or nothing more to tell."""
        return self.gone or not self._feed.open

    def take(self) -> Sequence[Event]:
        """The events since the last call, at most `MOST_TAKEN`; none if `missed`, then the position is now."""
        events, first, last = self._feed.after(self._position)
        self.missed |= self._position + 1 < first
        if self.missed:
            self._position = last
            return []
        events = events[:MOST_TAKEN]
        self._position = events[-1].number if events else self._position
        return events

    def leave(self) -> None:
        """Note that the client is gone, which ends the wait; from any thread."""
        self.gone = True
        self.news.set()

    def close(self) -> None:
        """Follow no longer."""
        self._feed.unfollow(self)


def _published(kind: str, served: Snapshot[Any], found: Difference, at: str) -> dict[str, Any]:
    """The data of an event about a generation: names, never values."""
    sorts = {"added": found.added, "removed": found.removed, "changed": found.changed}
    return {
        "kind": kind,
        "generation": served.generation,
        "at": at,
        "items": len(served.items),
        "rejected": len(served.rejected),
        **{sort: names[:MAX_NAMES] for sort, names in sorts.items()},
        **{f"{sort}_count": len(names) for sort, names in sorts.items()},
    }


def _refresh(outcome: Outcome, result: str, now: float) -> dict[str, Any]:
    """The data of an event about an attempt that ended, or about the end of a refresh without a further attempt."""
    return {
        "kind": outcome.kind,
        "request_id": outcome.request_id,
        "trigger": outcome.trigger.value,
        "result": result,
        "attempts": outcome.attempt,
        "duration_ms": round(outcome.duration * 1000),
        "error": outcome.error,
        "error_type": outcome.error_type,
        "items": outcome.items,
        "rejected": outcome.rejected,
        "generation": outcome.generation,
        "changed": outcome.changed,
        "next_attempt": None if outcome.retry_in is None else timestamp(now + outcome.retry_in),
        "at": timestamp(now),
    }
