"""`alert-refresh status` and `healthcheck`: is each kind fresh, and if not, why and since when."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from alert_refresh.cli import exits
from alert_refresh.cli.options import KIND, ROUTES, Own, asks, example, output
from alert_refresh.cli.remote.shape import Each, IfThere, OrNull, fits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.cli.remote.client import Client
    from alert_refresh.cli.remote.shape import Fields

HEALTH_SECONDS = 2.0
"""How long a health check waits for its answer: container runtimes give it three seconds and more."""
FRESH = ("healthy", "off")
COUNTS = {
    "targets": ("targets_valid", "stale_targets"),
    "rules": ("rules_loaded",),
    "views": ("views_configured",),
    "alertmanager": ("receivers",),
}
"""The fields of a kind's status that together count what it serves."""
TEXT, NUMBER, FLAG = IfThere(OrNull(str)), IfThere(OrNull(float)), IfThere(OrNull(bool))
HEALTH: Fields = {"status": str, "message": TEXT, "loaded": FLAG, "stale": FLAG, "seconds_since_success": NUMBER}
SUMMARY: Fields = {"status": str, "summary": TEXT, "kinds": Each(HEALTH), "stuck": [str]}
HELD: Fields = {"count": float, "rejected": bool, "since": str, "proposal": str}
STATUS: Fields = {"status": str, "held": IfThere(OrNull(HELD)), "breaker_open": FLAG, "restored": FLAG}
STATUS |= dict.fromkeys(("error", "error_type", "next_attempt", "next_refresh", "waiting_for"), TEXT)
STATUS |= {"watch": IfThere(OrNull({"connected": bool, "error": OrNull(str)})), "overlapping": IfThere(list)}
STATUS |= {name: IfThere(float) for names in COUNTS.values() for name in names}
STATUS |= {"restored_age_seconds": NUMBER, "consecutive_failures": IfThere(float), "targets_invalid": IfThere(float)}
STATUS |= {"missing_targets_count": IfThere(float), "views_failed": IfThere(float)}
STATUS |= {"undeliverable_count": IfThere(float), "undeliverable_rules_count": IfThere(float)}
"""The status of a kind; each has fields of its own."""
OUTDATED = ("stale_targets", "views_failed", "consecutive_failures", "held", "restored")
"""The fields of a kind's status of which each says that something is served in an old version."""
ALIVE = {"/healthz": {"status": "ok"}, "/readyz": {"status": "ready"}}
"""What a health check is answered, exactly: there is nothing else in it by which to know alert-refresh."""


@click.command(epilog=example("alert-refresh status", "alert-refresh status targets -o json"))
@click.argument("kind", type=KIND, required=False)
@output
@asks
def status(client: Client, kind: str | None, as_json: bool) -> None:
    """Show whether everything and each kind is fresh, or why not.

    With KIND everything there is to know of that one. AGE is the time since the last success, NEXT the time to the
    next refresh. Exit status 1: a kind that is on is degraded or unhealthy.
    """
    from alert_refresh.cli.table import json_line, table
    from alert_refresh.observe.formats import escape

    health = summary(client)
    if kind is not None:
        found = client.get(f"{ROUTES[kind]}/status", STATUS)
        click.echo(json_line(found.fields) if as_json else _details(found.fields, found.now))
        sys.exit(_exit_status([health["kinds"].get(kind, {})]))
    kinds = {name: (one, _status_of(client, name, one)) for name, one in health["kinds"].items()}
    if as_json:
        shown = {name: {"health": one, "status": fields} for name, (one, (fields, _)) in kinds.items()}
        click.echo(json_line({name: health[name] for name in ("status", "summary", "stuck")} | {"kinds": shown}))
    else:
        if health["summary"]:
            click.echo(f"{escape(health['summary'])}\n")
        rows = [_row(name, one, *told) for name, (one, told) in kinds.items()]
        click.echo(table(("KIND", "STATE", "AGE", "NEXT", "ITEMS", "WHY"), rows))
        for thread in health["stuck"]:
            click.echo(table(("STUCK",), [(thread,)]))
    sys.exit(exits.BAD if health["stuck"] else _exit_status([one for one, _ in kinds.values()]))


@click.command(cls=Own, epilog=example("alert-refresh healthcheck", "alert-refresh healthcheck --ready"))
@click.option("--ready", is_flag=True, help="Ask whether targets and rules are loaded, where configured, too.")
@asks
def healthcheck(client: Client, ready: bool) -> None:
    """Exit with 0 if the daemon makes progress.

    For a container's health check: the exit status is 0 or 1 and no other. It is 0 while what it reads from is
    away: starting it again would not help.
    """
    from alert_refresh.cli.remote.client import Failed

    try:
        for path in ("/healthz", "/readyz") if ready else ("/healthz",):
            if client.get(path, dict, timeout=HEALTH_SECONDS).fields != ALIVE[path]:
                raise client.stranger("200 with other fields than expected")
    except Failed as error:
        raise Failed(error.message, exits.BAD) from None
    click.echo("ready" if ready else "ok")


