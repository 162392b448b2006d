"""Applies the events of the reflectors in batches to the snapshot that is served at that moment, and publishes."""

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
from alert_refresh.targets.revise import revise
from alert_refresh.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alert_refresh.engine import Clock, Outcome, Sink
    from alert_refresh.targets.bulkhead import Bulkhead
    from alert_refresh.targets.kubernetes.events import WatchEvent
    from alert_refresh.targets.kubernetes.reflector import Reflector
    from alert_refresh.targets.kubernetes.store import Store
    from alert_refresh.targets.revise import Change

WINDOW = 0.001
"""Seconds to collect more events after the first one; doubled after each batch with more than one."""
LONGEST_WINDOW = 0.1
SETTLED = 1.0
"""Seconds after which a correction by a list without a matching event counts as drift: the event was lost."""
PATIENCE = 30.0
"""Seconds that one batch may take before the thread counts as hung."""


class Applier(Watch):
    """Applies batches of events and publishes the result; only the last version of each Secret in a batch is parsed."""

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
        """Make `run` return immediately."""
        self._stopping.set()
        self.journal.wake.set()

    def refreshed(self, outcome: Outcome) -> None:
        """Wake `run`: a list may have corrected the store."""
        self.journal.wake.set()

    def _apply_or_relist(self, batch: list[WatchEvent]) -> None:
        """Apply a batch. If that raises anything, relist its namespaces, so that no event is lost."""
        applied = False
        try:
            self._apply(batch)
            applied = True
        finally:
            if not applied:
                for namespace in {event.namespace for event in batch}:
                    for reflector in self.reflectors:
                        reflector.relist(namespace)

    def _apply(self, batch: list[WatchEvent]) -> None:
        parsed = self._parse(batch)
        seen_at = min((event.seen_at for event in batch), default=0.0)
        while parsed and not self._stopping.is_set():
            current = self._sink.current()
            memo = memo_of(current)
            if current is None or memo is None:
                return
            known = dict(memo.known)
            changes: list[Change] = []
            for (namespace, epoch), events in parsed.items():
                # resourceVersions of different epochs cannot be compared: events of an earlier epoch are dropped.
                if namespace in known and known[namespace].epoch == epoch:
                    known[namespace], changed = apply(known[namespace], events)
                    changes += [] if namespace in memo.failed else changed
            if all(known[name] is memo.known[name] for name in known):
                return
            if self._publish(current, replace(memo, known=known), changes, seen_at):
                return

    def _parse(self, batch: list[WatchEvent]) -> dict[tuple[str, int], list[Event]]:
        """The last event of each Secret in the batch, parsed, by namespace and epoch."""
        last: dict[tuple[int, str], WatchEvent] = {}
        for event in batch:
            key = event.epoch, event.uid
            if (other := last.get(key)) is None or number(event.version) >= number(other.version):
                last[key] = event
        parsed: dict[tuple[str, int], list[Event]] = {}
        for event in last.values():
            made = None if event.deleted else candidate(event.secret, self._bulkhead, deny_private=self._deny_private)
            parsed.setdefault((event.namespace, event.epoch), []).append(Event(event.uid, event.version, made))
        return parsed

    def _publish(self, current: Snapshot[Target], memo: Memo, changes: list[Change], seen_at: float | None) -> bool:
        now = self._clock.time()
        revised = revise(current, changes) if changes and not memo.failed else None
        made = revised or serve(current, memo, None if changes else changes, now)
        items, rejected, digest = made
        lost = None if revised is None else _lost(changes, items)
        snapshot = replace(current, items=items, rejected=rejected, digest=digest, taken_at=now, memo=memo, lost=lost)
        return self._sink.publish(snapshot, current, seen_at)

    def _settles_in(self) -> float | None:
        """Seconds until `_settle` has corrections to count; None if there are none."""
        memo = memo_of(self._sink.current())
        at = [one.at for one in memo.known.values() if one.unconfirmed] if memo is not None else []
        return max(0.0, min(at) + SETTLED - self._clock.monotonic()) if at else None

    def _settle(self) -> None:
        """Count the corrections by lists for which no event arrived within `SETTLED` seconds."""
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
                        reflector.corrected(name, len(one.unconfirmed), one.at)
                return


def _lost(changes: Sequence[Change], items: Mapping[str, Target]) -> frozenset[str]:
    """The names of the valid targets that these changes removed."""
    names = (old.result.name for old, _ in changes if old is not None and isinstance(old.result, Target))
    return frozenset(name for name in names if name not in items)
