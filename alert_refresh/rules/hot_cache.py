"""The hot cache: a bounded LRU of the rules in use, in front of all rules (the warm set).

Each load builds a new table of hot rules, and the engine's swap replaces the warm set and the table together, so a
reader never sees a mix. A hit takes no lock: it is one dict lookup, and two stores that record when and how often the
rule was used. A miss takes the lock to promote the rule.
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
"""The fraction of hot rules, one in `BATCH`, that is evicted when the cache is full."""


class Hot:
    """A hot rule, its last use (a tick, counted over all rules), and its number of uses.

    Concurrent readers may lose a count, which affects only the order of eviction.
    """

    __slots__ = ("rule", "used", "uses")

    def __init__(self, rule: Rule, used: int = 0, uses: int = 0) -> None:
        self.rule = rule
        self.used = used
        self.uses = uses


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Size and capacity of the cache, and its counters since the start."""

    size: int = 0
    capacity: int = 0
    hits: int = 0
    misses: int = 0
    evictions: int = 0


class HotCache:
    """The state that survives a load: the capacity, the counters, and the uses of each rule.

    `counts` are the uses saved before a restart, by rule id.
    """

    def __init__(self, capacity: int, counts: Mapping[str, int]) -> None:
        self.capacity = capacity
        self._counts = counts
        self._lock = threading.Lock()
        ticks = itertools.count(1)
        self.tick: Callable[[], int] = ticks.__next__
        """The number of a use: one atomic increment, which also counts the hits."""
        self._latest: dict[str, Hot] = {}
        self._looks = 0
        self._misses = 0
        self._evictions = 0

    def table(self, rules: Mapping[str, Rule], before: Mapping[str, Hot]) -> dict[str, Hot]:
        """The hot rules of a newly loaded set: the most and most recently used, then any others, up to the capacity."""

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
        """The number of uses of each hot rule, by id; empty if none was used since the start."""
        used = self._misses or self.stats({}).hits
        return {rule_id: hot.uses for rule_id, hot in list(self._latest.items()) if hot.uses} if used else {}

    def promote(self, table: dict[str, Hot], rule: Rule | None) -> None:
        """Count a miss, and add the rule, if any, to the table; a full table first evicts the least recently used."""
        with self._lock:
            self._misses += 1
            if rule is None:
                return
            if len(table) >= self.capacity:
                batch = max(1, self.capacity // BATCH)
                for rule_id, _ in heapq.nsmallest(batch, list(table.items()), key=lambda item: item[1].used):
                    del table[rule_id]
                    self._evictions += 1
            self._looks += 1  # this tick is not a hit
            table[rule.id] = Hot(rule, self.tick(), 1)

    def stats(self, table: Mapping[str, Hot]) -> CacheStats:
        """The counters, with the size of that table."""
        with self._lock:
            return CacheStats(len(table), self.capacity, self._hits(), self._misses, self._evictions)

    def _hits(self) -> int:
        """The number of ticks, without those that were not hits."""
        self._looks += 1
        return self.tick() - self._looks
