"""`alert-refresh refreshes`: what came of the last refreshes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from alert_refresh.cli.options import KIND, ListByDefault, asks, example, output
from alert_refresh.cli.refresh import ENDED, RECORD
from alert_refresh.cli.remote.shape import OrNull

if TYPE_CHECKING:
    from alert_refresh.cli.remote.client import Client
    from alert_refresh.cli.remote.shape import Fields

PATH = "/api/v2/refreshes"
ROW: Fields = RECORD | {"trigger": str, "started_at": OrNull(str), "accepted_at": OrNull(str)}
RESULTS = ["queued", "running", "retrying", "success", "failed", "held", "superseded", "cancelled"]
TRIGGERS = ["startup", "periodic", "manual", "watch", "file"]
MOST = 1000
"""Refreshes that a daemon remembers."""


@click.group(cls=ListByDefault, epilog=example("alert-refresh refreshes", "alert-refresh refreshes list --help"))
def refreshes() -> None:
    """What came of the last refreshes; `list` by default."""


@refreshes.command("list", epilog=example("alert-refresh refreshes list --kind targets --result failed --since 24h"))
@click.option("--kind", type=KIND, help="Only those of this kind.")
@click.option("--result", type=click.Choice(RESULTS), help="Only those with this result.")
@click.option("--trigger", type=click.Choice(TRIGGERS), help="Only those that began for this reason.")
@click.option("--since", metavar="TIME", help="Only those since then: 24h ago, or a time such as 2026-11-25T10:30:45Z.")
@click.option("--limit", type=click.IntRange(1, MOST), default=20, show_default=True, help="The newest so many.")
@output
@asks
def list_(
    client: Client,
    kind: str | None,
    result: str | None,
    trigger: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the last refreshes, the newest first.

    AGE is the time since each began.
    """
    from alert_refresh.cli import table

    given = {"kind": kind, "result": result, "trigger": trigger, "since": _time(since), "limit": str(limit)}
    found = client.get(PATH, {"refreshes": [ROW]}, {name: value for name, value in given.items() if value is not None})
    if as_json:
        click.echo(table.json_line(found.fields))
        return
    rows = [
        (
            table.since(one["started_at"] or one["accepted_at"], found.now),
            one["kind"],
            one["result"],
            one["trigger"],
            f"{one['duration_ms']} ms",
            one["attempts"],
            one["items"],
            one["request_id"],
            f"{one['error_type']}: {one['error']}" if one["error"] else None,
        )
        for one in found.fields["refreshes"]
    ]
    head = ("AGE", "KIND", "RESULT", "TRIGGER", "TOOK", "ATTEMPTS", "ITEMS", "REQUEST", "ERROR")
    click.echo(table.table(head, rows))


@refreshes.command("get", epilog=example("alert-refresh refreshes get 49bbf8ac-2e49-4dc6-b2d0-8cdb8d8c1e9b"))
@click.argument("request_id")
@output
@asks
def get(client: Client, request_id: str, as_json: bool) -> None:
    """Show one refresh and what it changed.

    Names, and the names of the fields that differ, never values.
    """
    from alert_refresh.cli import table
    from alert_refresh.cli.refresh import differences
    from alert_refresh.observe.formats import escape

    found = client.get_one(PATH, request_id, ENDED).fields
    if as_json:
        click.echo(table.json_line(found))
        return
    difference = found.pop("difference", None)
    click.echo(table.pairs(found))
    for line in differences(difference or {}):
        click.echo(escape(line))


def _time(text: str | None) -> str | None:
    """A duration before now as Unix seconds; anything else as it is, which the daemon judges."""
    from alert_refresh import durations

    try:
        return None if text is None else f"{max(0.0, time.time() - durations.parse(text)):.3f}"
    except ValueError:
        return text
