"""`alert-refresh approve` and `reject`: decide about removals that are held."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from alert_refresh.cli.options import ROUTES, asks, example, output

if TYPE_CHECKING:
    from alert_refresh.cli.remote.client import Client

HELD = click.Choice(["targets", "rules"])
"""The kinds whose removals can be held."""


@click.command(epilog=example("alert-refresh approve targets 861f377e022a417f"))
@click.argument("kind", type=HELD)
@click.argument("proposal")
@output
@asks
def approve(client: Client, kind: str, proposal: str, as_json: bool) -> None:
    """Remove now what is held.

    PROPOSAL is the one that `alert-refresh status KIND` shows. Exit status 5: other names are held by now, or none.
    """
    _decide(client, "approve", kind, proposal, as_json)


@click.command(epilog=example("alert-refresh reject targets 861f377e022a417f"))
@click.argument("kind", type=HELD)
@click.argument("proposal")
@output
@asks
def reject(client: Client, kind: str, proposal: str, as_json: bool) -> None:
    """Keep what is held.

    It is kept while exactly these are absent. PROPOSAL is the one that `alert-refresh status KIND` shows. Exit
    status 5: other names are held by now, or none.
    """
    _decide(client, "reject", kind, proposal, as_json)


def _decide(client: Client, action: str, kind: str, proposal: str, as_json: bool) -> None:
    from alert_refresh.cli.table import json_line
    from alert_refresh.observe.formats import escape

    answer = client.ask("POST", f"{ROUTES[kind]}/{action}", {"proposal": proposal}, token=True)
    fields = client.good(answer, {"message": str, "count": float, "names": [str]}).fields
    if as_json:
        click.echo(json_line(fields))
        return
    sign = "-" if action == "approve" else "="
    lines = [f"{kind}: {fields['message']}: {fields['count']}", *(f"  {sign} {name}" for name in fields["names"])]
    click.echo("\n".join(map(escape, lines)))
