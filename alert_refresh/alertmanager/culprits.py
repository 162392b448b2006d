"""Which of many changes Alertmanager refuses, found by halving. Pure, but for the question that it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    Passes = Callable[[Collection[str]], bool]


def culprits(candidates: Sequence[str], passes: Passes) -> list[str] | None:
    """The candidates to leave out, so that the others pass; None if nothing passes even without any of them.

    `passes(accepted)` says whether a configuration passes that has these of the candidates. For one culprit among n it
    is asked about 2 log2(n) times. What passes only alone, and not together with another, is left out as well: the
    later one of the two.
    """
    if not passes(()):
        return None
    accepted: list[str] = []
    left_out: list[str] = []

    def seek(part: Sequence[str]) -> None:
        """Accept what passes of this part, together with what was accepted before."""
        if passes((*accepted, *part)):
            accepted.extend(part)
        elif len(part) == 1:
            left_out.extend(part)
        else:
            middle = len(part) // 2
            seek(part[:middle])
            seek(part[middle:])

    if candidates:
        seek(candidates)
    return left_out