def summary(client: Client) -> dict[str, Any]:
    """The health of all kinds: `status`, `summary`, `kinds` by name, `stuck` threads.

    One that is unhealthy is no error here. `summary` is None from a daemon that has no sentence.
    """
    answer = client.ask("GET", "/health")
    if not fits(answer.fields, SUMMARY):
        client.good(answer, SUMMARY)
    return {"summary": None} | answer.fields


def _status_of(client: Client, kind: str, health: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """The status of one kind, and the daemon's time; empty for one that is off or has no such route."""
    if kind not in ROUTES or health["status"] == "off":
        return {}, 0.0
    answer = client.ask("GET", f"{ROUTES[kind]}/status")
    return (client.good(answer, STATUS).fields if answer.status < 300 else {}), answer.now


def _exit_status(health: list[Mapping[str, Any]]) -> int:
    return exits.OK if all(one.get("status", "off") in FRESH for one in health) else exits.BAD


def _row(kind: str, health: Mapping[str, Any], fields: Mapping[str, Any], now: float) -> tuple[object, ...]:
    from alert_refresh.cli.table import age, until

    state = _state(health, fields)
    why = health.get("message", "") if state == "off" else "; ".join(reasons(health, fields, now))
    since = age(health.get("seconds_since_success"))
    counts = [fields[name] for name in COUNTS.get(kind, ()) if name in fields]
    return kind, state, since, until(fields.get("next_refresh"), now), sum(counts) if counts else None, why


def _state(health: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """A kind in one word: `fresh` only if all of it is the newest version there is."""
    if health["status"] != "healthy":
        return str(health["status"])
    if not health.get("loaded", True) or fields.get("waiting_for"):
        return "loading"
    if any(fields.get(name) for name in OUTDATED):
        return "stale"
    rejected = fields.get("targets_invalid") or fields.get("undeliverable_count")
    return "rejected" if rejected or fields.get("undeliverable_rules_count") else "fresh"


def reasons(health: Mapping[str, Any], fields: Mapping[str, Any], now: float) -> list[str]:
    """What is not as it should be with a kind, most important first; `now` is the daemon's time in Unix seconds."""
    from alert_refresh.cli.table import age, quantity, since, until

    found = [] if health.get("loaded", True) else ["nothing is loaded yet"]
    if fields.get("waiting_for"):
        found.append(f"waiting: {fields['waiting_for']}")
    if fields.get("error"):
        streak = fields.get("consecutive_failures", 0)
        found.append(f"{fields.get('error_type')}: {fields['error']} ({streak} in a row)")
    if fields.get("next_attempt"):
        found.append(f"next attempt in {until(fields['next_attempt'], now)}")
    if held := fields.get("held"):
        word = "rejected" if held["rejected"] else "held"
        told = f"the removal of {held['count']} is {word}"
        found.append(f"{told} for {since(held['since'], now)}, proposal {held['proposal']}")
    if fields.get("breaker_open"):
        found.append("the circuit breaker is open")
    if fields.get("restored"):
        found.append(f"restored after a restart, {age(fields.get('restored_age_seconds'))} old")
    stale = fields.get("stale_targets", 0)
    counts = {
        "stale": stale,
        "rejected": fields.get("targets_invalid", 0) - stale,
        "missing target": fields.get("missing_targets_count", 0),
        "failed": fields.get("views_failed", 0),
        "undeliverable": fields.get("undeliverable_count", 0),
        "undeliverable rule": fields.get("undeliverable_rules_count", 0),
        "overlapping": len(fields.get("overlapping", ())),
    }
    nouns = ("missing target", "undeliverable rule")
    found += [quantity(count, word, "" if word in nouns else word) for word, count in counts.items() if count > 0]
    watch = fields.get("watch")
    if watch and not watch["connected"]:
        found.append(": ".join(filter(None, ("the watch is not connected", watch["error"]))))
    if not found and health.get("stale"):
        found.append("no refresh for too long")
    return found


def _details(fields: Mapping[str, Any], now: float) -> str:
    """Every field of a status on a line of its own; times with how long ago or how soon they are."""
    from alert_refresh.cli.table import age, pairs, unix

    shown: dict[str, object] = {}
    for name, value in fields.items():
        shown |= (
            {f"{name}.{key}": one for key, one in value.items()} if value and isinstance(value, dict) else {name: value}
        )
    for name, value in shown.items():
        at = unix(value) if isinstance(value, str) and value.endswith("Z") else None
        if at is not None:
            shown[name] = f"{value} ({f'in {age(at - now)}' if at > now else f'{age(now - at)} ago'})"
        elif value == []:
            shown[name] = None
    return pairs(shown)
