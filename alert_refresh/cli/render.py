"""Alertmanager's configuration as the next refresh would write it, without writing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alert_refresh import daemon as kinds
from alert_refresh.alertmanager import KIND, build_check
from alert_refresh.alertmanager.delivered import delivered
from alert_refresh.alertmanager.mask import masked
from alert_refresh.cli.once import attempt
from alert_refresh.engine import SystemClock

if TYPE_CHECKING:
    from alert_refresh.config import Config
    from alert_refresh.engine import Snapshot, Source, Worker
    from alert_refresh.kind import Kind

OFF = f"it is off: {KIND.enable_hint}"


class Rendered(NamedTuple):
    """The configuration with credentials in the clear, None if there is none, and what is wrong.

    `errors` have `kind`, `error` and `error_type`, of the configuration or what it is made of. `undeliverable` have
    `target` or `rule`, and its `faults`. `unchecked` says what was not checked.
    """

    text: bytes | None
    errors: list[dict[str, Any]]
    undeliverable: list[dict[str, Any]]
    unchecked: tuple[str, ...] = ()

    def shown(self, *, reveal: bool) -> bytes | None:
        """The configuration, masked unless it is to be revealed."""
        return self.text if self.text is None or reveal else masked(self.text).encode()

    def lines(self) -> list[str]:
        """What is wrong, for people."""
        return (
            [f"{one['kind']}: {one['error']}" for one in self.errors]
            + [
                f"{next(iter(one.values()))}: {fault['field']}: {fault['message']}"
                for one in self.undeliverable
                for fault in one["faults"]
            ]
            + [f"{KIND.name}: {said}" for said in self.unchecked]
        )


def rendered(config: Config) -> Rendered:
    """Read targets and rules once, and render them."""
    before: dict[str, Worker[Any]] = {}
    errors: list[dict[str, Any]] = []

    def made(kind: Kind, source: Source[Any]) -> Snapshot[Any] | None:
        """What one attempt of a kind brings; its error is added, and its worker to those `before` the next kind."""
        tried = attempt(kind, config.kinds[kind.name], source)
        before[kind.name] = tried.worker
        fields = tried.fields()
        if fields["error"] is not None:
            errors.append({"kind": kind.name, "error": fields["error"], "error_type": fields["error_type"]})
        return tried.status.snapshot

    for kind in (one for one in kinds.KINDS if one.plan):
        source = kind.build(config.kinds[kind.name], SystemClock(), before)
        if source is not None:
            made(kind, source)
    dry = build_check(config.kinds[KIND.name], SystemClock(), before)
    if dry is None:
        return Rendered(None, [*errors, {"kind": KIND.name, "error": OFF, "error_type": "config"}], [])
    snapshot = made(KIND, dry)
    undeliverable = [
        {**one.origin, "faults": [fault.fields() for fault in one.faults]}
        for one in (() if snapshot is None else snapshot.rejected)
    ]
    text = None if dry.work is None else dry.work.rendering.text
    return Rendered(text, errors, undeliverable, delivered(snapshot).unchecked)
