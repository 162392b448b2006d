"""The HTTP routes of the rules: refresh, status, list, one rule, and matching an alert."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec
from flask import Blueprint, request
from werkzeug.routing import BaseConverter

from alert_refresh.alertmanager.delivered import UNDELIVERABLE
from alert_refresh.rules.dangling import listed, listed_names, missing
from alert_refresh.rules.forms.text_file import shape
from alert_refresh.rules.rule import ID, ROUTES
from alert_refresh.rules.rule_set import rule_set
from alert_refresh.web import query
from alert_refresh.web.alertmanager.fields import Deliveries
from alert_refresh.web.answers import answer
from alert_refresh.web.errors import ApiError, bad_request
from alert_refresh.web.feed import conditional, follow
from alert_refresh.web.held import add_routes
from alert_refresh.web.manual_refresh import ManualRefresh, body
from alert_refresh.web.status import loaded, off_fields, status_fields
from alert_refresh.web.targets.fields import state

if TYPE_CHECKING:
    from flask.blueprints import BlueprintSetupState

    from alert_refresh.daemon import Daemon
    from alert_refresh.rules.metrics import RuleMetrics
    from alert_refresh.rules.rule import Rule
    from alert_refresh.rules.rule_set import RuleSet
    from alert_refresh.web.answers import JsonResponse
    from alert_refresh.web.auth import Auth

KIND = "rules"
PREFIX = "/api/v2/rules"
LARGEST_ALERT = 16 * 1024
"""Bytes of a body with an alert's labels; limited because it needs no token."""
MOST_LABELS = 64
LONGEST_VALUE = 1024
"""Bytes of the value of a label."""


class RuleId(BaseConverter):
    """A path segment other than the reserved ones, which no rule can have as its id."""

    regex = f"(?!(?:{'|'.join(sorted(ROUTES))})$)[^/]+"


class Alert(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST to `match`, such as `{"labels": {"severity": "critical"}}`."""

    labels: dict[str, str]


_decoder = msgspec.json.Decoder(Alert)


def build(daemon: Daemon, auth: Auth, metrics: RuleMetrics) -> Blueprint:
    """The blueprint of everything below `/api/v2/rules`."""
    blueprint = Blueprint(KIND, __name__, url_prefix=PREFIX)
    blueprint.record_once(_add_converter)
    _add_worker(blueprint, daemon, ManualRefresh(daemon, auth, KIND, "Rule"), metrics)
    add_routes(blueprint, daemon, auth, KIND)
    _add_reads(blueprint, daemon)
    return blueprint


def _add_worker(blueprint: Blueprint, daemon: Daemon, ask: ManualRefresh, metrics: RuleMetrics) -> None:
    """Refresh and status."""

    @blueprint.post("/refresh")
    def refresh() -> JsonResponse:
        """Refresh the rules, or ?family=NAME of them; ?wait=10s answers with the result."""
        return ask(_family, "family")

    @blueprint.get("/status")
    def status() -> JsonResponse:
        """The last and the next refresh of the rules, their counts and the cause of a failure."""
        query.only(*follow.BLOCKING)
        follow.wait_for_change(daemon, KIND)
        worker = daemon.workers.get(KIND)
        if worker is None:
            return answer(off_fields(daemon, KIND))
        now = worker.get_status()
        found = rule_set(now.snapshot)
        dangling = metrics.dangling()
        names = missing(dangling)
        return answer(
            status_fields(
                worker,
                now,
                rules_loaded=0 if found is None else len(found.rules),
                families={} if found is None else found.families(),
                dangling_targets=listed(dangling),
                dangling_targets_count=len(dangling),
                missing_targets=listed_names(names),
                missing_targets_count=len(names),
                hot_cache=None if found is None else asdict(found.stats()),
            )
        )


def _add_reads(blueprint: Blueprint, daemon: Daemon) -> None:
    """All rules, one rule, the rules that match an alert."""

    def served() -> tuple[int, RuleSet]:
        snapshot = loaded(daemon, KIND)
        found = rule_set(snapshot)
        assert found is not None
        return snapshot.generation, found

    @blueprint.get("")
    def listing() -> JsonResponse:
        """All rules; ?family=NAME."""
        query.only("family", *follow.BLOCKING)
        family = _family()
        follow.wait_for_change(daemon, KIND)
        conditional.lists(loaded(daemon, KIND))
        generation, found = served()
        rules = found.all() if family is None else found.family(family)
        return answer({"generation": generation, "rules": [shape(rule) for rule in rules]})

    @blueprint.get("/<rule_id:rule_id>")
    def one(rule_id: str) -> JsonResponse:
        """One rule."""
        query.only(*follow.BLOCKING)
        follow.wait_for_change(daemon, KIND)
        rule = served()[1].get(rule_id)
        if rule is None:
            raise ApiError(404, "Rule not found")
        return answer(shape(rule))

    @blueprint.post("/match")
    def match() -> JsonResponse:
        """Which rules match the labels of an alert, and which targets they name."""
        query.only()
        labels = _labels()
        generation, found = served()
        rules = found.match(labels)
        fields = {"generation": generation, "rules": [_matched(rule) for rule in rules]}
        return answer(fields | _leads_to(daemon, rules))


def _family() -> str | None:
    """The query parameter `family`, which must be a valid name."""
    family = query.one("family")
    if family is not None and not ID.fullmatch(family):
        raise bad_request("Query parameter family must be the name of a family")
    return family


def _labels() -> dict[str, str]:
    """The labels in the request's body.

    Raises:
        ApiError: 415 for another media type, 413 above a limit, 400 if it is not labels.
    """
    if request.mimetype not in ("application/json", ""):
        raise ApiError(415)
    try:
        labels = _decoder.decode(body(LARGEST_ALERT)).labels
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad_request('Request body must be JSON like {"labels": {"severity": "critical"}}') from None
    if len(labels) > MOST_LABELS:
        raise ApiError(413, f"An alert may have {MOST_LABELS} labels")
    if any(len(value.encode()) > LONGEST_VALUE for value in labels.values()):
        raise ApiError(413, f"The value of a label may have {LONGEST_VALUE} bytes")
    return labels


def _matched(rule: Rule) -> dict[str, Any]:
    return {"id": rule.id, "family": rule.family, "priority": rule.priority, "targets": rule.targets}


def _leads_to(daemon: Daemon, rules: list[Rule]) -> dict[str, Any]:
    """The named targets that are available, including stale ones, and the reason why each other one is not."""
    worker = daemon.workers.get("targets")
    snapshot = None if worker is None else worker.get_status().snapshot
    reachable: list[dict[str, Any]] = []
    unavailable: list[dict[str, Any]] = []
    deliveries = Deliveries(daemon.workers)
    routed = {name for rule in rules if deliveries.routes(rule.id) for name in rule.targets}
    for name in dict.fromkeys(name for rule in rules for name in rule.targets):
        target = None if snapshot is None else snapshot.items.get(name)
        if target is None:
            unavailable.append({"name": name, "reason": "not_loaded" if snapshot is None else "missing"})
        elif not target.enabled:
            unavailable.append({"name": name, "reason": "disabled"})
        elif name not in routed or deliveries.state(target) == UNDELIVERABLE:
            unavailable.append({"name": name, "reason": UNDELIVERABLE})
        else:
            reachable.append({"name": name, "type": target.type, "format": target.format, "state": state(target)})
    generation = None if snapshot is None else snapshot.generation
    return {"targets_generation": generation, "targets": reachable, "unavailable": unavailable}


def _add_converter(setup: BlueprintSetupState) -> None:
    setup.app.url_map.converters["rule_id"] = RuleId
