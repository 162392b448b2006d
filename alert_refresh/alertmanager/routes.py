"""Rules or filters to routes: each target is notified of an alert once, however many of its rules match."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from alert_refresh.alertmanager.inputs import unlimited
from alert_refresh.alertmanager.matchers import Conjunction
from alert_refresh.alertmanager.template import PREFIX
from alert_refresh.alertmanager.tree import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from alert_refresh.alertmanager.inputs import Check
    from alert_refresh.rules.matcher import Matcher
    from alert_refresh.rules.rule import Rule

T = TypeVar("T")

MOST_OF_ONE = 64
"""Routes that one target may take so as to be notified once."""
MOST_OF_ALL = 5000
"""Routes that all targets whose rules overlap may take together."""
MOST_STEPS = 100_000
"""Pairs of rules that are compared, and parts of rules that are made, each by its weight."""

FEW = 16
"""Rules that are compared each with each."""

Place = int
"""Where a route comes: the rank of its rule times `SPACE`, and which part of the rule it is."""
SPACE = 1 << 16


Part = tuple[Place, Conjunction]
"""A rule, or what is left of it, where it comes."""


@dataclass(frozen=True, slots=True)
class Disjoint:
    """The rules of one target made disjoint.

    `whole` are those that no other one contains, `split` what is left of them where some had to be split, else empty.
    `overlap`: an alert may be accepted by two. It took this many `steps`.
    """

    whole: Sequence[Part]
    split: Sequence[Part] = ()
    overlap: bool = False
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Routes:
    """Routes as items of the list `routes`, the number of those that lead to a target, and the targets that overlap."""

    text: str
    count: int
    overlapping: tuple[str, ...] = ()


def from_rules(rules: Iterable[Rule], targets: Mapping[str, object], check: Check = unlimited) -> Routes:
    """The routes of enabled rules, by falling priority, then id, to those targets that are in `targets`.

    `check` is called before each target.
    """
    ordered = sorted(rules, key=lambda rule: (-rule.priority, rule.id))
    parts = [(rank * SPACE, Conjunction(rule.match)) for rank, rule in enumerate(ordered)]
    ranks: dict[str, list[int]] = defaultdict(list)
    for rank, rule in enumerate(ordered):
        if not parts[rank][1].impossible:
            for name in set(rule.targets):
                if name in targets:
                    ranks[name].append(rank)
    groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name, of_target in sorted(ranks.items()):
        groups[tuple(of_target)].append(name)
    budget, found = MOST_STEPS, []
    for group, names in sorted(groups.items(), key=lambda one: (len(one[0]), one[0])):
        check()
        result = disjoint([parts[rank] for rank in group], budget)
        budget -= result.steps
        found.append((result, names))
    return _written(*_chosen(found))


def _chosen(found: list[tuple[Disjoint, list[str]]]) -> tuple[dict[Part, list[str]], tuple[str, ...]]:
    """The targets of each part that is written, and which of them overlap: those that would take most are not split."""
    left, overlapping = MOST_OF_ALL, []
    chosen: dict[Part, list[str]] = defaultdict(list)
    for result, names in sorted(found, key=lambda one: (len(one[0].split), one[1])):
        for name in names:
            left -= len(result.split)
            if result.overlap or (result.split and left < 0):
                overlapping.append(name)
            for part in result.split if left >= 0 and result.split else result.whole:
                chosen[part].append(name)
    return chosen, tuple(sorted(overlapping))


def from_filters(filters: Mapping[str, Sequence[Matcher]]) -> Routes:
    """One route to each target, by name."""
    found = {(0, Conjunction(matchers)): [name] for name, matchers in sorted(filters.items())}
    return _written({part: names for part, names in found.items() if not part[1].impossible}, ())


def disjoint(rules: Sequence[Part], budget: int = MOST_STEPS) -> Disjoint:
    """The rules of one target, in their order, made disjoint in about `budget` steps at most."""
    if len(rules) == 1 or _exclusive(rules):
        return Disjoint(rules)
    compared = _Compared(rules, budget)
    kept, steps = sorted(compared.kept), compared.count
    whole = [rules[at] for at in kept]
    if compared.exhausted or not any(compared.overlaps.values()):
        return Disjoint(whole, (), compared.exhausted, steps)
    overlaps = {at: [other for other in compared.overlaps[at] if other in compared.kept] for at in kept}
    if not any(overlaps.values()):
        return Disjoint(whole, (), False, steps)
    parts: list[Part] = []
    for at in kept:
        place, conjunction = rules[at]
        pieces = [conjunction]
        for other in overlaps[at]:
            if len(parts) + len(pieces) > MOST_OF_ONE or steps > budget:
                return Disjoint(whole, (), True, steps)
            pieces = [left for piece in pieces for left in piece.without(rules[other][1])]
            steps += sum(piece.weight for piece in pieces)
        parts += [(place + number, piece) for number, piece in enumerate(pieces)]
    fits = len(parts) <= MOST_OF_ONE
    return Disjoint(whole, parts if fits else (), not fits, steps)


def _exclusive(rules: Sequence[Part]) -> bool:
    """Whether one label alone shows that no alert is accepted by two of the rules, as it mostly does."""
    for name in rules[0][1].values:
        values = [one.values.get(name, ()) for _, one in rules]
        if () not in values and sum(map(len, values)) == len(set(chain.from_iterable(values))):
            return True
    return False


class _Compared:
    """Rules of one target, compared with each other.

    `kept` are those that no other one contains, by index; `overlaps` for each the earlier ones that may accept the
    same alert; `exhausted`: there are more pairs than may be compared.
    """

    def __init__(self, rules: Sequence[Part], budget: int) -> None:
        self.kept: set[int] = set()
        self.overlaps: dict[int, list[int]] = {}
        self.count = 0
        self.exhausted = False
        self._rules = [conjunction for _, conjunction in rules]
        weights = [one.weight for one in self._rules]
        before = _Candidates(self._rules).before if len(rules) > FEW else range
        for at in range(len(rules)):
            earlier = [other for other in before(at) if other in self.kept]
            self.count += sum(max(weights[at], weights[other]) for other in earlier)
            if self.count > budget:
                self.exhausted = True
                self.kept |= set(range(at, len(rules)))
                break
            self._add(at, earlier)

    def _add(self, at: int, earlier: list[int]) -> None:
        one, overlaps = self._rules[at], []
        for index in earlier:
            other = self._rules[index]
            if one.excludes(other):
                continue
            if one.within(other):
                return
            if other.within(one):
                self.kept.discard(index)
            else:
                overlaps.append(index)
        self.kept.add(at)
        self.overlaps[at] = overlaps


class _Candidates:
    """Finds the conjunctions that may overlap with one, by the values of the label that most of them restrict."""

    def __init__(self, conjunctions: Sequence[Conjunction]) -> None:
        uses: dict[str, int] = defaultdict(int)
        for one in conjunctions:
            for name in one.values:
                uses[name] += 1
        self._conjunctions = conjunctions
        self._label = max(sorted(uses), key=uses.__getitem__, default="")
        self._by_value: dict[str, list[int]] = defaultdict(list)
        self._others: list[int] = []
        self._all: list[int] = []

    def before(self, at: int) -> Sequence[int]:
        """Those before this one, which is then added; to be called for each in its order."""
        values = self._conjunctions[at].values.get(self._label)
        found: Sequence[int]
        if values is None:
            found = tuple(self._all)
            self._others.append(at)
        else:
            found = sorted({*self._others, *(other for value in values for other in self._by_value[value])})
            for value in values:
                self._by_value[value].append(at)
        self._all.append(at)
        return found


def _written(chosen: Mapping[Part, list[str]], overlapping: tuple[str, ...]) -> Routes:
    """Routes with equal matchers are one route, at the place of the first, with a child for each target.

    There is a child for a single target too: where a route stands is part of the key of an alert's group, and a target
    whose groups got other keys would be notified again because another target came or went.
    """
    texts, children = _Texts(_condition), _Texts(_child)
    merged: dict[frozenset[str], tuple[list[str], list[str]]] = {}
    ordered = sorted([(place, min(names), names, one) for (place, one), names in chosen.items()])
    for _, _, names, one in ordered:
        conditions = [texts[matcher] for matcher in one.matchers]
        merged.setdefault(frozenset(conditions), (conditions, []))[1].extend(names)
    written: list[str] = []
    for conditions, names in merged.values():
        above = f"matchers:\n{''.join(conditions)}    " if conditions else ""
        below = "".join([children[name] for name in sorted(names)])
        written.append(f"  - {above}continue: true\n    routes:\n{below}")
    return Routes("".join(written), sum(map(len, chosen.values())), overlapping)


class _Texts(dict[T, str]):
    """What was written once for each of many things that come again and again."""

    def __init__(self, write: Callable[[T], str]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, one: T) -> str:
        found = self[one] = self._write(one)
        return found


def _condition(matcher: Matcher) -> str:
    return f"    - {quoted(str(matcher))}\n"


def _child(name: str) -> str:
    return f"    - receiver: {quoted(PREFIX + name)}\n      continue: true\n"
