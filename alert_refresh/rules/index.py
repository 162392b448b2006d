"""An index that finds the rules that match an alert without checking all of them.

A rule with an equality matcher (`severity="critical"`) is in the bucket of that matcher; of several equality matchers
the one that the fewest rules have is used. A rule with a choice of values (`team=~"db|web"`) is in the bucket of each
value. The labels of an alert select the buckets to check. Rules without such a matcher are checked for every alert.
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
"""A bucket with at most this many rules is used without searching for a smaller one."""

_CHOICE, _NOWHERE = 1 << 40, 1 << 41


class MatchIndex:
    """The enabled rules of one load, by the label values they require. Immutable."""

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
        """The rules whose matchers all accept these labels, by descending priority, then by id."""
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
    """The cost of indexing a rule by this matcher; the lowest is used."""
    if matcher.op == "=" and matcher.value:
        return frequency
    return _CHOICE if matcher.alternatives() else _NOWHERE
