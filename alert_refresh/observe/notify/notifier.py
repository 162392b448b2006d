"""Decides what is sent: one notice for each streak of failures and each hold, and one for its end.

A listener of outcomes; it never blocks. Alertmanager forgets an alert that it is not told of again, so a thread repeats
those that fire.
"""

from __future__ import annotations

import socket
import threading
from functools import partial
from typing import TYPE_CHECKING

from alert_refresh.engine import Deadline, Result
from alert_refresh.engine.threads import join, spawn
from alert_refresh.observe.notify.bodies import REPEAT
from alert_refresh.observe.notify.delivery import QUEUE, Delivery
from alert_refresh.observe.notify.notice import Reason, failing_notice, held_notice
from alert_refresh.observe.outcomes import ALERT_AFTER

if TYPE_CHECKING:
    from alert_refresh.engine import Clock, Hold, Outcome, Publication
    from alert_refresh.observe.notify.notice import Notice
    from alert_refresh.observe.notify.settings import NotifySettings

Key = tuple[str, str]


class Notifier:
    """Sends notices while it runs. Call it with every outcome, and `hold` with every publication.

    `port` is where the program serves, so that several on one host are told apart. Of a flapping kind a recovery is
    left out if the next streak is known before it was sent. What the webhook has certainly not got is sent again with
    the next outcome, if it is still true.
    """

    def __init__(self, settings: NotifySettings, clock: Clock, *, port: int = 0, size: int = QUEUE) -> None:
        self.settings = settings
        host = socket.gethostname()
        self.delivery = Delivery(settings, clock, f"{host}:{port}" if port else host, size)
        self._clock = clock
        self._began: dict[str, float] = {}
        self._holds: dict[str, Hold | None] = {}
        self._newest: dict[Key, Notice] = {}
        self._owed: dict[Key, Notice] = {}
        self._repeats = settings.format == "alertmanager"
        self._firing: dict[Key, Notice] = {}
        self._repeating: set[Key] = set()
        self._wake = threading.Event()
        self._stopping = True
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the threads."""
        self._stopping = False
        self._repeating.clear()
        self.delivery.start()
        if self._repeats:
            self._thread = spawn("notify-repeat", self._repeat)

    def stop(self) -> None:
        """Send what is queued if that takes no longer than half a second, and end the threads."""
        self._stopping = True
        self._wake.set()
        self.delivery.stop()
        if self._thread is not None:
            join([self._thread], Deadline(self._clock, 1.0))
            self._thread = None

    def __call__(self, outcome: Outcome) -> None:
        """Note an attempt that ended."""
        self.hold(outcome)
        if outcome.result is Result.FAILED and outcome.streak_before == 0:
            self._began[outcome.kind] = outcome.started_at
        notice = failing_notice(outcome, self._began.get(outcome.kind))
        if notice is None:
            owed = self._owed.get((outcome.kind, Reason.FAILING))
            if outcome.result is Result.SUCCESS and owed is not None and not owed.firing:
                self.send(owed)
            return
        news = not notice.firing or outcome.consecutive_failures == ALERT_AFTER
        # A streak from before a restart is not told a second time, except to who has forgotten it.
        forgotten = self._repeats and notice.key not in self._firing
        if news or forgotten or notice.key in self._owed:
            self.send(notice)
        elif self._repeats:
            self._firing[notice.key] = notice

    def restored(self, kind: str, hold: Hold | None) -> None:
        """Note removals that were held before a restart: they were told then, and their end is still to be told."""
        self._holds[kind] = hold
        notice = held_notice(kind, None, hold, self._clock.time())
        if self._repeats and notice is not None:
            self._firing[notice.key] = notice

    def hold(self, event: Outcome | Publication) -> None:
        """Note which removals are held now."""
        kind, after, now = event.kind, event.hold, self._clock.time()
        before, self._holds[kind] = self._holds.get(kind), after
        notice = held_notice(kind, before, after, now, event.hold_change)
        owed = self._owed.get((kind, Reason.HELD))
        if notice is None and owed is not None:
            notice = held_notice(kind, None, after, now) if owed.firing else owed
        if notice is not None:
            self.send(notice)

    def send(self, notice: Notice) -> None:
        """Queue a notice; a firing one replaces all of the same kind and reason that were not sent yet."""
        key = notice.key
        self._owed.pop(key, None)
        if notice.firing:
            self._newest[key] = notice
        if notice.firing and self._repeats:
            self._firing[key] = notice
            self._wake.set()
        else:
            self._firing.pop(key, None)
        beginning = self._newest.get(key)

        def obsolete() -> bool:
            return self._newest.get(key) is not beginning

        def undelivered() -> None:
            self._owed[key] = notice

        if not self.delivery.put(lambda: self.delivery.deliver(notice, obsolete, undelivered)):
            undelivered()

    def _repeat(self) -> None:
        """Repeat what fires every `REPEAT` seconds, until the stop."""
        due: float | None = None
        while not self._stopping:
            self._wake.clear()
            now = self._clock.monotonic()
            if not self._firing:
                due = None
            elif due is None:
                due = now + REPEAT
            elif now >= due:
                due = now + REPEAT
                for key in set(self._firing) - self._repeating:
                    self._repeating.add(key)
                    if not self.delivery.put(partial(self._repeat_one, key)):
                        self._repeating.discard(key)
            if not self._stopping:
                self._clock.wait(self._wake, None if due is None else due - now)

    def _repeat_one(self, key: Key) -> None:
        self._repeating.discard(key)
        notice = self._firing.get(key)
        if notice is not None:
            self.delivery.repeat(notice)
