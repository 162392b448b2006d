"""Keeps what is served, and the outcomes of attempts, in the state folder: one thread writes, nobody waits for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Deadline, Mailbox, Result, SystemClock
from alert_refresh.engine.threads import completed, join, spawn
from alert_refresh.keep import outcomes_file, snapshot_file
from alert_refresh.keep.folder import Refused, StateFolder, reason
from alert_refresh.keep.kept_kind import Found, KeptKind
from alert_refresh.keep.outcomes_file import OutcomesFile, last_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from alert_refresh.engine import Clock, Outcome, Publication, Worker
    from alert_refresh.keep.codec import Codec
    from alert_refresh.keep.key import Key

OUTCOMES = ""
"""What is in the mailbox when there are only outcomes to write; else it is the name of a kind."""
QUEUED = 1000
"""Outcomes that wait for a slow disk; the oldest go first, and are counted."""
REST, LONGEST_REST = 9, 5.0
"""After a write the thread rests so many times as long as it took, at most so many seconds: while a watch publishes
change after change, no more than a tenth of a processor and of the disk's time goes into keeping them."""
RESTORE_WITHIN = 10.0
"""Seconds that a start waits for what was kept."""
STOP_WITHIN = 1.0
"""Seconds that a stop waits for what is still to be written."""

log = logging.getLogger(__name__)


