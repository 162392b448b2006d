"""From template, targets and rules to the bytes of Alertmanager's configuration. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from alert_refresh.alertmanager.filters import filters
from alert_refresh.alertmanager.inputs import Mode
from alert_refresh.alertmanager.model import matcher_problem
from alert_refresh.alertmanager.receivers import receiver
from alert_refresh.alertmanager.routes import Routes, from_filters, from_rules
from alert_refresh.alertmanager.template import MARKER, PREFIX
from alert_refresh.alertmanager.tree import quoted
from alert_refresh.engine import Fault
from alert_refresh.targets.bulkhead import Bulkhead

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alert_refresh.alertmanager.inputs import Inputs
    from alert_refresh.rules.matcher import Matcher
    from alert_refresh.rules.rule import Rule
    from alert_refresh.targets.target import Target

HEADER = "# Made by alert-refresh from the template {}, publishing targets and rules.\n"
NOTICE = "# Changes to this file are overwritten: change the template, the Secrets of the targets, or the rules.\n"

_encode = msgspec.msgpack.Encoder().encode

Faults = dict[str, tuple[Fault, ...]]


@dataclass(frozen=True, slots=True)
class Rendering:
    """A configuration of Alertmanager: its bytes, and what became of each target and each rule.

    `digest` is part of the text, as the name of the unused receiver `MARKER + digest`. `receivers` and `routes`
    count ours, routes those that lead to a target. `undeliverable` are the enabled targets that have no receiver,
    `undeliverable_rules` the enabled rules that have no route, with their faults; `overlapping` are the targets
    that may be notified twice of an alert. `parts` maps `template`, `target:<name>` and `rule:<id>` to a digest of
    what each of them alone is: those that are written, and those that would be if Alertmanager had not refused
    them.
    """

    text: bytes = field(repr=False)
    digest: str
    receivers: int
    routes: int
    undeliverable: Mapping[str, tuple[Fault, ...]]
    undeliverable_rules: Mapping[str, tuple[Fault, ...]]
    overlapping: tuple[str, ...]
    warnings: tuple[str, ...]
    parts: Mapping[str, str]


class Deliverable(NamedTuple):
    """What is written for one target: its receiver, and the matchers of its route by filters."""

    receiver: str
    matchers: Sequence[Matcher]


BULKHEAD = Bulkhead("alertmanager")


def render(inputs: Inputs) -> Rendering:
    """Alertmanager's configuration: the same bytes for the same inputs."""
    template = inputs.template
    targets = {name: one for name, one in sorted(inputs.targets.items()) if one.enabled}
    rules = [rule for rule in inputs.rules if rule.enabled] if inputs.mode is Mode.RULES else []
    undeliverable: Faults = {}
    receivers, matchers = _receivers(inputs, targets, undeliverable)
    undeliverable_rules = _rule_faults(inputs, rules)
    routes = Routes("", 0)
    if inputs.mode is Mode.RULES:
        routes = from_rules([rule for rule in rules if rule.id not in undeliverable_rules], receivers, inputs.check)
    elif inputs.mode is Mode.FILTERS:
        routes = from_filters(matchers)
    empty = sorted(template.named - receivers.keys())
    body = [template.head, "route:\n", template.root]
    if routes.text or template.routes:
        body += ("  routes:\n", routes.text, template.routes)
    body += ("receivers:\n", template.receivers, *receivers.values())
    body += [f"- name: {quoted(PREFIX + name)}\n" for name in empty]
    text = _header(template.name) + "".join(body)
    digest = sha256(text.encode()).hexdigest()[:32]
    return Rendering(
        text=f"{text}- name: {quoted(MARKER + digest)}\n".encode(),
        digest=digest,
        receivers=len(receivers),
        routes=routes.count,
        undeliverable=undeliverable,
        undeliverable_rules=undeliverable_rules,
        overlapping=routes.overlapping,
        warnings=tuple(_named(name, inputs) for name in empty),
        parts=_parts(
            inputs.template.digest,
            [one for name, one in targets.items() if name in receivers or name in inputs.excluded_targets],
            [one for one in rules if one.id not in undeliverable_rules or one.id in inputs.excluded_rules],
        ),
    )


def _receivers(
    inputs: Inputs, targets: Mapping[str, Target], undeliverable: Faults
) -> tuple[dict[str, str], dict[str, Sequence[Matcher]]]:
    """The receivers of enabled targets, and the matchers of their filters; those with faults enter `undeliverable`."""
    receivers: dict[str, str] = {}
    matchers: dict[str, Sequence[Matcher]] = {}
    for name, target in targets.items():
        inputs.check()
        found = BULKHEAD.hold(name, "target", _deliverable, target, inputs)
        faults = () if isinstance(found, Deliverable) else found
        faults = faults or inputs.excluded_targets.get(name, ())
        if not faults and isinstance(found, Deliverable):
            receivers[name], matchers[name] = found
        else:
            undeliverable[name] = faults
    return receivers, matchers


def _deliverable(target: Target, inputs: Inputs) -> Deliverable | tuple[Fault, ...]:
    """The receiver of a target and the matchers of its filters, or its faults."""
    found = receiver(target, inputs.capabilities, inputs.template)
    conditions: Sequence[Matcher] = ()
    faults = () if isinstance(found, str) else found
    if inputs.mode is Mode.FILTERS:
        conditions, filter_faults = filters(target.filter_config, inputs.capabilities.utf8)
        faults += filter_faults
    return Deliverable(found, conditions) if isinstance(found, str) and not faults else faults


def _rule_faults(inputs: Inputs, rules: Sequence[Rule]) -> Faults:
    """The faults of rules that cannot be routes."""
    bad: dict[Matcher, tuple[Fault, ...]] = {}
    users = {matcher: rule.id for rule in rules for matcher in rule.match}
    for matcher, rule_id in users.items():
        inputs.check()
        if faults := BULKHEAD.hold(rule_id, "match", _match_faults, matcher, inputs):
            bad[matcher] = faults
    if not bad and not inputs.excluded_rules:
        return {}
    found: Faults = {}
    for rule in rules:
        placed = [(f"match[{at}]", fault) for at, one in enumerate(rule.match) for fault in bad.get(one, ())]
        faults = tuple([Fault(place, fault.message) for place, fault in placed])
        if faults or rule.id in inputs.excluded_rules:
            found[rule.id] = faults or inputs.excluded_rules[rule.id]
    return found


def _match_faults(matcher: Matcher, inputs: Inputs) -> tuple[Fault, ...]:
    """What is wrong with a matcher, wherever it is."""
    problem = matcher_problem(matcher, inputs.capabilities.utf8)
    return (Fault("match", f"undeliverable: {problem}"),) if problem else ()


def _header(name: str) -> str:
    """The comment that says what made the file, without a time: it is a part of what is compared."""
    return HEADER.format(quoted(name)) + NOTICE


def _named(name: str, inputs: Inputs) -> str:
    """The warning for a target that a route of the template names and that has no receiver."""
    target = inputs.targets.get(name)
    why = "there is no such target" if target is None else "it is undeliverable" if target.enabled else "it is disabled"
    return f"a route of the template names {quoted(PREFIX + name)}, which delivers nothing: {why}"


def _parts(template: str, targets: Sequence[Target], rules: Sequence[Rule]) -> dict[str, str]:
    parts = {"template": template} | {f"target:{one.name}": one.digest.hex() for one in targets}
    for rule in rules:
        parts[f"rule:{rule.id}"] = blake2b(
            _encode((rule.priority, rule.match, rule.targets)), digest_size=8
        ).hexdigest()
    return parts
