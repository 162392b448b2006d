"""Which parts of a refused configuration may be the cause, and configurations with some of them only. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from alert_refresh.alertmanager.delivery.round import RULE, TARGET, names
from alert_refresh.alertmanager.render import render
from alert_refresh.credential import Credential
from alert_refresh.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from alert_refresh.alertmanager.delivery.round import Round
    from alert_refresh.rules.rule import Rule

Shape = tuple[int, tuple[str, ...]]

_SYNTAX = re.compile(r"\\.|\(\?.", re.DOTALL)
"""What an expression may have that depends on the version of Go: escapes and kinds of groups."""
STAND_IN = Credential("http://127.0.0.1/")


def suspects(work: Round) -> list[list[str]]:
    """What may be the cause of a refusal: first what changed since it was last known to load, then everything.

    Parts of the same shape, such as all targets with the same headers, stand together: what Alertmanager does not know
    is refused in all of them, and culprits that stand together are found with the fewest questions. Targets come before
    rules: a rule without any of its targets is no route, so it would pass.
    """
    rendering, verified = work.rendering, work.before.verified
    undeliverable = {TARGET + name for name in rendering.undeliverable}
    undeliverable |= {RULE + rule_id for rule_id in rendering.undeliverable_rules}
    every = [part for part in rendering.parts if part.startswith((TARGET, RULE)) and part not in undeliverable]
    every.sort(key=_shapes(work))
    known = {part: one.digest for part, one in work.passed.items()}
    if verified is not None and work.versions == work.before.versions:
        known |= verified.parts
    changed = [part for part in every if rendering.parts[part] != known.get(part)]
    return [changed, every] if 0 < len(changed) < len(every) else [every]


def with_only(work: Round, parts: Sequence[str], accepted: Collection[str]) -> bytes:
    """The configuration with these of the parts only, and the others as they were verified last."""
    return work.holding(set(parts).difference(accepted)).rendering.text


def bare(work: Round) -> bytes:
    """The configuration without any target and rule: the template."""
    return render(replace(work.inputs, targets={}, rules=())).text


class Alone:
    """Configurations of single parts of a rendering, without all others."""

    def __init__(self, work: Round) -> None:
        self._inputs = work.inputs
        self._rules: Mapping[str, Rule] = {rule.id: rule for rule in work.inputs.rules}

    def with_parts(self, parts: Sequence[str]) -> bytes:
        """The configuration of these parts; a rule leads to stand-ins for the targets that it names."""
        targets, ids = names(parts)
        rules = tuple(self._rules[rule_id] for rule_id in sorted(ids))
        known = self._inputs.targets
        chosen = {name: _stand_in(name) for rule in rules for name in rule.targets if name in known}
        chosen |= {name: known[name] for name in targets}
        return render(replace(self._inputs, targets=chosen, rules=rules)).text


def _stand_in(name: str) -> Target:
    return Target(name=name, type="webhook", format="webhook", url=STAND_IN)


def _shapes(work: Round) -> Callable[[str], Shape]:
    """The shape of a part by its name: of a target its type and headers, of a rule the syntax of its expressions, its
    labels and operators.
    """
    shapes: dict[str, Shape] = {}
    for rule in work.inputs.rules:
        syntax = {found for one in rule.match if one.is_expression for found in _SYNTAX.findall(one.value)}
        labels = sorted(f"{one.name}{one.op}" for one in rule.match)
        shapes[RULE + rule.id] = 1, ("".join(sorted(syntax)), *labels)
    for name, one in work.inputs.targets.items():
        shapes[TARGET + name] = 0, (one.type, *sorted(header.lower() for header in one.headers))
    return shapes.__getitem__
