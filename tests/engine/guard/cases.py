"""The table of cases of the guard: what a source says, step by step, and what is served after each step."""

from __future__ import annotations

from dataclasses import dataclass, field

INTERVAL, BACKOFF = 300.0, 30.0


def names(count: int, prefix: str = "t", first: int = 0) -> frozenset[str]:
    """So many names, such as `t00`."""
    return frozenset(f"{prefix}{number:02d}" for number in range(first, first + count))


@dataclass(frozen=True)
class Step:
    """At a time, the source has these names: by a refresh that began then, or by events of a watch.

    `decision` is a user's, made just before: `approve` or `reject`. `served` is what is served then, and `held` what of
    it is held.
    """

    at: float
    found: frozenset[str]
    served: frozenset[str]
    held: frozenset[str] = frozenset()
    events: bool = False
    decision: str = ""


@dataclass(frozen=True)
class Case:
    """What happens, in words, and its steps; a first step at 0 s serves `start`."""

    title: str
    steps: tuple[Step, ...]
    start: frozenset[str] = field(default_factory=lambda: names(10))


TEN, FOUR, FIVE, NONE = names(10), names(4), names(5), frozenset[str]()

CASES = (
    Case("half of ten go: not more than the limit", (Step(300, FIVE, FIVE),)),
    Case("six of ten go: held, and gone with the next refresh that misses them", (
        Step(300, FOUR, TEN, TEN - FOUR),
        Step(330, FOUR, FOUR),
    )),
    Case("an empty list once, then all again", (
        Step(300, NONE, TEN, TEN),
        Step(330, TEN, TEN),
    )),
    Case("an empty list twice", (
        Step(300, NONE, TEN, TEN),
        Step(330, NONE, NONE),
    )),
    Case("the only item of a small set goes", (
        Step(300, NONE, names(1), names(1)),
        Step(330, NONE, NONE),
    ), names(1)),
    Case("eight of nine go: a small set, and one remains", (Step(300, names(1), names(1)),), names(9)),
    Case("a refresh too early confirms nothing", (
        Step(300, NONE, TEN, TEN),
        Step(310, NONE, TEN, TEN),
        Step(330, NONE, NONE),
    )),
    Case("events take one item after the other: they add up within an interval", (
        Step(301, names(9), names(9), events=True),
        Step(302, names(8), names(8), events=True),
        Step(303, names(7), names(7), events=True),
        Step(304, names(6), names(6), events=True),
        Step(305, FIVE, FIVE, events=True),
        Step(306, FOUR, FIVE, FIVE - FOUR, events=True),
        Step(336, FOUR, FOUR),
    )),
    Case("slow removals, each in an interval of its own, are none at once", (
        Step(301, names(7), names(7), events=True),
        Step(602, FOUR, FOUR, events=True),
        Step(903, names(2), names(2), events=True),
    )),
    Case("events never confirm, a refresh does", (
        Step(301, FOUR, TEN, TEN - FOUR, events=True),
        Step(340, names(3), TEN, TEN - names(3), events=True),
        Step(371, names(3), names(3)),
    )),
    Case("a namespace with six of ten targets vanishes, and another gets new ones: additions are served at once", (
        Step(300, FOUR | names(3, "n"), TEN | names(3, "n"), TEN - FOUR),
        Step(330, FOUR | names(3, "n"), FOUR | names(3, "n")),
    )),
    Case("a list of another cluster: its targets are served, the others held", (
        Step(300, names(10, "x"), TEN | names(10, "x"), TEN),
        Step(330, names(10, "x"), names(10, "x")),
    )),
    Case("more go while some are held: each is confirmed by itself", (
        Step(300, FOUR, TEN, TEN - FOUR),
        Step(320, NONE, TEN, TEN),
        Step(330, NONE, FOUR, FOUR),
        Step(350, NONE, NONE),
    )),
    Case("some of the held come back: the others stay held until they are confirmed", (
        Step(300, FOUR, TEN, TEN - FOUR),
        Step(315, names(8), TEN, TEN - names(8)),
        Step(330, names(8), names(8)),
    )),
    Case("an addition does not release what is held", (
        Step(300, FOUR | names(3, "n"), TEN | names(3, "n"), TEN - FOUR),
        Step(301, FOUR | names(3, "n"), TEN | names(3, "n"), TEN - FOUR),
    )),
    Case("a small removal beside a hold goes through", (
        Step(300, names(14), names(40), names(40) - names(14)),
        Step(310, names(14) | names(5, "n"), names(40) | names(5, "n"), names(40) - names(14)),
        Step(330, names(14) | names(5, "n"), names(14) | names(5, "n")),
    ), names(40)),
    Case("approved: gone at once", (
        Step(300, NONE, TEN, TEN),
        Step(301, NONE, NONE, decision="approve"),
    )),
    Case("rejected: stays while exactly these are absent, whatever refreshes say", (
        Step(300, FOUR, TEN, TEN - FOUR),
        Step(330, FOUR, TEN, TEN - FOUR, decision="reject"),
        Step(600, FOUR, TEN, TEN - FOUR),
        Step(900, FOUR | names(2, "n"), TEN | names(2, "n"), TEN - FOUR),
    )),
    Case("rejected, then the source changes: held anew, and confirmed", (
        Step(300, FOUR, TEN, TEN - FOUR),
        Step(310, FOUR, TEN, TEN - FOUR, decision="reject"),
        Step(600, names(3), TEN, TEN - names(3)),
        Step(630, names(3), names(3)),
    )),
    Case("rejected, then all come back: the next removal is judged anew", (
        Step(300, FOUR, TEN, TEN - FOUR),
        Step(310, FOUR, TEN, TEN - FOUR, decision="reject"),
        Step(600, TEN, TEN),
        Step(900, FOUR, TEN, TEN - FOUR),
        Step(930, FOUR, FOUR),
    )),
    Case("what was confirmed is the new baseline: the next removal counts against what remained", (
        Step(300, names(12), names(30), names(30) - names(12)),
        Step(330, names(12), names(12)),
        Step(340, names(8), names(8)),
        Step(345, FIVE, names(8), names(8) - FIVE),
    ), names(30)),
    Case("a set that grew counts in full", (
        Step(100, names(20), names(20)),
        Step(300, TEN, TEN),
    )),
    Case("held by an emptied folder that is mounted again", (
        Step(300, NONE, names(3), names(3)),
        Step(320, names(3), names(3)),
    ), names(3)),
)  # fmt: skip
