"""What a reader of hot rules notices of 10,000 swaps. By itself: `python -m bench rules-swap`."""

from __future__ import annotations

import sys
import threading
import time
from array import array
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Deadline, RefreshSettings, Request, Snapshot, SystemClock, Trigger, Worker
from alert_refresh.engine.guard.ruling import Ruling
from alert_refresh.rules import KIND
from alert_refresh.rules.hot_cache import HotCache
from alert_refresh.rules.rule_set import rule_set
from alert_refresh.server.server import SWITCH_INTERVAL
from bench.rules import FEW, loaded, rules
from bench.table import Table, quantile, seconds
from tests.fakes import FakeSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alert_refresh.engine import Outcome
    from alert_refresh.rules.rule import Rule

ROUNDS, EACH = 100, 100
"""Rounds, and swaps in a round: 10,000 in all."""
APART = 0.001
"""Seconds between two swaps that do not come one right after another."""
ALONE = 0.05
"""Seconds of a round without swaps."""
KEPT = 4
"""One in so many timed reads is kept: they are many."""


class Reader:
    """A thread that reads one rule after another. `times` are nanoseconds by what was read and what ran beside it."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids
        self._task: tuple[str, Callable[[str], Rule | None]] | None = None
        self._changed = threading.Condition()
        self._ended = False
        self.times: dict[str, array[int]] = defaultdict(lambda: array("Q"))
        self.missed = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def beside(self, work: Callable[[], None], name: str, read: Callable[[str], Rule | None]) -> None:
        """Call `read` again and again while `work` runs."""
        self._change((name, read))
        work()
        self._change(None)

    def end(self) -> None:
        self._ended = True
        self._change(None)
        self._thread.join()

    def _change(self, task: tuple[str, Callable[[str], Rule | None]] | None) -> None:
        with self._changed:
            self._task = task
            self._changed.notify()

    def _run(self) -> None:
        while not self._ended:
            with self._changed:
                self._changed.wait_for(lambda: self._task or self._ended)
                task = self._task
            if task is not None:
                self._read(task)

    def _read(self, task: tuple[str, Callable[[str], Rule | None]]) -> None:
        (name, read), now = task, time.perf_counter_ns
        times = self.times[name]
        while self._task is task:
            for number, rule_id in enumerate(self._ids):
                began = now()
                rule = read(rule_id)
                took = now() - began
                if not number % KEPT:
                    times.append(took)
                if rule is None:
                    self.missed += 1
                if self._task is not task:
                    break


def two_versions() -> list[Snapshot[Rule]]:
    """The same rules with two different descriptions."""
    cache, versions = HotCache(10_000, {}), list[Snapshot[Any]]()
    for word in ("first", "other"):
        found = loaded(rules(FEW, word), cache, rule_set(versions[-1]) if versions else None)
        versions.append(Snapshot(found.rules, digest=word, memo=found))
    return versions


class Swaps:
    """A worker that publishes one of two versions and then the other, and a plain dict that is replaced as often."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.versions = two_versions()
        self.dicts = [dict(version.items) for version in self.versions]
        self.plain = self.dicts[0]
        source: Any = FakeSource(lambda number: self.versions[number % 2])  # type: ignore[arg-type, return-value]
        self.worker: Worker[Rule] = Worker(KIND, source, RefreshSettings(warmup=3600.0))
        self._swapped = threading.Semaphore(0)
        self.worker.listen(self._listen)
        self.worker.start()
        self._swapped.acquire()
        run = self.worker.get_status().run
        self._requests = [Request(Trigger.FILE, run=run) for _ in range(EACH)]

    def _listen(self, outcome: Outcome) -> None:
        assert outcome.changed
        self._swapped.release()

    def read(self, rule_id: str) -> Rule | None:
        found = rule_set(self.worker.get_status().snapshot)
        return None if found is None else found.get(rule_id)

    def read_plain(self, rule_id: str) -> Rule | None:
        return self.plain[rule_id]

    def none(self) -> None:
        time.sleep(ALONE)

    def busy(self) -> None:
        until = time.perf_counter() + ALONE
        while time.perf_counter() < until:
            self.worker.get_status()

    def swap(self, number: int) -> None:
        state = self.worker.state
        attempt = state.begin(self._requests[number], 1, Deadline(self._clock, 60))
        found = self.versions[number % 2]
        state.finish(attempt, Ruling(found, found), None)
        self.plain = self.dicts[number % 2]

    def swaps(self) -> None:
        for number in range(EACH):
            self.swap(number)

    def swaps_apart(self) -> None:
        for number in range(EACH):
            self.swap(number)
            time.sleep(APART)

    def refreshes(self) -> None:
        for _ in range(EACH):
            self.worker.notify(Trigger.FILE)
            self._swapped.acquire()


def swapping() -> Table:
    """The rise of the 99th percentile of a read."""
    table = Table(
        "Rules: what a reader notices of 10,000 swaps",
        columns=("what runs beside the reader", "p99 of a read", "rise", "p99.99", "reads", "promised", ""),
        note="A thread reads hot rules out of 1,234, from the worker's status on, each read timed; beside it another"
        " does what the row says. They take turns, 100 times: the machine's speed changes by more than what is"
        " measured. Threads change hands as in the daemon. The first reads after a swap find their memory in the other"
        " processor's cache: swaps without a pause raise the p99 of a plain dict behind one attribute too.",
    )
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    it = Swaps()
    reader = Reader(list(it.versions[0].items))
    nothing, apart, plain = "nothing", "10,000 swaps, 1 ms apart", "a plain dict: nothing"
    works = {
        nothing: (it.none, it.read),
        "a thread busy with something else": (it.busy, it.read),
        apart: (it.swaps_apart, it.read),
        "10,000 swaps without a pause": (it.swaps, it.read),
        "10,000 whole refreshes without a pause": (it.refreshes, it.read),
        plain: (it.none, it.read_plain),
        "a plain dict: a thread busy with something else": (it.busy, it.read_plain),
        "a plain dict: 10,000 swaps, 1 ms apart": (it.swaps_apart, it.read_plain),
        "a plain dict: 10,000 swaps without a pause": (it.swaps, it.read_plain),
    }
    for _ in range(ROUNDS):
        for name, (work, read) in works.items():
            reader.beside(work, name, read)
    reader.end()
    sys.setswitchinterval(before)
    it.worker.stop()
    times = {name: sorted(reader.times[name]) for name in works}
    p99 = {name: quantile(times[name], 0.99) / 1e9 for name in works}
    for name in works:
        rise = p99[name] / p99[plain if name.startswith("a plain dict") else nothing] - 1
        kept = rise <= 0.2 if name == apart else None
        table.kept &= kept is not False
        table.add(
            name,
            seconds(p99[name]),
            f"{rise:+.0%}",
            seconds(quantile(times[name], 0.9999) / 1e9),
            f"{len(reader.times[name]) * KEPT:,}",
            "" if kept is None else "at most +20%",
            {None: "", True: "yes", False: "**NO**"}[kept],
        )
    table.add("reads that found nothing", "", "", "", str(reader.missed), "0", "**NO**" if reader.missed else "yes")
    table.kept &= not reader.missed
    return table
