"""`alert-refresh events`: what was published, and what came of each refresh, as it happens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from alert_refresh.cli import exits
from alert_refresh.cli.options import KIND, asks, example, output
from alert_refresh.cli.remote.shape import Each, OrNull, fits

if TYPE_CHECKING:
    from alert_refresh.cli.remote.client import Client
    from alert_refresh.cli.remote.event_stream import Event
    from alert_refresh.cli.remote.shape import Fields

MOST_NAMES = 5
"""Names of each sort in a line for people."""
PUBLISHED: Fields = {"at": str, "kind": str, "generation": float, "items": float}
for _sort in ("added", "changed", "removed"):
    PUBLISHED |= {_sort: [str], f"{_sort}_count": float}
REFRESHED: Fields = {"at": str, "kind": str, "result": str, "trigger": str, "duration_ms": float}
REFRESHED |= dict.fromkeys(("error", "error_type", "next_attempt"), OrNull(str))
SYNC: Fields = {"generations": Each(OrNull(float)), "missed": bool}
SHAPES: Fields = {"sync": SYNC, "published": PUBLISHED, "refresh": REFRESHED}
"""The data of events by their names; of one with another name nothing is known."""


@click.command(
    epilog=example(
        "alert-refresh events --follow",
        "alert-refresh events --follow --kind targets -o json | jq -r .event",
        "alert-refresh events --after 1764119223123.42",
    )
)
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C; a lost connection is made again.")
@click.option("--kind", "kinds", type=KIND, multiple=True, help="Only events of this kind; may be given again.")
@click.option("--after", default="", metavar="ID", help="Begin after the event with this id.")
@output
@asks
def events(client: Client, follow: bool, kinds: tuple[str, ...], after: str, as_json: bool) -> None:
    """Print changes and refreshes as they happen.

    A line is a new version of a kind, or an attempt of a refresh that ended. Without --follow it prints the events
    after --after that the daemon still has, and ends; without both, the generations that are served now and the id
    to go on from. With -o json each line is an object with `id`, `event` and the fields of the event. Exit status
    1: events after --after are gone (without --follow).
    """
    from alert_refresh.cli.remote import event_stream

    if not (after.isascii() and after.isprintable()):
        raise click.BadParameter("it is no id of an event.", param_hint="'--after'")
    missed = False
    if follow:
        query = {"kinds": ",".join(kinds)} if kinds else {}
        found = event_stream.follow(client, query, after, lambda said: _tell(said))
    else:
        found = event_stream.until_now(client, after)
    for event in found:
        if not fits(event.data, SHAPES.get(event.name, dict)):
            raise event_stream.Malformed(client)
        missed |= event.name == "sync" and bool(event.data.get("missed"))
        if event.name == "sync" or not kinds or event.data.get("kind") in kinds:
            _print(event, as_json)
    sys.exit(exits.BAD if missed else exits.OK)


def _print(event: Event, as_json: bool) -> None:
    from alert_refresh.cli.table import json_line
    from alert_refresh.observe.formats import escape

    if as_json:
        click.echo(json_line({"id": event.id, "event": event.name, **event.data}))
    elif event.name == "sync":
        click.echo(escape(_position(event)))
    else:
        click.echo(escape(line_of(event.name, event.data)))


def _tell(said: str) -> None:
    from alert_refresh.observe.formats import escape

    click.echo(escape(said), err=True)


def _position(event: Event) -> str:
    """What is served at the begin of a stream."""
    kinds = event.data.get("generations", {})
    served = ", ".join(f"{kind} {'-' if number is None else number}" for kind, number in kinds.items())
    gone = "events are missing before this one; " if event.data.get("missed") else ""
    return f"{gone}event {event.id}; generations: {served}"


def line_of(name: str, data: dict[str, Any]) -> str:
    """An event as a line for people."""
    head = f"{data.get('at')}   {data.get('kind')!s:<12}   "
    if name == "published":
        return f"{head}generation {data['generation']}: {data['items']} items{_names(data)}"
    if name != "refresh":
        return f"{head}{name}"
    told = f"{data['result']} after {data['duration_ms']} ms ({data['trigger']})"
    if data.get("error"):
        told += f": {data['error_type']}: {data['error']}"
    return f"{head}refresh: {told}" + (f"; next attempt at {data['next_attempt']}" if data.get("next_attempt") else "")


def _names(data: dict[str, Any]) -> str:
    """The first names that were added, changed and removed, and how many more there are."""
    told = []
    for sort, sign in (("added", "+"), ("changed", "~"), ("removed", "-")):
        told += [f"{sign} {name}" for name in data[sort][:MOST_NAMES]]
        more = data[f"{sort}_count"] - len(data[sort][:MOST_NAMES])
        told += [f"{sign} {more} more"] if more > 0 else []
    return f": {', '.join(told)}" if told else ""
