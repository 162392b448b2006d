"""Reasoning about matchers: what a conjunction of them implies, excludes, and leaves when another one is taken away.

`!=` and `!~` accept exactly what `=` and `=~` refuse, absent labels included, which are equal to empty ones. What
follows is sound, not complete: an implication that is not seen costs a route that can never match.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from alert_refresh.rules.matcher import Matcher, compile_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alert_refresh.rules.matcher import Pattern

NEGATED: Any = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}


def negated(matcher: Matcher) -> Matcher:
    """The matcher that accepts exactly what this one refuses."""
    return Matcher(matcher.name, NEGATED[matcher.op], matcher.value)


@lru_cache(maxsize=4096)
def _pattern(expression: str) -> Pattern:
    return compile_all((expression,), {})[0][expression]


@lru_cache(maxsize=65536)
def accepts(matcher: Matcher, value: str) -> bool:
    """Whether a matcher accepts the value of its label."""
    if matcher.is_expression:
        return (_pattern(matcher.value).fullmatch(value) is not None) == (matcher.op == "=~")
    return (value == matcher.value) == (matcher.op == "=")


VALUES_OF_A_STEP = 8
"""Possible values of labels whose comparison costs about as much as that of two matchers."""


class Conjunction:
    """Matchers that must all accept an alert, without repetitions, in the order they were given.

    `values` maps a label to the values it may have, where matchers leave a finite number of them; a label that no
    alert can satisfy makes the whole one `impossible`.
    """

    __slots__ = ("_by_label", "impossible", "matchers", "values")

    def __init__(self, matchers: Iterable[Matcher]) -> None:
        self.matchers = tuple(matchers)
        self.values: dict[str, tuple[str, ...]] = {}
        self.impossible = False
        self._by_label: dict[str, tuple[Matcher, ...]] | None = None
        if len({one.name for one in self.matchers}) < len(self.matchers):
            self._restrict()
            return
        for one in self.matchers:
            if one.op == "=":
                self.values[one.name] = (one.value,)
            elif one.op == "=~" and (choice := one.alternatives()):
                self.values[one.name] = choice

    def _restrict(self) -> None:
        """Find which values are left where a label has several matchers; if that is one, they become one equality."""
        by_label: dict[str, tuple[Matcher, ...]] = {}
        for name, on_label in _labels(dict.fromkeys(self.matchers)).items():
            by_label[name] = on_label
            finite = next(filter(None, map(_choice, on_label)), None)
            if finite is None:
                self.impossible |= any(negated(one) in on_label for one in on_label)
                continue
            left = tuple(value for value in finite if all(accepts(one, value) for one in on_label))
            self.values[name] = left
            self.impossible |= not left
            if len(left) == 1:
                by_label[name] = (Matcher(name, "=", left[0]),)
        self._by_label = by_label
        self.matchers = tuple(chain.from_iterable(by_label.values()))

    @property
    def weight(self) -> int:
        """How much it costs to compare it: 1, and more for labels with many possible values."""
        return 1 + sum(map(len, self.values.values())) // VALUES_OF_A_STEP

    def on(self, name: str) -> tuple[Matcher, ...]:
        """The matchers of a label."""
        if self._by_label is None:
            self._by_label = _labels(self.matchers)
        return self._by_label.get(name, ())

    def allows(self, name: str, value: str) -> bool:
        """Whether the matchers of a label all accept a value."""
        return all(accepts(one, value) for one in self.on(name))

    def implies(self, matcher: Matcher) -> bool:
        """Whether every alert that this accepts is accepted by a matcher too, as far as that is seen."""
        on_label = self.on(matcher.name)
        if not on_label:
            return False
        if matcher in on_label:
            return True
        values = self.values.get(matcher.name)
        if values is not None:
            return all(accepts(matcher, value) for value in values)
        refused = _choice(negated(matcher))
        return refused is not None and not any(self.allows(matcher.name, value) for value in refused)

    def within(self, other: Conjunction) -> bool:
        """Whether every alert that this accepts is accepted by another one too."""
        return all(map(self.implies, other.matchers))

    def excludes(self, other: Conjunction) -> bool:
        """Whether no alert is accepted by both."""
        for name, values in self.values.items():
            others = other.values.get(name)
            if others is not None and values != others and not any(map(others.__contains__, values)):
                return True
        return any(self._excludes(one, other) for one in other.matchers)

    def _excludes(self, matcher: Matcher, other: Conjunction) -> bool:
        """Whether the label of one of the other's matchers shows that no alert is accepted by both."""
        name = matcher.name
        values, others = self.values.get(name), other.values.get(name)
        if values is not None:
            return others is None and not any(other.allows(name, value) for value in values)
        if others is not None:
            return not any(self.allows(name, value) for value in others)
        return negated(matcher) in self.on(name)

    def without(self, other: Conjunction) -> list[Conjunction]:
        """Conjunctions that accept what this accepts and the other does not; no alert is accepted by two of them."""
        if self.excludes(other):
            return [self]
        rest = [matcher for matcher in other.matchers if not self.implies(matcher)]
        pieces = [Conjunction((*self.matchers, *rest[:n], negated(one))) for n, one in enumerate(rest)]
        return [piece for piece in pieces if not piece.impossible]


def _labels(matchers: Iterable[Matcher]) -> dict[str, tuple[Matcher, ...]]:
    """Matchers by label."""
    found: dict[str, tuple[Matcher, ...]] = {}
    for one in matchers:
        found[one.name] = (*found.get(one.name, ()), one)
    return found


def _choice(matcher: Matcher) -> tuple[str, ...] | None:
    """The values that a matcher accepts, if it is an equality or an alternation of plain words; else None."""
    if matcher.op == "=":
        return (matcher.value,)
    return (matcher.alternatives() or None) if matcher.op == "=~" else None
