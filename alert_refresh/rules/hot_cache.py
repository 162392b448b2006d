"""The hot cache: the rules in use, bounded, in front of all rules (the warm set).

Each load makes a new table of hot rules beside the one being read, and the engine's one swap replaces both
the warm set and the table, so a reader sees one or the other. A hit takes no lock: it is one look into a
dict, and two stores that tell when and how often the rule was used. A miss takes the lock to promote.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alert_refresh.rules.rule import Rule

BATCH = 10
"""One in so many hot rules is evicted at a time when the cache is full."""


class Hot:
    """A hot rule, when it was used last (in uses of any rule), and how often.

    Two readers at once may count one use instead of two: that changes which rule is evicted first, nothing else.
    """

    __slots__ = ("rule", "used", "uses")

    def __init__(self, rule: Rule, used: int = 0, uses: int = 0) -> None:
        self.rule = rule
        self.used = used
        self.uses = uses


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Hot rules now, how many there may be, and what has been counted since the start."""

    size: int = 0
    capacity: int = 0
    hits: int = 0
    misses: int = 0
    evictions: int = 0


class HotCache:
    """What outlives a load: the capacity, the counts, and which rules were used most.

    `counts` are the uses kept from before a restart, by rule id.
    """

    def __init__(self, capacity: int, counts: Mapping[str, int]) -> None:
        self.capacity = capacity
        self._counts = counts
        self._lock = threading.Lock()
        ticks = itertools.count(1)
        self.tick: Callable[[], int] = ticks.__next__
        """The number of this use: one atomic step, which also counts the hits."""
        self._latest: dict[str, Hot] = {}
        self._looks = 0
        self._misses = 0
        self._evictions = 0

    def table(self, rules: Mapping[str, Rule], before: Mapping[str, Hot]) -> dict[str, Hot]:
        """The hot rules of a newly loaded set: those used most and latest, then any, up to the capacity."""

        used = {rule_id: (count, 0) for rule_id, count in self._counts.items()}
        used |= {rule_id: (hot.uses, hot.used) for rule_id, hot in list(before.items()) if hot.uses}
        ranked = sorted((rule_id for rule_id in used if rule_id in rules), key=used.__getitem__, reverse=True)
        table: dict[str, Hot] = {}
        for rule_id in itertools.chain(ranked, rules):
            if len(table) == self.capacity:
                break
            if rule_id not in table:
                uses, last = used.get(rule_id, (0, 0))
                table[rule_id] = Hot(rules[rule_id], last, uses)
        self._latest = table
        return table

    def uses(self) -> dict[str, int]:
        """How often each hot rule was used, by id; empty if none was since the start."""
        used = self._misses or self.stats({}).hits
        return {rule_id: hot.uses for rule_id, hot in list(self._latest.items()) if hot.uses} if used else {}

    def promote(self, table: dict[str, Hot], rule: Rule | None) -> None:
        """Count a miss, and make the rule hot if there is one; a full table first loses those unused for longest."""
        with self._lock:
            self._misses += 1
            if rule is None:
                return
            if len(table) >= self.capacity:
                batch = max(1, self.capacity // BATCH)
                for rule_id, _ in heapq.nsmallest(batch, list(table.items()), key=lambda item: item[1].used):
                    del table[rule_id]
                    self._evictions += 1
            self._looks += 1  # this tick is no hit
            table[rule.id] = Hot(rule, self.tick(), 1)

    def stats(self, table: Mapping[str, Hot]) -> CacheStats:
        """The counts, with the size of that table."""
        with self._lock:
            return CacheStats(len(table), self.capacity, self._hits(), self._misses, self._evictions)

    def _hits(self) -> int:
        """How many ticks there were, but for those taken to look."""
        self._looks += 1
        return self.tick() - self._looks
