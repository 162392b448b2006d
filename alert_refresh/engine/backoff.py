"""Exponential backoff, for every retry in this program."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """`base` seconds after the first failure, doubled after each further one, at most `maximum`."""

    base: float
    maximum: float

    def seconds(self, failures: int) -> float:
        """Seconds to wait after this many consecutive failures; 0 after none."""
        return min(self.base * 2.0 ** min(failures - 1, 64), self.maximum) if failures > 0 else 0.0
