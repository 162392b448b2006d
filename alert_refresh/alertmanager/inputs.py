"""What a rendering is made of: the template, the targets, the rules, and what the running Alertmanager knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alert_refresh.alertmanager.template import Template
    from alert_refresh.engine import Fault
    from alert_refresh.rules.rule import Rule
    from alert_refresh.targets.target import Target


class Mode(StrEnum):
    """Where the routes come from: from rules, from each target's `filter_config`, or from the template alone."""

    RULES = "rules"
    FILTERS = "filters"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the least able running Alertmanager knows: `http_config.http_headers`, and matchers with UTF-8 names.

    `found` is False as long as none has answered and no `amtool` says it: then the least is assumed.
    """

    http_headers: bool = False
    utf8: bool = False
    found: bool = True


UNKNOWN = Capabilities(found=False)


Check = Callable[[], object]


def unlimited() -> None:
    """The check of a rendering that may take any time."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that a rendering depends on; equal inputs give equal bytes.

    `targets` are all targets by name, enabled or not, fresh or stale; `rules` all rules of the file, empty if there are
    none. `excluded_targets` and `excluded_rules` are names and ids that Alertmanager itself refused, with their faults:
    they are left out and told as undeliverable. `check` is called between two targets, and between two rules; it
    raises when there is no time left.
    """

    template: Template
    targets: Mapping[str, Target]
    rules: Sequence[Rule] = ()
    mode: Mode = Mode.RULES
    capabilities: Capabilities = Capabilities()
    excluded_targets: Mapping[str, tuple[Fault, ...]] = field(default_factory=dict)
    excluded_rules: Mapping[str, tuple[Fault, ...]] = field(default_factory=dict)
    check: Check = field(default=unlimited, compare=False)
