"""How the removal of rules is held: they stay loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from alert_refresh.engine import Protection

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from alert_refresh.engine import Snapshot
    from alert_refresh.rules.rule import Rule


def origin(rule: Rule) -> str:
    """The id: a rule with another id is another rule."""
    return rule.id


def retain(found: Snapshot[Rule], kept: Mapping[str, Rule], _: float) -> Snapshot[Rule]:
    """`found` with these rules in addition, which match and are listed as before."""
    from alert_refresh.rules.forms import warm_file
    from alert_refresh.rules.rule_set import rule_set

    loaded = rule_set(found)
    assert loaded is not None
    extended = loaded.extended(kept.values())
    return replace(found, items=extended.rules, memo=extended, digest=warm_file.digest(extended.rules.values()))


def drop(served: Snapshot[Rule], names: Collection[str]) -> Snapshot[Rule]:
    """`served` without these rules, which do not match any more."""
    from alert_refresh.rules.forms import warm_file
    from alert_refresh.rules.rule_set import rule_set

    loaded = rule_set(served)
    assert loaded is not None
    rest = loaded.without(frozenset(names))
    return replace(served, items=rest.rules, memo=rest, digest=warm_file.digest(rest.rules.values()))


PROTECTION = Protection(origin, retain, drop)
