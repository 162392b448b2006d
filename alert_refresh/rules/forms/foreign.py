"""Files of other programs that are taken for files of rules, recognised by their fields. Pure."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

READ = "rules read here are a list, alone or under rules, each with id, match and targets"

_ALERTMANAGER = "an Alertmanager configuration"
_PROMETHEUS = "a Prometheus configuration"
_ALERTS = "a Prometheus file of alerting rules"
_FIELDS = {
    "apiVersion": "a Kubernetes manifest",
    "route": _ALERTMANAGER,
    "receivers": _ALERTMANAGER,
    "inhibit_rules": _ALERTMANAGER,
    "mute_time_intervals": _ALERTMANAGER,
    "time_intervals": _ALERTMANAGER,
    "templates": _ALERTMANAGER,
    "scrape_configs": _PROMETHEUS,
    "rule_files": _PROMETHEUS,
    "alerting": _PROMETHEUS,
    "groups": _ALERTS,
    "global": "an Alertmanager or Prometheus configuration",
}
"""What a file is that has this field at the top; the first one that it has decides."""


def recognise(fields: dict[object, object]) -> str | None:
    """What a mapping with these fields is, in words with an article; None if it is nothing known."""
    for field, what in _FIELDS.items():
        if field in fields:
            return f"{what} (it has the field {field})"
    rules = fields.get("rules")
    return recognise_rules(rules) if isinstance(rules, list) else None


def recognise_rules(rules: Sequence[object]) -> str | None:
    """What a list is whose first items are no rules of ours; None if they may be."""
    for one in islice(rules, 1):
        if isinstance(one, dict) and "id" not in one:
            if "expr" in one and ("alert" in one or "record" in one):
                return f"{_ALERTS} (rules[0] has the field expr)"
            if "receiver" in one:
                return f"{_ALERTMANAGER} (rules[0] has the field receiver)"
    return None
