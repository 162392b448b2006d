"""A worker with a scripted source, a clock to advance, and a keeper; another world on the same folder is a restart."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Kind, Outcome, RefreshSettings, Snapshot, Trigger, Worker
from alert_refresh.keep import snapshot_file
from alert_refresh.keep.keeper import Keeper
from alert_refresh.keep.metrics import KeeperMetrics
from tests.fakes import FakeClock, FakeSource
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    from alert_refresh.keep.kept_kind import KeptKind
    from alert_refresh.keep.key import Key

KIND = Kind("fake", "FAKE_", ("network", "unknown"))
FILE = snapshot_file.name_of(KIND.name)


class TextCodec:
    """Keeps snapshots of text."""

    schema = 1

    def __init__(self, source: Any = None) -> None:
        """It needs nothing of its source."""

    def mark(self, snapshot: Snapshot[Any]) -> object:
        return snapshot.generation, snapshot.digest

    def dump(self, snapshot: Snapshot[Any]) -> bytes:
        return json.dumps([snapshot.generation, snapshot.digest, snapshot.taken_at, dict(snapshot.items)]).encode()

    def load(self, content: bytes) -> Snapshot[Any]:
        generation, digest, taken_at, items = json.loads(content)
        return Snapshot(items, digest=digest, taken_at=taken_at, generation=generation)


class World:
    """`answer` is what the source returns by the number of the call; leaving the context stops everything."""

    def __init__(
        self,
        folder: Path,
        answer: Callable[[int], Snapshot[str]] | None = None,
        *,
        key: Key | None = None,
        max_age: float | None = None,
        clock: FakeClock | None = None,
        codec: Callable[[Any], Any] = TextCodec,
    ) -> None:
        self.folder = folder
        self.clock = clock or FakeClock()
        self.source = FakeSource(answer)
        self.worker: Worker[Any] = Worker(KIND, self.source, RefreshSettings(), clock=self.clock)
        self.outcomes: list[Outcome] = []
        self._ended = threading.Semaphore(0)
        self.worker.listen(self.outcomes.append)
        self.keeper = Keeper(folder, key, max_age, self.clock)
        self._codec = codec

    def start(self) -> Self:
        """Restore, start, and wait for the start-up attempt and all listeners."""
        self.restore()
        self.worker.start()
        self.attempt_ends()
        return self

    def restore(self) -> Self:
        """Restore, and start the thread that writes."""
        self.keeper.start({KIND.name: self.worker}, {KIND.name: self._codec})
        self.worker.listen(lambda outcome: self._ended.release())
        return self

    def change(self) -> None:
        """Have one more attempt, and wait for it."""
        self.worker.notify(Trigger.WATCH)
        self.attempt_ends()

    def attempt_ends(self) -> None:
        assert self._ended.acquire(timeout=20)

    @property
    def kind(self) -> KeptKind:
        return self.keeper.kinds[KIND.name]

    @property
    def file(self) -> Path:
        return self.folder / FILE

    @property
    def served(self) -> dict[str, str] | None:
        found = self.worker.current()
        return None if found is None else dict(found.items)

    def not_written(self) -> float:
        """What Prometheus is told of a snapshot that could not be written."""
        samples = [sample for metric in KeeperMetrics(self.keeper).collect() for sample in metric.samples]
        [value] = [one.value for one in samples if one.name == "alert_refresh_snapshot_not_written"]
        return value

    def rests(self) -> Self:
        """Wait until everything is written."""
        eventually(lambda: not self.kind.differs() and not self.keeper._queued and not self.keeper._outcomes, "rest")
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.stop(30)
        self.keeper.stop()
