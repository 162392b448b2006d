"""What keeping the snapshot costs, and how long restoring takes: `python -m bench keep-write keep-restore`."""

from __future__ import annotations

import gc
import itertools
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import RefreshSettings, SystemClock, Trigger, Worker
from alert_refresh.keep.keeper import Keeper
from alert_refresh.keep.key import Key
from alert_refresh.server.server import COLLECTIONS
from alert_refresh.targets import KIND, Settings
from alert_refresh.targets.keep import TargetCodec
from alert_refresh.targets.kubernetes.source import KubernetesSource
from bench.stand_in import stand_in
from bench.table import Table, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from alert_refresh.engine import Deadline, Request, Sink, Snapshot, Source, Watch

COUNT = 10_000
ROUNDS = 31
LIMIT = 1.05
PROMISED = "processor time until served"
UNITS = ("until served", PROMISED, "processor time until on the disk")
CODECS: Any = {KIND.name: TargetCodec}


class Listed:
    """Lists a cluster; while `all_change` everything is read anew and is another content each time."""

    name = "kubernetes"

    def __init__(self, source: Source[Any]) -> None:
        self._source = source
        self._numbers = itertools.count()
        self.all_change = True

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[Any]:
        if not self.all_change:
            return self._source.refresh(previous, request, deadline)
        found = self._source.refresh(None, request, deadline)
        return replace(found, digest=f"{found.digest[:128]}{next(self._numbers)}")

    def watches(self, sink: Sink) -> Sequence[Watch]:
        return ()

    def close(self) -> None:
        self._source.close()


class Kept:
    """A worker, with a keeper or without one."""

    def __init__(self, kubeconfig: Path, folder: Path | None, key: Key | None = None) -> None:
        settings = Settings(
            RefreshSettings(warmup=3600), "kubernetes", None, ("default",), "publishing-target=true", False,
            str(kubeconfig), False,
        )  # fmt: skip
        self.clock = SystemClock()
        self.source: Any = Listed(KubernetesSource(settings, self.clock))
        self.worker: Worker[Any] = Worker(KIND, self.source, settings.refresh, clock=self.clock)
        self.keeper = None if folder is None else Keeper(folder, key, None, self.clock)
        self.ended = 0
        self.worker.listen(self._count)

    def _count(self, outcome: object) -> None:
        self.ended += 1

    def start(self) -> None:
        if self.keeper is not None:
            self.keeper.start({KIND.name: self.worker}, CODECS)
        self.worker.start()
        self.rest(1)

    def stop(self) -> None:
        self.worker.stop()
        if self.keeper is not None:
            self.keeper.stop()

    def rest(self, ended: int) -> None:
        """Wait until so many attempts have ended and everything is written."""
        while self.ended < ended or (self.keeper is not None and self._writes(self.keeper)):
            time.sleep(0.0005)

    def _writes(self, keeper: Keeper) -> bool:
        return keeper.kinds[KIND.name].differs() or bool(keeper._queued or keeper._outcomes)

    def refresh(self) -> tuple[float, float, float]:
        """Seconds, and processor seconds, until one more refresh is served; processor seconds until it is written."""
        ended, began, cpu = self.ended + 1, time.perf_counter(), time.process_time()
        self.worker.notify(Trigger.FILE)
        while self.ended < ended:
            time.sleep(0.0005)
        served, took = time.process_time() - cpu, time.perf_counter() - began
        self.rest(ended)
        return took, served, time.process_time() - cpu


@contextmanager
def as_the_program_collects() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*before[:2], COLLECTIONS)
    yield
    gc.set_threshold(*before)


def writing(folder: Path) -> Table:
    table = Table(
        "Keeping: what it adds to a refresh",
        columns=("what", "without", "with", "ratio", "promised", ""),
        note=f"{COUNT:,} Secrets from the API stand-in, in turns; the best of {ROUNDS} rounds. Processor time is that"
        " of the whole process; it depends less on what else runs on the machine.",
    )
    state = folder / "kept"
    state.mkdir(mode=0o700)
    with stand_in("tests.kube", folder / "keep-kubeconfig", COUNT) as kubeconfig, as_the_program_collects():
        both = [Kept(kubeconfig, None), Kept(kubeconfig, state)]
        for one in both:
            one.start()
        for what, all_change in (("all changed", True), ("nothing changed", False)):
            taken: list[list[tuple[float, float, float]]] = [[], []]
            for one in both:
                one.source.all_change = all_change
                one.refresh()
            before = both[1].keeper.kinds[KIND.name].written_at  # type: ignore[union-attr]
            for _ in range(ROUNDS):
                for one, samples in zip(both, taken, strict=True):
                    samples.append(one.refresh())
            written = both[1].keeper.kinds[KIND.name].written_at != before  # type: ignore[union-attr]
            assert written is all_change
            for place, unit in enumerate(UNITS):
                without, kept = (min(one[place] for one in samples) for samples in taken)
                ratio, promised = kept / without, ("", "")
                if unit is PROMISED:
                    table.kept &= ratio <= LIMIT
                    promised = (f"at most {LIMIT}", "yes" if ratio <= LIMIT else "**NO**")
                table.add(f"{what}, {unit}", seconds(without), seconds(kept), f"{ratio:.3f}", *promised)
        for one in both:
            one.stop()
    return table


def restoring(folder: Path) -> Table:
    table = Table(
        "Keeping: a restart",
        note=f"{COUNT:,} targets, from the file to being served: read, checked, decoded, each target made anew and its"
        f" digest compared. The best of {ROUNDS}.",
    )
    with stand_in("tests.kube", folder / "restore-kubeconfig", COUNT) as kubeconfig, as_the_program_collects():
        for what, key in (("plain", None), ("encrypted", Key(bytes(32)))):
            state = folder / what
            state.mkdir(mode=0o700)
            first = Kept(kubeconfig, state, key)
            first.start()
            first.stop()
            size = (state / "snapshot-targets").stat().st_size
            times = []
            for _ in range(ROUNDS):
                later = Kept(kubeconfig, state, key)
                began = time.perf_counter()
                assert later.keeper is not None
                later.keeper.start({KIND.name: later.worker}, CODECS)
                times.append(time.perf_counter() - began)
                assert len(later.worker.get_status().snapshot.items) == COUNT  # type: ignore[union-attr]
                later.keeper.stop()
            table.promise(
                f"restored, {what}, {size / 1e6:.1f} MB", seconds(min(times)), "< 150 ms", kept=min(times) < 0.15
            )
    return table
