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


class Conjunction:
    """Matchers that must all accept an alert, without repetitions, in the order they were given.

    `values` maps a label to the values it may have, where matchers leave a finite number of them; a label that no
    alert can satisfy makes the whole one `impossible`.
    """

    __slots__ = ("_by_label", "impossible", "matchers", "values")

    def __init__(self, matchers: Iterable[Matcher]) -> None:
        by_label: dict[str, list[Matcher]] = {}
        for matcher in matchers:
            on_label = by_label.get(matcher.name)
            if on_label is None:
                by_label[matcher.name] = [matcher]
            elif matcher not in on_label:
                on_label.append(matcher)
        self._by_label = by_label
        self.values: dict[str, tuple[str, ...]] = {}
        self.impossible = False
        for name, on_label in by_label.items():
            if len(on_label) > 1:
                self._restrict(name, on_label)
            elif values := _choice(on_label[0]):
                self.values[name] = values
        self.matchers = tuple(chain.from_iterable(by_label.values()))

    def _restrict(self, name: str, on_label: list[Matcher]) -> None:
        """Find which values several matchers of a label leave; if that is one value, they become one equality."""
        finite = next(filter(None, map(_choice, on_label)), None)
        if finite is None:
            self.impossible |= any(negated(one) in on_label for one in on_label)
            return
        left = tuple(value for value in finite if all(accepts(one, value) for one in on_label))
        self.values[name] = left
        self.impossible |= not left
        if len(left) == 1:
            self._by_label[name] = [Matcher(name, "=", left[0])]

    def allows(self, name: str, value: str) -> bool:
        """Whether the matchers of a label all accept a value."""
        return all(accepts(one, value) for one in self._by_label.get(name, ()))

    def implies(self, matcher: Matcher) -> bool:
        """Whether every alert that this accepts is accepted by a matcher too, as far as that is seen."""
        on_label = self._by_label.get(matcher.name)
        if on_label is None:
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
        for name, on_label in other._by_label.items():
            if name in self._by_label and self._excludes(name, other, on_label):
                return True
        return False

    def _excludes(self, name: str, other: Conjunction, on_label: list[Matcher]) -> bool:
        values, others = self.values.get(name), other.values.get(name)
        if values is not None and others is not None:
            return False
        if values is not None:
            return not any(other.allows(name, value) for value in values)
        if others is not None:
            return not any(self.allows(name, value) for value in others)
        return any(negated(one) in self._by_label[name] for one in on_label)

    def without(self, other: Conjunction) -> list[Conjunction]:
        """Conjunctions that accept what this accepts and the other does not; no alert is accepted by two of them."""
        if self.excludes(other):
            return [self]
        rest = [matcher for matcher in other.matchers if not self.implies(matcher)]
        pieces = [Conjunction((*self.matchers, *rest[:n], negated(one))) for n, one in enumerate(rest)]
        return [piece for piece in pieces if not piece.impossible]


def _choice(matcher: Matcher) -> tuple[str, ...] | None:
    """The values that a matcher accepts, if it is an equality or an alternation of plain words; else None."""
    if matcher.op == "=":
        return (matcher.value,)
    return (matcher.alternatives() or None) if matcher.op == "=~" else None
