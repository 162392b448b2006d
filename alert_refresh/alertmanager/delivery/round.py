"""What one attempt has to deliver, and what it found. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from alert_refresh.alertmanager.delivered import Tried
from alert_refresh.alertmanager.render import render
from alert_refresh.alertmanager.template import PREFIX
from alert_refresh.alertmanager.tree import quoted
from alert_refresh.engine import Fault

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from alert_refresh.alertmanager.delivered import Delivered
    from alert_refresh.alertmanager.inputs import Inputs
    from alert_refresh.alertmanager.render import Rendering
    from alert_refresh.alertmanager.running.instances import Instance
    from alert_refresh.engine import AttemptError
    from alert_refresh.rules.rule import Rule
    from alert_refresh.targets.target import Target

TARGET, RULE = "target:", "rule:"
"""How parts of a rendering are called, before the name."""
OURS = f"- name: {quoted(PREFIX)[:-1]}".encode()
"""How the receiver of a target begins in a configuration."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one attempt has to deliver, and what it found: the content of the file, and what the Alertmanagers run.

    `culprits` are the parts that are left out since Alertmanager refused them, `passed` those that it is known to load,
    though a configuration with them is not verified yet. `untried` are the parts that stay as they were verified last,
    since there was no time to find out whether they are culprits; `error` is why the attempt fails all the same. `good`
    is the configuration that a refused one gives way to, and `proven` whether an Alertmanager is known to load it.
    `on_trial`: what is in the file was written, and no Alertmanager has loaded it.
    """

    before: Delivered
    inputs: Inputs
    rendering: Rendering
    current: bytes | None
    seen: tuple[Instance, ...]
    versions: tuple[str | None, ...]
    culprits: Mapping[str, Tried]
    passed: Mapping[str, Tried] = field(default_factory=dict)
    untried: frozenset[str] = frozenset()
    error: AttemptError | None = None
    good: bytes | None = field(default=None, repr=False)
    proven: bool = False
    on_trial: bool = False

    @property
    def done(self) -> bool:
        """Whether there is nothing to write and nothing to reload."""
        return self.current == self.rendering.text and not self.behind and not self.unproven

    @property
    def unproven(self) -> bool:
        """Whether nothing is known of what is in the file: no Alertmanager answers, and none was seen to run it.

        Where it is on trial, the reload may have ended the process, which then could not start again.
        """
        return bool(self.seen) and not self.answering and (self.before.verified is None or self.on_trial)

    @property
    def answering(self) -> bool:
        """Whether there is an Alertmanager that answers."""
        return any(one.error is None for one in self.seen)

    @property
    def behind(self) -> tuple[str, ...]:
        """The Alertmanagers that answer and run something else.

        One that is known by its marker alone may run what somebody else wrote beside that marker, and loaded.
        """
        edited = self.current not in (None, self.rendering.text)
        return tuple(
            one.name
            for one in self.seen
            if one.error is None and (not self.is_run_by(one) or (edited and one.hash is None))
        )

    @property
    def refusing(self) -> tuple[str, ...]:
        """The Alertmanagers that refused what they were told to load."""
        return tuple(one.name for one in self.seen if one.refused)

    @property
    def delivered(self) -> Inputs:
        """What the rendering is made of: the inputs, with the untried parts as they were verified last."""
        return as_verified(self.inputs, self.untried, self.before)

    def is_run_by(self, one: Instance) -> bool:
        """Whether an Alertmanager runs this rendering."""
        return one.runs(self.rendering.text, self.rendering.digest)

    def loads(self, text: bytes) -> bool:
        """Whether Alertmanager is known to load a configuration: the verified one, or one that it was seen to run."""
        verified = self.before.verified
        if verified is not None and verified.text == text:
            return True
        return any(one.runs(text, "") for one in self.seen)

    def with_seen(self, seen: Sequence[Instance]) -> Round:
        """The same, after some Alertmanagers were asked again."""
        newer = {one.name: one for one in seen}
        return replace(self, seen=tuple(newer.get(one.name, one) for one in self.seen))

    def without(self, parts: Collection[str]) -> Round:
        """The same without further parts, which Alertmanager refused."""
        return self.leaving_out({**self.culprits, **self.tried(parts)})

    def leaving_out(self, culprits: Mapping[str, Tried]) -> Round:
        """The same, with these parts left out."""
        return replace(self, culprits=culprits)._rendered()

    def holding(self, parts: Collection[str]) -> Round:
        """The same, with further parts as they were verified last; those that were not are not there."""
        return replace(self, untried=self.untried.union(parts))._rendered()

    def loses(self, parts: Collection[str]) -> bool:
        """Whether `holding` these takes something away that is delivered now."""
        verified = self.before.verified
        if verified is None:
            return self.good is not None and OURS in self.good
        return any(verified.parts.get(part) == self.rendering.parts[part] for part in parts)

    def tried(self, parts: Collection[str]) -> dict[str, Tried]:
        """What these parts are now, to be remembered."""
        return {part: Tried(self.rendering.parts[part], self.versions) for part in parts}

    def _rendered(self) -> Round:
        return replace(self, rendering=render(excluding(self.delivered, self.culprits, self.versions)))


def excluding(inputs: Inputs, left_out: Mapping[str, Tried], versions: Sequence[str | None]) -> Inputs:
    """The inputs with these parts left out, each with the fault that says so."""
    named = list(dict.fromkeys(version for version in versions if version)) or ["of an unknown version"]
    who = f"Alertmanager {named[0]}" if len(named) == 1 else f"an Alertmanager (one of {', '.join(named)})"
    fault = Fault("alertmanager", f"undeliverable: {who} refuses the configuration with it")
    targets, rules = names(left_out)
    return replace(
        inputs, excluded_targets=dict.fromkeys(targets, (fault,)), excluded_rules=dict.fromkeys(rules, (fault,))
    )


def as_verified(inputs: Inputs, parts: Collection[str], before: Delivered) -> Inputs:
    """The inputs with these parts as they were verified last, and without those that were not, or were the same."""
    if not parts:
        return inputs
    targets, rules = names(parts)
    old_targets, old_rules = _verified(before)
    kept = [_older(one, old_targets.get(one.name)) if one.name in targets else one for one in inputs.targets.values()]
    older = [_older_rule(one, old_rules.get(one.id)) if one.id in rules else one for one in inputs.rules]
    return replace(
        inputs,
        targets={one.name: one for one in kept if one is not None},
        rules=tuple(one for one in older if one is not None),
    )


def names(parts: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the targets and the ids of the rules among these parts."""
    return (
        frozenset(part.removeprefix(TARGET) for part in parts if part.startswith(TARGET)),
        frozenset(part.removeprefix(RULE) for part in parts if part.startswith(RULE)),
    )


def _verified(before: Delivered) -> tuple[Mapping[str, Target], Mapping[str, Rule]]:
    """The targets and rules that were delivered, as they were then."""
    if before.verified is None or before.inputs is None:
        return {}, {}
    out = before.verified.undeliverable_rules
    return (
        {name: before.inputs.targets[name] for name in before.contents},
        {one.id: one for one in before.inputs.rules if one.enabled and one.id not in out},
    )


def _older(target: Target, old: Target | None) -> Target | None:
    return None if old is None or old.digest == target.digest else old


def _older_rule(rule: Rule, old: Rule | None) -> Rule | None:
    if old is None or (old.priority, old.match, old.targets) == (rule.priority, rule.match, rule.targets):
        return None
    return old
