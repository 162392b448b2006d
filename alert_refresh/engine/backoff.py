"""Exponential backoff: the one way in which this program waits longer after each failure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """`base` seconds after the first failure, doubled by each further one, `maximum` at most."""

    base: float
    maximum: float

    def seconds(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row; 0 for none."""
        return min(self.base * 2.0 ** min(failures - 1, 64), self.maximum) if failures > 0 else 0.0
