"""`alert-refresh views`: the materialized views that a daemon keeps fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from alert_refresh.cli.options import ROUTES, ListByDefault, asks, example, output
from alert_refresh.cli.remote.shape import OrNull

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.cli.remote.client import Client
    from alert_refresh.cli.remote.shape import Fields

PATH = ROUTES["views"]
TEXT = OrNull(str)
VIEW: Fields = {"name": str, "state": str, "last_success": TEXT, "next_refresh": TEXT, "rows": OrNull(float)}
VIEW |= {"duration_ms": float, "outcome": TEXT, "reason": TEXT}


@click.group(cls=ListByDefault, epilog=example("alert-refresh views", "alert-refresh views get mv_entity_ancestors"))
def views() -> None:
    """Views that a daemon refreshes; `list` by default."""


@views.command("list", epilog=example("alert-refresh views list -o json"))
@output
@asks
def list_(client: Client, as_json: bool) -> None:
    """List the views.

    AGE is the time since each was refreshed or proven unchanged.
    """
    from alert_refresh.cli import table

    found = client.get(PATH, {"views": [VIEW]})
    if as_json:
        click.echo(table.json_line(found.fields))
        return
    rows = [_row(one, found.now) for one in found.fields["views"]]
    click.echo(table.table(("NAME", "STATE", "AGE", "NEXT", "ROWS", "TOOK", "OUTCOME", "WHY"), rows))


@views.command("get", epilog=example("alert-refresh views get mv_entity_ancestors"))
@click.argument("name")
@output
@asks
def get(client: Client, name: str, as_json: bool) -> None:
    """Show one view."""
    from alert_refresh.cli import table

    found = client.get_one(PATH, name, VIEW).fields
    click.echo(table.json_line(found) if as_json else table.pairs(found))


def _row(one: Mapping[str, Any], now: float) -> tuple[object, ...]:
    from alert_refresh.cli.table import since, until

    times = (since(one["last_success"], now), until(one["next_refresh"], now))
    return one["name"], one["state"], *times, one["rows"], f"{one['duration_ms']:.0f} ms", one["outcome"], one["reason"]
