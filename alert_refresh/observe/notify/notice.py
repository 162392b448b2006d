"""What there is to tell: pure functions from outcomes and holds to notices."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from alert_refresh.engine import Result
from alert_refresh.observe.formats import escape
from alert_refresh.observe.outcomes import ALERT_AFTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alert_refresh.engine import Hold, Outcome

LONGEST = 1000
"""Characters of an error or a name that are told; longer ones are cut."""
MAX_NAMES = 20
"""Names of held items that are told; of the others the number."""


class Reason(StrEnum):
    """What is wrong with a kind."""

    FAILING = "failing"
    HELD = "held"


class Status(StrEnum):
    """Whether it is wrong now, or was."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell. Times are Unix seconds; `starts_at` is None if this process did not see the beginning.

    `attempts` counts the failed ones. `names` are the first of `held` items whose removal waits, `proposal` is the hash
    that approves it. All text is printable and bounded.
    """

    kind: str
    reason: Reason
    status: Status
    summary: str
    starts_at: float | None
    ends_at: float | None = None
    error: str | None = None
    error_type: str | None = None
    attempts: int | None = None
    proposal: str | None = None
    held: int | None = None
    names: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What it is about: a firing and a resolved notice of the same belong together."""
        return self.kind, self.reason

    @property
    def firing(self) -> bool:
        """Whether it tells of a beginning."""
        return self.status is Status.FIRING


def failing_notice(outcome: Outcome, since: float | None) -> Notice | None:
    """The notice of an attempt that ended, None if its kind neither keeps failing nor has just recovered.

    Each attempt of a streak from the third on has one; which of them is sent is decided elsewhere. `since` is when the
    first attempt of the streak began.
    """
    kind = outcome.kind.capitalize()
    if outcome.result is Result.FAILED and outcome.consecutive_failures >= ALERT_AFTER:
        return Notice(
            kind=outcome.kind,
            reason=Reason.FAILING,
            status=Status.FIRING,
            summary=f"{kind} could not be refreshed {outcome.consecutive_failures} times in a row",
            starts_at=since,
            error=_shown(outcome.error),
            error_type=outcome.error_type,
            attempts=outcome.consecutive_failures,
        )
    if outcome.result is Result.SUCCESS and outcome.streak_before >= ALERT_AFTER:
        return Notice(
            kind=outcome.kind,
            reason=Reason.FAILING,
            status=Status.RESOLVED,
            summary=f"{kind} were refreshed again after {outcome.streak_before} failures",
            starts_at=since,
            ends_at=outcome.started_at + outcome.duration,
            attempts=outcome.streak_before,
        )
    return None


ENDED: Mapping[str, str] = MappingProxyType(
    {
        "confirmed": "was confirmed",
        "approved": "was approved",
        "rejected": "was rejected: what was served stays",
        "returned": "has ended: what was missing is there again",
    }
)
"""How a hold ends, by the word of the guard."""


def held_notice(kind: str, before: Hold | None, after: Hold | None, at: float, ended: str = "") -> Notice | None:
    """The notice of a change from one hold to another at `at`, None if there is nothing new to tell.

    A proposal is told once, as long as it is neither rejected nor replaced; its end is told once, too. `ended` says
    how it ended, if that is known: a word of `ENDED`.
    """
    old, new = _waiting(before), _waiting(after)
    if new is not None and (old is None or old.proposal != new.proposal):
        return _about(kind, new, Status.FIRING, "is held until a refresh confirms it")
    if old is not None and new is None:
        word = "rejected" if after is not None else ended
        return _about(kind, old, Status.RESOLVED, ENDED.get(word, "is not held any more"), at)
    return None


def _waiting(hold: Hold | None) -> Hold | None:
    return None if hold is None or hold.rejected else hold


def _about(kind: str, hold: Hold, status: Status, said: str, ends_at: float | None = None) -> Notice:
    items = kind if len(hold.names) != 1 else kind.removesuffix("s")
    return Notice(
        kind=kind,
        reason=Reason.HELD,
        status=status,
        summary=f"The removal of {len(hold.names)} {items} {said}",
        starts_at=hold.since,
        ends_at=ends_at,
        proposal=_shown(hold.proposal),
        held=len(hold.names),
        names=_first(hold.names),
    )


def _first(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(_shown(name) or "" for name, _ in zip(names, range(MAX_NAMES), strict=False))


def _shown(text: str | None) -> str | None:
    """A text without unprintable characters, and not longer than `LONGEST`."""
    if text is None:
        return None
    printable = escape(text[:LONGEST])
    return printable if len(printable) <= LONGEST else printable[: LONGEST - 1] + "…"
