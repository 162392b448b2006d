"""One kind that is kept: its snapshot to its file, and back at the start."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alert_refresh.keep import snapshot_file
from alert_refresh.keep.folder import Refused
from alert_refresh.keep.snapshot_file import Kept

if TYPE_CHECKING:
    from alert_refresh.engine import Clock, Hold, Outcome, Snapshot, Status, Worker
    from alert_refresh.keep.codec import Codec
    from alert_refresh.keep.folder import StateFolder
    from alert_refresh.keep.key import Key

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a kind at the start. Without a snapshot the last three are not used."""

    last: Outcome | None = None
    succeeded_at: float | None = None
    snapshot: Snapshot[Any] | None = None
    age: float = 0.0
    written_at: float = 0.0
    hold: Hold | None = None


class KeptKind:
    """Reads, restores and writes; each by one thread at a time.

    `failures` counts writes that failed, `written_at` is Unix seconds of the last one that did not, 0 before the first.
    """

    def __init__(self, worker: Worker[Any], codec: Codec, folder: StateFolder, key: Key | None, clock: Clock) -> None:
        self.name = worker.kind.name
        self.failures = 0
        self.written_at = 0.0
        self._worker = worker
        self._codec = codec
        self._folder = folder
        self._file = snapshot_file.name_of(self.name)
        self._key = key
        self._clock = clock
        self._written: object = None

    def differs(self) -> bool:
        """Whether what is served now is something else than what was written last."""
        mark = self._mark(self._worker.get_status())
        return mark is not None and mark != self._written

    def is_lost(self) -> bool:
        """Whether the file is gone, as after the folder was made anew; then it is to be written again."""
        if self._written is None or self._folder.has(self._file):
            return False
        self._written = None
        return True

    def write(self) -> None:
        """Write what is served now, unless it is written already.

        Raises:
            OSError, Refused, ValueError: it could not be written.
        """
        status = self._worker.get_status()
        mark = self._mark(status)
        if status.snapshot is None or mark == self._written:
            return
        now, hold = self._clock.time(), status.hold
        kept = Kept(
            content=self._codec.dump(status.snapshot),
            written_at=now,
            last_success_at=status.last_success_at,
            held=() if hold is None else hold.names,
            held_since=0.0 if hold is None else hold.since,
            rejected=hold is not None and hold.rejected,
        )
        self._folder.write(self._file, snapshot_file.pack(self.name, self._codec.schema, kept, self._key))
        self._written, self.written_at = mark, now

    def read(self, last: Outcome | None, succeeded_at: float | None, max_age: float | None) -> Found:
        """What was kept, as far as it may be served; `last` and `succeeded_at` are what the outcomes tell."""
        kept = self._read()
        snapshot = None if kept is None else self._decoded(kept)
        if kept is None or snapshot is None:
            return Found(last, succeeded_at)
        known = [at for at in (succeeded_at, kept.last_success_at) if at is not None]
        succeeded_at = max(known) if known else None
        age = max(0.0, self._clock.time() - (snapshot.taken_at if succeeded_at is None else succeeded_at))
        if max_age is not None and age > max_age:
            self._reject(f"it is {age:.0f} s old, and ALERT_REFRESH_SNAPSHOT_MAX_AGE is {max_age:g} s")
            return Found(last, succeeded_at)
        return Found(last, succeeded_at, snapshot, age, kept.written_at, kept.hold)

    def restore(self, found: Found) -> None:
        """Give the worker what was found. Call it before the worker starts."""
        snapshot = found.snapshot
        if snapshot is None and found.last is None:
            return
        self._worker.restore(snapshot, last=found.last, last_success_at=found.succeeded_at, hold=found.hold)
        if snapshot is not None:
            self._written, self.written_at = self._mark(self._worker.get_status()), found.written_at
            fields = {"kind": self.name, "items": len(snapshot.items), "generation": snapshot.generation}
            log.info("Restored %s", self.name, extra=fields | {"age_seconds": round(found.age, 3)})

    def _read(self) -> Kept | None:
        try:
            data = self._folder.read(self._file, snapshot_file.LARGEST)
            return None if data is None else snapshot_file.unpack(self.name, self._codec.schema, data, self._key)
        except Refused as error:
            self._reject(str(error))
            self._folder.set_aside(self._file)
            return None

    def _decoded(self, kept: Kept) -> Snapshot[Any] | None:
        try:
            return self._codec.load(kept.content)
        except ValueError as error:
            self._reject(str(error))
            self._folder.set_aside(self._file)
            return None

    def _reject(self, error: str) -> None:
        log.warning("snapshot_rejected", extra={"kind": self.name, "error": error})

    def _mark(self, status: Status[Any]) -> object:
        """What identifies all that would be written; None if nothing is served."""
        if status.snapshot is None:
            return None
        return self._codec.mark(status.snapshot), status.hold
