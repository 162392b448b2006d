"""Reasoning about matchers: what a conjunction of them implies, excludes, and leaves when another one is taken away.

`!=` and `!~` accept exactly what `=` and `=~` refuse, absent labels included, which are equal to empty ones. What
follows is sound, not complete: an implication that is not seen costs a route that can never match.
"""

from __future__ import annotations

from functools import lru_cache
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
        self._by_label: dict[str, list[Matcher]] = {}
        for matcher in dict.fromkeys(matchers):
            self._by_label.setdefault(matcher.name, []).append(matcher)
        self.values: dict[str, tuple[str, ...]] = {}
        self.impossible = False
        for name, on_label in self._by_label.items():
            self._restrict(name, on_label)
        self.matchers = tuple(one for on_label in self._by_label.values() for one in on_label)

    def _restrict(self, name: str, on_label: list[Matcher]) -> None:
        """Find which values the matchers of a label leave; those that leave one value become one equality."""
        finite = next(filter(None, map(_choice, on_label)), None)
        if finite is None:
            self.impossible |= any(negated(one) in on_label for one in on_label)
            return
        left = finite if len(on_label) == 1 else tuple(v for v in finite if all(accepts(one, v) for one in on_label))
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
        for name, on_label in other._by_label.items():
            if name not in self._by_label:
                continue
            values, others = self.values.get(name), other.values.get(name)
            if values is not None:
                if not any(other.allows(name, value) for value in values):
                    return True
            elif others is not None:
                if not any(self.allows(name, value) for value in others):
                    return True
            elif any(negated(one) in self._by_label[name] for one in on_label):
                return True
        return False

    def without(self, other: Conjunction) -> list[Conjunction]:
        """Conjunctions that accept what this accepts and the other does not; no alert is accepted by two of them."""
        if self.excludes(other):
            return [self]
        rest = [matcher for matcher in other.matchers if not self.implies(matcher)]
        pieces = [Conjunction((*self.matchers, *rest[:n], negated(one))) for n, one in enumerate(rest)]
        return [piece for piece in pieces if not piece.impossible]


@lru_cache(maxsize=16384)
def _choice(matcher: Matcher) -> tuple[str, ...] | None:
    """The values that a matcher accepts, if it is an equality or an alternation of plain words; else None."""
    if matcher.op == "=":
        return (matcher.value,)
    return matcher.alternatives() or None
