"""Applies what the reflectors were told, in batches, over whatever is served at that moment."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from alert_refresh.engine import Snapshot, Watch
from alert_refresh.targets.kubernetes.journal import Journal
from alert_refresh.targets.kubernetes.list import candidate
from alert_refresh.targets.kubernetes.snapshot import Memo, memo_of, serve
from alert_refresh.targets.kubernetes.store import Event, apply, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.engine import Clock, Outcome, Sink
    from alert_refresh.targets.bulkhead import Bulkhead
    from alert_refresh.targets.kubernetes.journal import Entry
    from alert_refresh.targets.kubernetes.reflector import Reflector
    from alert_refresh.targets.kubernetes.store import Store
    from alert_refresh.targets.revise import Change
    from alert_refresh.targets.target import Target

WINDOW = 0.001
"""Seconds to wait for more events after the first; doubled after every batch that held several."""
LONGEST_WINDOW = 0.1
SETTLED = 1.0
"""Seconds after which what a list corrected, and no event told, counts as drift: the event was lost."""
PATIENCE = 30.0
"""Seconds after which a batch that is not applied means that something hangs."""


class Applier(Watch):
    """Publishes what the events make of the targets; of a batch each Secret's last version is parsed alone."""

    name = "apply"

    def __init__(self, sink: Sink, clock: Clock, bulkhead: Bulkhead, *, deny_private: bool) -> None:
        self.journal = Journal()
        self.reflectors: Sequence[Reflector] = ()
        self.back_by = math.inf
        self._sink = sink
        self._clock = clock
        self._bulkhead = bulkhead
        self._deny_private = deny_private
        self._stopping = threading.Event()

    def run(self) -> None:
        """Apply batches until stopped."""
        window = WINDOW
        while not self._stopping.is_set():
            self._clock.wait(self.journal.wake, self._settles_in())
            if self._stopping.is_set() or self._clock.wait(self._stopping, window):
                return
            self.back_by = self._clock.monotonic() + PATIENCE
            try:
                batch = self.journal.take()
                self._apply_or_relist(batch)
                self._settle()
            finally:
                self.back_by = math.inf
            window = min(2 * window, LONGEST_WINDOW) if len(batch) > 1 else WINDOW

    def stop(self) -> None:
        """End `run` at once."""
        self._stopping.set()
        self.journal.wake.set()

    def refreshed(self, outcome: Outcome) -> None:
        """A list may have corrected something."""
        self.journal.wake.set()

    def _apply_or_relist(self, batch: list[Entry]) -> None:
        """Apply a batch. If that raises anything, its namespaces are listed again, so that no event is lost."""
        applied = False
        try:
            self._apply(batch)
            applied = True
        finally:
            if not applied:
                for namespace in {entry.namespace for entry in batch}:
                    for reflector in self.reflectors:
                        reflector.relist(namespace)

    def _apply(self, batch: list[Entry]) -> None:
        last: dict[tuple[int, str], Entry] = {}
        for entry in batch:
            key = entry.epoch, entry.uid
            if (other := last.get(key)) is None or number(entry.version) >= number(other.version):
                last[key] = entry
        events: dict[tuple[str, int], list[Event]] = {}
        for entry in last.values():
            made = None if entry.deleted else candidate(entry.secret, self._bulkhead, deny_private=self._deny_private)
            events.setdefault((entry.namespace, entry.epoch), []).append(Event(entry.uid, entry.version, made))
        seen_at = min((entry.seen_at for entry in batch), default=0.0)
        while events and not self._stopping.is_set():
            current = self._sink.current()
            memo = memo_of(current)
            if current is None or memo is None:
                return
            known = dict(memo.known)
            changes: list[Change] = []
            for (namespace, epoch), told in events.items():
                # What was told of an epoch that is over is not compared with what there is now.
                if namespace in known and known[namespace].epoch == epoch:
                    known[namespace], changed = apply(known[namespace], told)
                    changes += [] if namespace in memo.failed else changed
            if all(known[name] is memo.known[name] for name in known):
                return
            if self._publish(current, replace(memo, known=known), changes, seen_at):
                return

    def _publish(self, current: Snapshot[Target], memo: Memo, changes: list[Change], seen_at: float | None) -> bool:
        now = self._clock.time()
        whole = bool(memo.failed and changes)
        items, rejected, digest = serve(current, memo, None if whole else changes, now)
        snapshot = replace(current, items=items, rejected=rejected, digest=digest, taken_at=now, memo=memo)
        return self._sink.publish(snapshot, current, seen_at)

    def _settles_in(self) -> float | None:
        """Seconds until `_settle` has something to count, None if there is nothing."""
        memo = memo_of(self._sink.current())
        at = [one.at for one in memo.known.values() if one.unconfirmed] if memo is not None else []
        return max(0.0, min(at) + SETTLED - self._clock.monotonic()) if at else None

    def _settle(self) -> None:
        """Count what lists corrected and no event told in time."""
        now = self._clock.monotonic()
        while not self._stopping.is_set():
            current = self._sink.current()
            memo = memo_of(current)
            if current is None or memo is None:
                return
            due: dict[str, Store] = {
                name: one for name, one in memo.known.items() if one.unconfirmed and now >= one.at + SETTLED
            }
            known = {**memo.known, **{name: replace(one, unconfirmed={}) for name, one in due.items()}}
            if not due:
                return
            if self._publish(current, replace(memo, known=known), [], None):
                for name, one in due.items():
                    for reflector in self.reflectors:
                        reflector.corrected(name, len(one.unconfirmed))
                return
