"""From template, targets and rules to the bytes of Alertmanager's configuration. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.alertmanager.inputs import Inputs
    from alert_refresh.engine import Fault

PREFIX = "alert-refresh/"
"""How the names of our receivers begin; the target's name follows."""
MARKER = "alert-refresh:"
"""How the name of the unused receiver begins by which a rendering is recognised; its digest follows."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """A configuration of Alertmanager: its bytes, and what became of each target and each rule.

    `digest` is part of the text, as the name of the unused receiver `MARKER + digest`. `receivers` and `routes` count
    ours. `undeliverable` are the enabled targets that have no receiver, `undeliverable_rules` the enabled rules that
    have no route, with their faults; `overlapping` are the targets that may be notified twice for an alert. `parts` maps
    `template`, `target:<name>` and `rule:<id>` to a digest of what each of them alone contributed.
    """

    text: bytes
    digest: str
    receivers: int
    routes: int
    undeliverable: Mapping[str, tuple[Fault, ...]]
    undeliverable_rules: Mapping[str, tuple[Fault, ...]]
    overlapping: tuple[str, ...]
    warnings: tuple[str, ...]
    parts: Mapping[str, str]


def render(inputs: Inputs) -> Rendering:
    """Alertmanager's configuration."""
    raise NotImplementedError
