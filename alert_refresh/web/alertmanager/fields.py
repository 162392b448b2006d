"""What is delivered to Alertmanager as JSON fields: of the kind, and of one target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alert_refresh.alertmanager.delivered import Delivered, delivered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.alertmanager.delivered import Faults
    from alert_refresh.engine import Worker
    from alert_refresh.targets.target import Target

KIND = "alertmanager"
MAX_LISTED = 1000
"""Targets and rules that are listed; the counts count all."""


class Deliveries:
    """What is delivered now, of each target; nothing is known while the kind is off."""

    def __init__(self, workers: Mapping[str, Worker[Any]]) -> None:
        worker = workers.get(KIND)
        self._known: Delivered | None = None if worker is None else delivered(worker.get_status().snapshot)

    def state(self, target: Target) -> str | None:
        """`ok`, `undeliverable` or `pending`; None for a disabled target, and while the kind is off."""
        return None if self._known is None else self._known.state(target)

    def routes(self, rule_id: str) -> bool:
        """Whether nothing is known against routing by a rule."""
        return self._known is None or rule_id not in self._known.undeliverable_rules

    def fields(self, target: Target) -> dict[str, Any]:
        """The fields of a target about its delivery."""
        faults = () if self._known is None else self._known.faults(target)
        return {"delivery": self.state(target), "delivery_faults": [fault.fields() for fault in faults]}


def delivery_fields(known: Delivered) -> dict[str, Any]:
    """What the status says of the last rendering and of each Alertmanager."""
    return {
        "config_hash": known.config_hash,
        "receivers": known.receivers,
        "routes": known.routes,
        "undeliverable": _listed("target", {name: faults for name, (_, faults) in known.undeliverable.items()}),
        "undeliverable_count": len(known.undeliverable),
        "undeliverable_rules": _listed("rule", known.undeliverable_rules),
        "undeliverable_rules_count": len(known.undeliverable_rules),
        "overlapping": list(known.overlapping[:MAX_LISTED]),
        "warnings": list(known.warnings[:MAX_LISTED]),
        "waiting_for": known.waits_for,
        "instances": [
            {
                "url": one.name,
                "version": one.version,
                "in_sync": one.name in known.in_sync,
                "error": None if one.error is None else str(one.error),
            }
            for one in known.instances
        ],
    }


def _listed(what: str, faulty: Mapping[str, Faults]) -> list[dict[str, Any]]:
    return [
        {what: name, "faults": [fault.fields() for fault in faults]}
        for name, faults in list(faulty.items())[:MAX_LISTED]
    ]
