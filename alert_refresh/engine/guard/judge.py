"""The mass-removal guard: which items that a source no longer has are removed, and which are held. Pure.

A refresh that would remove too much at once is more often a fault (an empty list, a wrong place, an unmounted folder)
than intended. Such removals are held: the items stay until a later refresh confirms that they are absent or
somebody approves. Additions and changes are never held.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


TOGETHER = 1.0
"""Seconds within which a watch may tell of the removals of one cause."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When removals are held, and for how long at least.

    More than the fraction `max_removal` of at least `smallest` items, counted against the largest set served within
    the last `window` seconds, or all that there are. `confirm_after` are the seconds between the refresh that first
    misses an item and the one that confirms it.
    """

    max_removal: float = 0.5
    smallest: int = 10
    window: float = 300.0
    confirm_after: float = 30.0


@dataclass(frozen=True, slots=True)
class Hold:
    """Removals that are held: the names, sorted, since when (Unix seconds), and the hash that approves them.

    A `rejected` one stays while exactly these names are absent, and no refresh confirms it.
    """

    names: tuple[str, ...]
    since: float
    rejected: bool = False

    @property
    def proposal(self) -> str:
        """The same for the same names."""
        return sha256(repr(self.names).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class History:
    """What the guard remembers. Times are monotonic.

    `absent` maps each held name to when it was first missed. `removed` are the unconfirmed removals of the last
    window. `peaks` are sizes that were served before them, ever smaller ones, each with the time until which it was.
    `rejected` are the names of a rejected hold. `ended` says how the last decision ended a hold: `confirmed` (of some
    names at least), `approved` or `returned`; empty if it ended none.
    """

    hold: Hold | None = None
    absent: Mapping[str, float] = field(default_factory=dict)
    removed: Mapping[str, float] = field(default_factory=dict)
    peaks: tuple[tuple[float, int], ...] = ()
    rejected: frozenset[str] = frozenset()
    ended: str = ""

    def confirm_at(self, limits: Limits) -> float | None:
        """When a refresh may confirm held removals, those together that were missed together; None without any."""
        if self.hold is None or self.hold.rejected:
            return None
        first = min(self.absent.values())
        return max(at for at in self.absent.values() if at <= first + TOGETHER) + limits.confirm_after

    @classmethod
    def restored(cls, hold: Hold, now: float) -> History:
        """The history after a restart: the hold goes on, and a refresh may confirm it one backoff later."""
        rejected = frozenset(hold.names) if hold.rejected else frozenset[str]()
        return cls(hold, dict.fromkeys(hold.names, now), rejected=rejected)

    def approved(self) -> History:
        """The history after the held removals were approved: what remains is the new baseline."""
        return History(ended="approved")

    def reject(self) -> History:
        """The history after the held removals were rejected."""
        assert self.hold is not None
        return replace(self, hold=replace(self.hold, rejected=True), rejected=frozenset(self.hold.names), ended="")


@dataclass(frozen=True, slots=True)
class Times:
    """The moment of a decision: monotonic, Unix seconds, and when the attempt began (monotonic), None without one."""

    now: float
    wall: float
    began: float | None = None


NO_HISTORY = History()


def judge(
    history: History, size: int, gone: frozenset[str], found: Collection[str], times: Times, limits: Limits
) -> History:
    """Decide on the names `gone`, which are served (`size` items in all) and not `found`.

    Returns the new history. Its hold names what stays; all other names of `gone` are removed. What is held stays held
    until it is confirmed, approved or found again.
    """
    before = history.hold
    if gone and gone == history.rejected:
        return replace(history, ended="")
    absent = _absent(history, gone, times)
    confirmed = frozenset(name for name in gone if _is_confirmed(absent[name], times, limits))
    rest = gone - confirmed
    begin = times.now - limits.window
    removed = {
        name: at for name, at in history.removed.items() if at > begin and name not in found and name not in gone
    }
    peaks = tuple((until, one) for until, one in history.peaks if until > begin and one > size)
    if confirmed:
        removed, peaks, size = {}, (), size - len(confirmed)
    largest = max([size, *(one for _, one in peaks)])
    held = rest if _is_too_much(len(rest) + len(removed), largest, found, limits) else rest & history.absent.keys()
    if rest - held:
        removed |= dict.fromkeys(rest - held, times.now)
        peaks = (*peaks, (times.now, size))
    since = times.wall if before is None or before.rejected else before.since
    hold = Hold(tuple(sorted(held)), since) if held else None
    ended = "confirmed" if confirmed else "returned" if before is not None and hold is None else ""
    absent = {name: absent[name] for name in held}
    return History(hold, absent, removed, peaks if removed else (), ended=ended)


def change(before: History, after: History) -> str:
    """What a decision changed about a hold, in one word; empty for nothing.

    `held`: removals are held; `changed`: others than before; `rejected`: by a user; `confirmed`: some at least were, by
    a refresh; `approved`: by a user; `returned`: all that was held was found again.
    """
    if after is before or (after.hold == before.hold and not after.ended):
        return ""
    if after.ended or after.hold is None:
        return after.ended
    if before.hold is None:
        return "held"
    return "rejected" if after.hold.rejected and not before.hold.rejected else "changed"


def _absent(history: History, gone: frozenset[str], times: Times) -> dict[str, float]:
    """Since when each of these names is missed; after a rejection that no longer applies, since now."""
    known = {} if history.rejected else history.absent
    return {name: known.get(name, times.now) for name in gone}


def _is_confirmed(since: float, times: Times, limits: Limits) -> bool:
    """Whether an attempt that began late enough misses the name again."""
    return times.began is not None and since < times.began and times.began >= since + limits.confirm_after


def _is_too_much(removals: int, largest: int, found: Collection[str], limits: Limits) -> bool:
    return not found or (largest >= limits.smallest and removals > limits.max_removal * largest)
