"""All rules of one load, as readers see them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from alert_refresh.rules.index import MatchIndex
from alert_refresh.rules.rule import check

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from alert_refresh.engine import Snapshot
    from alert_refresh.rules.hot_cache import CacheStats, Hot, HotCache
    from alert_refresh.rules.rule import Checked, Rule


def rule_set(snapshot: Snapshot[Rule] | None) -> RuleSet | None:
    """The rule set of a snapshot of rules; None if nothing is loaded."""
    memo = None if snapshot is None else snapshot.memo
    return memo if isinstance(memo, RuleSet) else None


class RuleSet:
    """The rules of one load, indexed.

    `by_target` maps the name of a target to the ids of the rules that name it. `file` is the hash of the file's
    content, or None if only one family was loaded from it. `patterns` maps each regular expression to its compiled
    form, for reuse by the next load. `hot` is the table of the hot cache.
    """

    __slots__ = ("_cache", "_families", "_index", "_tick", "by_target", "file", "hot", "patterns", "rules")

    def __init__(self, checked: Checked, file: str | None, cache: HotCache, before: RuleSet | None = None) -> None:
        """`checked` are valid rules; `before` is the set that this one replaces."""
        self.rules = checked.rules
        self.patterns = checked.patterns
        self.file = file
        self.hot: dict[str, Hot] = cache.table(self.rules, before.hot if before else {})
        self._cache = cache
        self._tick = cache.tick
        self._index = MatchIndex(checked)
        families: dict[str, list[Rule]] = defaultdict(list)
        self.by_target: dict[str, list[str]] = {}
        for rule in self.rules.values():
            families[rule.family].append(rule)
            for name in dict.fromkeys(rule.targets):
                self.by_target.setdefault(name, []).append(rule.id)
        self._families = {name: tuple(members) for name, members in families.items()}

    def extended(self, rules: Iterable[Rule]) -> RuleSet:
        """This set with valid rules of other ids in addition, which are not in the file."""
        checked = check([*self.rules.values(), *rules], self.patterns)
        return RuleSet(checked, None, self._cache, self)

    def without(self, ids: Collection[str]) -> RuleSet:
        """This set without the rules of these ids."""
        checked = check([rule for rule in self.rules.values() if rule.id not in ids], self.patterns)
        return RuleSet(checked, None, self._cache, self)

    def get(self, rule_id: str) -> Rule | None:
        """The rule with that id, through the hot cache; None if there is none."""
        hot = self.hot.get(rule_id)
        if hot is None:
            rule = self.rules.get(rule_id)
            self._cache.promote(self.hot, rule)
            return rule
        hot.used = self._tick()
        hot.uses += 1
        return hot.rule

    def all(self) -> tuple[Rule, ...]:
        """Every rule, by id."""
        return tuple(self.rules.values())

    def family(self, name: str) -> tuple[Rule, ...]:
        """The rules of a family, by id."""
        return self._families.get(name, ())

    def families(self) -> dict[str, int]:
        """The number of rules of each family."""
        return {name: len(members) for name, members in sorted(self._families.items())}

    def match(self, labels: Mapping[str, str]) -> list[Rule]:
        """The enabled rules that match an alert with these labels, by descending priority; counts a use of each."""
        found = self._index.match(labels)
        for rule in found:
            self.get(rule.id)
        return found

    def stats(self) -> CacheStats:
        """The hot cache's counts."""
        return self._cache.stats(self.hot)
