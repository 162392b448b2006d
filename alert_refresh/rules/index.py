"""Which rules match an alert, without looking at all of them.

A rule that demands one value of a label (`severity="critical"`) lies in the bucket of that matcher; of several
such the one that the fewest rules have is taken. A rule that demands one of a few (`team=~"db|web"`) lies in the
buckets of them all. An alert's labels name the buckets to look into. Rules that demand nothing of the kind are
looked at for every alert.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING

from alert_refresh.rules.matcher import Matcher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.rules.rule import Checked, Rule


FEW = 100
"""A bucket of so few rules is good enough: no smaller one is looked for."""

_CHOICE, _NOWHERE = 1 << 40, 1 << 41


class MatchIndex:
    """The enabled ones of some rules, by the label values they demand. Never changes."""

    __slots__ = ("_buckets", "_patterns", "_rest")

    def __init__(self, checked: Checked) -> None:
        enabled = [rule for rule in checked.rules.values() if rule.enabled]
        rank = {matcher: _rank(matcher, count) for matcher, count in checked.frequency.items()}
        buckets: dict[Matcher, list[Rule]] = defaultdict(list)
        self._rest = [rule for rule in enabled if not rule.match]
        for rule in enabled:
            for matcher in rule.match:
                if rank[matcher] <= FEW:
                    break
            else:
                if not rule.match:
                    continue
                matcher = min(rule.match, key=rank.__getitem__)
            buckets[matcher].append(rule)
        for matcher in [one for one in buckets if rank[one] >= _CHOICE]:
            members = buckets.pop(matcher)
            for value in matcher.alternatives():
                buckets[Matcher(matcher.name, "=", value)] += members
            if not matcher.alternatives():
                self._rest += members
        self._buckets = dict(buckets)
        self._patterns = checked.patterns

    def match(self, labels: Mapping[str, str]) -> list[Rule]:
        """The rules all of whose matchers accept these labels, by falling priority, then by id."""
        known: dict[tuple[str, str], bool] = {}

        def accepts(matcher: Matcher) -> bool:
            value = labels.get(matcher.name, "")
            if not matcher.is_expression:
                return (value == matcher.value) == (matcher.op == "=")
            key = (matcher.value, value)
            found = known.get(key)
            if found is None:
                found = known[key] = self._patterns[matcher.value].fullmatch(value) is not None
            return found == (matcher.op == "=~")

        asked = [self._buckets.get(Matcher(name, "=", value), ()) for name, value in labels.items()]
        found = [rule for rule in chain(self._rest, *asked) if all(map(accepts, rule.match))]
        return sorted(found, key=lambda rule: (-rule.priority, rule.id))


def _rank(matcher: Matcher, frequency: int) -> int:
    """Where to look for a rule with this matcher: the lower the better."""
    if matcher.op == "=" and matcher.value:
        return frequency
    return _CHOICE if matcher.alternatives() else _NOWHERE