class Keeper:
    """Restores at the first `start`, and from then on listens to the workers.

    A listener only compares and puts a name into the mailbox, each name at most once at a time, so that the mailbox is
    never full. `dropped` counts outcomes that were not written. `restored` are those that were read at the start,
    oldest first.
    """

    def __init__(self, folder: Path, key: Key | None, max_age: float | None, clock: Clock) -> None:
        self.kinds: dict[str, KeptKind] = {}
        self.dropped = 0
        self.restored: Sequence[Outcome] = ()
        self._folder = StateFolder(folder)
        self._key = key
        self._max_age = max_age
        self._clock = clock
        self._outcomes_file = OutcomesFile(self._folder)
        self._outcomes: deque[Outcome] = deque()
        self._queued: set[str] = set()
        self._failing: set[str] = set()
        self._mailbox: Mailbox[str] | None = None
        self._attached = False
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._delivered = threading.Event()

    def start(self, workers: Mapping[str, Worker[Any]], codecs: Mapping[str, Callable[[Any], Codec]]) -> None:
        """Restore every worker that has a codec, the first time; start the thread that writes.

        `codecs` maps the name of a kind to what makes the codec of a source.
        """
        if not self._attached:
            self._attached = True
            for name, make in codecs.items():
                worker = workers[name]
                self.kinds[name] = KeptKind(worker, make(worker.source), self._folder, self._key, self._clock)
            self._restore()
            for worker in workers.values():
                worker.listen(self._heard)
                worker.listen_publish(self._published)
        self._stopping.clear()
        self._hurry.clear()
        self._queued.clear()
        self._mailbox = Mailbox("keeper", self._deliver, 4 * (len(self.kinds) + 1))
        self._mailbox.start()

    def stop(self) -> None:
        """Write what is still to be written, for at most `STOP_WITHIN` seconds, and end the thread."""
        if self._mailbox is not None:
            self._stopping.set()
            self._hurry.set()
            for name in (OUTCOMES, *self.kinds):
                self.look(name)
            self._mailbox.stop(STOP_WITHIN)
            self._mailbox = None

    def look(self, name: str) -> None:
        """Have what is served of a kind written, if it changed. Never waits; from any thread."""
        kind, mailbox = self.kinds.get(name), self._mailbox
        due = bool(self._outcomes) if kind is None else kind.differs()
        if due and mailbox is not None and name not in self._queued:
            self._queued.add(name)
            mailbox.put(name)

    def keep_now(self, name: str, seconds: float) -> bool:
        """Have what is served of a kind written at once; whether that was done within so many seconds."""
        kind, until = self.kinds.get(name), Deadline(self._clock, seconds)
        failures = 0 if kind is None else kind.failures
        # A write that fails is not made again at once: nothing is different then.
        while kind is not None and kind.differs() and kind.failures == failures and until.remaining() > 0:
            self._delivered.clear()
            self._hurry.set()
            self.look(name)
            if kind.differs():
                self._clock.wait(self._delivered, until.remaining())
        return kind is not None and not kind.differs()

    def is_behind(self, name: str) -> bool:
        """Whether what is served of a kind could not be written, so that a restart would not have it."""
        return name in self._failing and self.kinds[name].differs()

    def _restore(self) -> None:
        """Read in a thread of its own, which is given up when the folder does not answer, such as a dead mount."""
        found: dict[str, Found] = {}
        reader = spawn("keeper-restore", lambda: self._read(found))
        if join([reader], Deadline(SystemClock(), RESTORE_WITHIN)):
            log.warning("The state folder does not answer: nothing is restored")
            return
        for name, one in found.items():
            self.kinds[name].restore(one)

    def _read(self, found: dict[str, Found]) -> None:
        try:
            self._folder.check()
        except (OSError, Refused) as error:
            log.warning("The state folder cannot be used: nothing is restored", extra={"error": _said(error)})
            return
        self._folder.remove_leftovers(outcomes_file.NAME, *map(snapshot_file.name_of, self.kinds))
        outcomes = self.restored = self._outcomes_file.read()
        for name in self.kinds:
            # Whatever is wrong with what one kind kept, the others are restored, and the daemon starts.
            completed(partial(self._read_kind, name, outcomes, found))

    def _read_kind(self, name: str, outcomes: list[Outcome], found: dict[str, Found]) -> None:
        last, succeeded_at = last_of(outcomes, name)
        found[name] = self.kinds[name].read(last, succeeded_at, self._max_age)

    def _heard(self, outcome: Outcome) -> None:
        if outcome.result is not Result.CANCELLED:
            if len(self._outcomes) >= QUEUED:
                self._outcomes.popleft()
                self.dropped += 1
            self._outcomes.append(outcome)
        self.look(outcome.kind if outcome.kind in self.kinds else OUTCOMES)
        self.look(OUTCOMES)

    def _published(self, published: Publication) -> None:
        self.look(published.kind)

    # In the keeper's thread

    def _deliver(self, name: str) -> None:
        if not self._stopping.is_set():
            self._hurry.clear()
        self._queued.discard(name)
        self._attempt(OUTCOMES, self._write_outcomes)
        if (kind := self.kinds.get(name)) is None:
            for one in self.kinds.values():
                if one.is_lost():
                    one.failures += not self._attempt(one.name, one.write)
            return
        began, written = self._clock.monotonic(), False
        try:
            written = self._attempt(name, kind.write)
        finally:
            kind.failures += not written
            self._delivered.set()
        self._clock.wait(self._hurry, min(REST * (self._clock.monotonic() - began), LONGEST_REST))

    def _write_outcomes(self) -> None:
        batch: list[Outcome] = []
        while self._outcomes:
            batch.append(self._outcomes.popleft())
        if not batch:
            return
        try:
            self._outcomes_file.append(batch)
        except (OSError, Refused):
            self._outcomes.extendleft(reversed(batch))
            raise
        except ValueError:
            self.dropped += len(batch)
            raise

    def _attempt(self, name: str, write: Callable[[], None]) -> bool:
        """Make a write; whether it succeeded. A WARNING tells the first of several failures, an INFO their end."""
        what = f"The snapshot of {name}" if name else "The outcomes of refreshes"
        fields = {"kind": name or None}
        try:
            write()
        except (OSError, Refused, ValueError) as error:
            if name not in self._failing:
                self._failing.add(name)
                log.warning("%s cannot be written", what, extra=fields | {"error": _said(error)})
            return False
        if name in self._failing:
            self._failing.discard(name)
            log.info("%s can be written again", what, extra=fields)
        return True


def _said(error: Exception) -> str:
    """Why something could not be written or read, without its content."""
    if isinstance(error, OSError):
        return reason(error)
    return str(error) if isinstance(error, Refused) else type(error).__name__
