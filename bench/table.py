"""Measurements as Markdown tables, and the few numbers taken from many samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def quantile(samples: Sequence[float], share: float) -> float:
    """The value that this share of the samples does not exceed."""
    return sorted(samples)[max(0, math.ceil(len(samples) * share) - 1)]


def median(samples: Sequence[float]) -> float:
    return quantile(samples, 0.5)


def seconds(value: float) -> str:
    """A duration in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def spread(samples: Sequence[float]) -> str:
    """Median and 99th percentile of durations."""
    return f"{seconds(median(samples))} (p99 {seconds(quantile(samples, 0.99))})"


@dataclass(eq=False)
class Table:
    """One table; `kept` turns false when a measurement does not keep what was promised."""

    title: str
    columns: tuple[str, ...] = ("what", "measured", "promised", "")
    note: str = ""
    rows: list[tuple[str, ...]] = field(default_factory=list)
    kept: bool = True

    def add(self, *cells: str) -> None:
        self.rows.append(cells)

    def promise(self, what: str, measured: str, promised: str, *, kept: bool) -> None:
        """A row that says whether a promise is kept."""
        self.kept &= kept
        self.add(what, measured, promised, "yes" if kept else "**NO**")

    def __str__(self) -> str:
        lines = [f"### {self.title}", "", *([self.note, ""] if self.note else [])]
        lines += [f"| {' | '.join(self.columns)} |", f"|{'---|' * len(self.columns)}"]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n".join(lines) + "\n"
