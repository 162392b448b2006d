"""Recognises, by their fields, files of other programs that are mistaken for files of rules. Pure."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

READ = "a file of rules holds a list, alone or under rules, of rules with id, match and targets"

TEMPLATE = "a template that was not rendered (it begins with {{)"
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
"""The type of a file with this top-level field; the first field that is present decides."""


def recognise(fields: dict[object, object]) -> str | None:
    """The type of a file with these top-level fields, in words with an article; None if it is unknown."""
    if type(fields.get("apiVersion")) is int:
        return "a Grafana provisioning file (apiVersion is a number)"
    for field, what in _FIELDS.items():
        if field in fields:
            return f"{what} (it has the field {field})"
    rules = fields.get("rules")
    return recognise_rules(rules) if isinstance(rules, list) else None


def recognise_rules(rules: Sequence[object]) -> str | None:
    """The type of a file with this list of rules, by its first item; None if it may be a file of rules."""
    for one in islice(rules, 1):
        if isinstance(one, dict) and "id" not in one:
            if "expr" in one and ("alert" in one or "record" in one):
                return f"{_ALERTS} (rules[0] has the field expr)"
            if "receiver" in one:
                return f"{_ALERTMANAGER} (rules[0] has the field receiver)"
    return None
