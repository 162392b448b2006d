"""Which of many parts of a configuration are refused. Pure, but for the questions that are asked.

A search may end early: then what it found so far stands, and a later one goes on with the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alert_refresh.engine import AttemptError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    Passes = Callable[[Collection[str]], bool]
    Refused = Callable[[Sequence[Sequence[str]]], Iterable[bool]]

PIECES = 32
"""Into so many pieces a refused one is cut where many are checked in one call."""


class Split:
    """What is known of these parts: `passed`, `culprits`, and `error`, which ended the search early.

    `nothing_passes` says that a configuration is refused even without any of them.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = parts
        self.passed: list[str] = []
        self.culprits: list[str] = []
        self.nothing_passes = False
        self.error: AttemptError | None = None

    @property
    def untried(self) -> list[str]:
        """The parts of which nothing is known."""
        known = {*self.passed, *self.culprits}
        return [part for part in self._parts if part not in known]


def halve(parts: Sequence[str], passes: Passes) -> Split:
    """Find the culprits by halving.

    `passes(accepted)` says whether a configuration passes that has these of the parts. For one culprit among n it is
    asked about 2 log2(n) times; culprits that stand beside each other take two questions each. What passes only alone,
    and not together with another, is a culprit as well: the later one of the two.
    """
    split = Split(parts)
    todo = [parts] if parts else []
    try:
        split.nothing_passes = not parts and not passes(())
        while todo:
            part = todo.pop()
            if passes((*split.passed, *part)):
                split.passed += part
            elif len(part) > 1:
                middle = len(part) // 2
                todo += [part[middle:], part[:middle]]
            elif split.passed or split.culprits or passes(()):
                split.culprits += part
            else:
                split.nothing_passes = True
                break
    except AttemptError as error:
        split.error = error
    return split


def apart(parts: Sequence[str], refused: Refused) -> Split:
    """Find the parts that are refused by themselves, without any of the others.

    `refused(pieces)` says it of each of these pieces, in their order. One culprit among n takes log32(n) calls, and
    however many there are, the calls are no more.
    """
    split = Split(parts)
    pieces = _cut(parts)
    try:
        while pieces:
            smaller: list[Sequence[str]] = []
            for piece, is_refused in zip(pieces, refused(pieces), strict=True):
                if not is_refused:
                    split.passed += piece
                elif len(piece) > 1:
                    smaller += _cut(piece)
                else:
                    split.culprits += piece
            pieces = smaller
    except AttemptError as error:
        split.error = error
    return split


def _cut(parts: Sequence[str]) -> list[Sequence[str]]:
    """These parts in pieces of the same size, as far as there are enough."""
    size = -(-len(parts) // PIECES)
    return [parts[start : start + size] for start in range(0, len(parts), size)] if parts else []
