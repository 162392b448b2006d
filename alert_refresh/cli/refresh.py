"""`alert-refresh refresh`: ask a daemon to refresh now, and wait for what comes of it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from alert_refresh.cli import exits
from alert_refresh.cli.options import KIND, ROUTES, Seconds, asks, example, output
from alert_refresh.cli.remote.shape import IfThere, OrNull

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.cli.remote.client import Client
    from alert_refresh.cli.remote.shape import Fields

    Result = dict[str, Any]

POLL = 15.0
"""Seconds of one request that waits for the end of a refresh: what a person is told in between is no older."""
OVER = {
    "success": exits.OK,
    "held": exits.OK,
    "failed": exits.BAD,
    "superseded": exits.BAD,
    "cancelled": exits.NOT_NOW,
}
"""Results after which nothing more comes of a refresh, with their exit statuses."""
PARTS = {"targets": "target", "rules": "family", "views": "view"}
"""What NAME means, by kind."""
ACCEPTED: Fields = {"request_id": str, "refresh_started_at": str}
CHANGES: Fields = {f"{sort}_count": IfThere(float) for sort in ("added", "changed", "removed")}
CHANGES |= {"added": IfThere([str]), "changed": IfThere([{"name": str, "fields": [str]}]), "removed": IfThere([str])}
RECORD: Fields = {"request_id": str, "kind": str, "result": str, "attempts": float, "duration_ms": float}
RECORD |= {"items": OrNull(float), "error": OrNull(str), "error_type": OrNull(str)}
"""What is known of a refresh."""
ENDED: Fields = RECORD | {"rejected": OrNull(float), "changed": bool, "difference": IfThere(OrNull(CHANGES))}
BUSY = ("refresh_in_progress", "rate_limit_exceeded")
"""Errors after which a refresh may be accepted later."""


@click.command(
    epilog=example(
        "alert-refresh refresh",
        "alert-refresh refresh targets --wait",
        "alert-refresh refresh targets slack-platform --wait --timeout 30s",
    )
)
@click.argument("kind", type=KIND, required=False)
@click.argument("name", required=False)
@click.option("-w", "--wait", is_flag=True, help="Wait for the result, and before it until a refresh is accepted.")
@click.option("--timeout", type=Seconds(), default="5m", show_default=True, help="How long --wait waits at most.")
@output
@asks
def refresh(client: Client, kind: str | None, name: str | None, wait: bool, timeout: float, as_json: bool) -> None:
    """Refresh all kinds, one, or a part of one.

    NAME is a target, a family of rules, or a view. Without --wait it ends as soon as the refresh is accepted. Exit
    status 1: the refresh failed. 6: it was refused for now (another one runs, or the last one was a moment ago), or
    was not over in time.
    """
    from alert_refresh.cli.table import json_line

    if name is not None and kind not in PARTS:
        raise click.UsageError(f"A part of {kind} cannot be refreshed alone.")
    asked = Asked(client, time.monotonic() + timeout if wait else None)
    kinds = [kind] if kind else asked.kinds_that_are_on()
    found = [asked.accepted(one, name) for one in kinds]
    if wait:
        found = [asked.ended(one) for one in found]
    if as_json:
        click.echo(json_line({"refreshes": found}))
    for one in () if as_json else found:
        _print(one)
    sys.exit(max((_exit_status(one) for one in found), default=exits.OK, key=_severity))


class Asked:
    """Asks one daemon for refreshes; `until` is the monotonic time until which to wait, None for not at all."""

    def __init__(self, client: Client, until: float | None) -> None:
        self._client = client
        self._until = until

    def kinds_that_are_on(self) -> list[str]:
        """The kinds that this daemon refreshes."""
        from alert_refresh.cli.remote.client import Failed
        from alert_refresh.cli.status import summary

        kinds = summary(self._client)["kinds"]
        found = [kind for kind in ROUTES if kinds.get(kind, {"status": "off"})["status"] != "off"]
        if not found:
            raise Failed("No kind is on: nothing is configured to be refreshed", exits.BAD)
        return found

    def accepted(self, kind: str, name: str | None) -> Result:
        """Ask for a refresh: its kind and id, or an error that does not concern other kinds."""
        from alert_refresh.cli.remote.client import below

        path, query = f"{ROUTES[kind]}/refresh", {}
        if name is not None and kind == "targets":
            path = f"{below(ROUTES[kind], name)}/refresh"
        elif name is not None:
            query = {PARTS[kind]: name}
        while True:
            answer = self._client.ask("POST", path, query, token=True)
            if answer.status not in (429, 503):
                return {"kind": kind, **self._client.good(answer, ACCEPTED, named=name is not None).fields}
            if not self._may_ask_again(kind, answer.fields, answer.retry_after):
                return {"kind": kind, **answer.fields, "retry_after_seconds": answer.retry_after}

    def _may_ask_again(self, kind: str, fields: Mapping[str, Any], wait: float | None) -> bool:
        """Wait until the refresh may be accepted, if there is time left for that."""
        from alert_refresh.cli.remote.client import pause

        if fields["error"] not in BUSY or wait is None or wait > self._left():
            return False
        _tell(f"{kind}: {fields.get('message')}; trying again in {wait:g} s")
        pause(wait)
        return True

    def ended(self, asked: Result) -> Result:
        """Wait until a refresh that was accepted is over, or the time is."""
        from alert_refresh.cli.remote.client import below, pause

        if "refresh_started_at" not in asked:
            return asked
        path = below("/api/v2/refreshes", asked["request_id"])
        told = None
        while True:
            wait = min(POLL, max(1.0, self._left()))
            answer = self._client.ask("GET", path, wait=wait)
            if answer.status == 503 and answer.retry_after is not None and answer.retry_after < self._left():
                pause(answer.retry_after)  # as many wait already as may
                continue
            fields = self._client.good(answer, ENDED, named=True).fields
            if fields["result"] in OVER or self._left() <= 0:
                return fields
            if fields["result"] == "retrying" and told != fields["attempts"]:
                told = fields["attempts"]
                _tell(f"{asked['kind']}: attempt {told} failed ({fields['error_type']}): {fields['error']}; retrying")

    def _left(self) -> float:
        return 0.0 if self._until is None else self._until - time.monotonic()


def _exit_status(found: Mapping[str, Any]) -> int:
    if "result" in found:
        return OVER.get(found["result"], exits.BAD if found["result"] == "retrying" else exits.NOT_NOW)
    return exits.NOT_NOW if "error" in found else exits.OK


def _severity(status: int) -> int:
    """A failure is worse than what may be tried again."""
    return (exits.OK, exits.NOT_NOW, exits.BAD).index(status)


def _print(found: Mapping[str, Any]) -> None:
    kind = found["kind"]
    if "result" in found:
        for line in lines_of(found):
            _say(line)
    elif "error" in found:
        wait = found["retry_after_seconds"]
        again = "" if wait is None else f"; try again in {wait:g} s"
        _tell(f"{kind}: {found.get('message')}{again}")
    else:
        _say(f"{kind}: refresh accepted, request {found['request_id']}")


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """What came of a refresh, and below it what differs, as `alert-refresh plan` shows it."""
    from alert_refresh.cli.table import quantity

    head = f"{found['kind']}: {found['result']}"
    if found.get("error"):
        head += f" ({found['error_type']}): {found['error']}"
    elif found["result"] in ("success", "held"):
        head += f" in {found['duration_ms']} ms: {quantity(found['items'], 'item')}, {found['rejected']} rejected, "
        head += f"{'changed' if found['changed'] else 'unchanged'}"
    return [head, *differences(found.get("difference") or {})]


def differences(found: Mapping[str, Any]) -> list[str]:
    """The names that were added, changed and removed, a line each, and how many more there are."""
    lines = [f"  + {name}" for name in found.get("added", ())]
    lines += [f"  ~ {one['name']}: {', '.join(one['fields'])}" for one in found.get("changed", ())]
    lines += [f"  - {name}" for name in found.get("removed", ())]
    more = sum(found.get(f"{sort}_count", 0) for sort in ("added", "changed", "removed")) - len(lines)
    return [*lines, f"  and {more} more"] if more > 0 else lines


def _say(line: str) -> None:
    from alert_refresh.observe.formats import escape

    click.echo(escape(line))


def _tell(line: str) -> None:
    """Print to standard error what is no result."""
    from alert_refresh.observe.formats import escape

    click.echo(escape(line), err=True)
