"""Alertmanager's configuration as the next refresh would write it, without writing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alert_refresh import daemon as kinds
from alert_refresh.cli.once import attempt
from alert_refresh.engine import SystemClock

if TYPE_CHECKING:
    from alert_refresh.config import Config
    from alert_refresh.engine import Worker


class Rendered(NamedTuple):
    """The configuration, None if there is none, and what is wrong: with it, or with what it is made of."""

    text: bytes | None
    errors: list[str]
    undeliverable: list[str]


def rendered(config: Config) -> Rendered:
    """Read targets and rules once, and render them; credentials are in the clear."""
    from alert_refresh.alertmanager import KIND
    from alert_refresh.alertmanager.dry import DryRun

    before: dict[str, Worker[Any]] = {}
    errors = []
    for kind in (one for one in kinds.KINDS if one.plan):
        settings = config.kinds[kind.name]
        source = kind.build(settings, SystemClock(), before)
        if source is not None:
            made = attempt(kind, settings, source)
            before[kind.name] = made.worker
            if (error := made.fields()["error"]) is not None:
                errors.append(f"{kind.name}: {error}")
    assert KIND.build_check is not None
    settings = config.kinds[KIND.name]
    dry = KIND.build_check(settings, SystemClock(), before)
    if not isinstance(dry, DryRun):
        return Rendered(None, [*errors, f"alertmanager is off: {KIND.enable_hint}"], [])
    made = attempt(KIND, settings, dry)
    if (error := made.fields()["error"]) is not None:
        errors.append(f"alertmanager: {error}")
    snapshot = made.status.snapshot
    faults = [
        f"{'/'.join(one.origin.values())}: {fault.field}: {fault.message}"
        for one in (() if snapshot is None else snapshot.rejected)
        for fault in one.faults
    ]
    return Rendered(None if dry.work is None else dry.work.rendering.text, errors, faults)
