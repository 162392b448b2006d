"""`alert-refresh targets`: those that a daemon serves, and manifests checked before they are applied."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alert_refresh.cli import exits
from alert_refresh.cli.options import ROUTES, File, ListByDefault, asks, example, output
from alert_refresh.cli.remote.shape import Each, OrNull

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.cli.remote.client import Client
    from alert_refresh.cli.remote.shape import Fields, Shape
    from alert_refresh.engine import AttemptError
    from alert_refresh.targets.folder.validate import Place, Report, Validation

TYPES = ("rootly", "pagerduty", "slack", "webhook")
PATH = ROUTES["targets"]
FAULTS: Shape = [{"field": str, "message": str}]
TARGET: Fields = {"name": str, "type": str, "state": str, "since": OrNull(str), "enabled": bool, "url": str}
TARGET |= {"source": {"namespace": str, "secret": str}, "faults": FAULTS}
REJECTED: Fields = {"source": Each(str), "faults": FAULTS}
STDIN = Path("-")
VARIABLES = ("TARGET_LABEL_SELECTOR", "TARGET_URL_DENY_PRIVATE")


@click.group(cls=ListByDefault, epilog=example("alert-refresh targets", "alert-refresh targets get slack-platform"))
def targets() -> None:
    """Targets that a daemon serves; `list` by default.

    `validate` needs no daemon.
    """


@targets.command("list", epilog=example("alert-refresh targets list --type slack", "alert-refresh targets -o json"))
@click.option("--type", "type_", type=click.Choice(TYPES), help="Only targets of this type.")
@click.option("--enabled/--disabled", default=None, help="Only targets that are enabled, or that are not.")
@output
@asks
def list_(client: Client, type_: str | None, enabled: bool | None, as_json: bool) -> None:
    """List the targets and the rejected Secrets.

    A `stale` target is served in its last valid version, and SINCE is how long already. Of a `rejected` Secret nothing
    is served. WHY is the first fault, also of one that Alertmanager cannot deliver to.
    """
    from alert_refresh.cli import table

    query = {} if type_ is None else {"type": type_}
    query |= {} if enabled is None else {"enabled": str(enabled).lower()}
    found = client.get(PATH, {"targets": [TARGET], "rejected": [REJECTED]}, query)
    if as_json:
        click.echo(table.json_line(found.fields))
        return
    rows = [_row(one, found.now) for one in found.fields["targets"]]
    if not query:
        rows += [_rejected(one) for one in found.fields["rejected"]]
    click.echo(table.table(("NAME", "STATE", "SINCE", "TYPE", "ENABLED", "URL", "SECRET", "WHY"), rows))


@targets.command("get", epilog=example("alert-refresh targets get slack-platform"))
@click.argument("name")
@click.option("--reveal", is_flag=True, help="Show the whole URL and the values of headers; needs a token.")
@output
@asks
def get(client: Client, name: str, reveal: bool, as_json: bool) -> None:
    """Show one target, with every fault."""
    from alert_refresh.cli import table

    query = {"reveal": "true"} if reveal else {}
    found = client.get_one(PATH, name, TARGET, query, token=reveal)
    if as_json:
        click.echo(table.json_line(found.fields))
        return
    faults = {
        name: [f"{one['field']}: {one['message']}" for one in found.fields.get(name, ())] or None
        for name in ("faults", "delivery_faults")
    }
    source = "/".join(str(found.fields["source"][part]) for part in ("namespace", "secret"))
    click.echo(table.pairs(found.fields | faults | {"source": source}))


def _row(one: Mapping[str, Any], now: float) -> tuple[object, ...]:
    """A target as cells of the table."""
    from alert_refresh.cli.table import since

    secret = f"{one['source']['namespace']}/{one['source']['secret']}"
    state = (one["name"], one["state"], since(one["since"], now))
    return (
        *state,
        one["type"],
        one["enabled"],
        one["url"],
        secret,
        _why(one["faults"] or one.get("delivery_faults", [])),
    )


def _rejected(one: Mapping[str, Any]) -> tuple[object, ...]:
    """A rejected Secret or file as cells of the table: it has no name."""
    return None, "rejected", *[None] * 4, "/".join(one["source"].values()), _why(one["faults"])


def _why(faults: list[Mapping[str, Any]]) -> str | None:
    """The first fault, and how many more there are."""
    if not faults:
        return None
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{faults[0]['field']}: {faults[0]['message']}{more}"


@targets.command(
    epilog=example(
        "alert-refresh targets validate deploy/targets/",
        "kustomize build overlays/prod | alert-refresh targets validate --strict -",
    )
)
@click.argument("files", type=File(), nargs=-1, required=True)
@output
@click.option("--strict", is_flag=True, help="Fail also if an object is skipped, or if there is no valid target.")
def validate(files: tuple[Path, ...], as_json: bool, strict: bool) -> None:
    """Check manifests before they are applied.

    Prints every fault, each with its file and line; - is standard input. FILES are manifests in YAML or JSON, with
    any number of documents and lists, or folders, which are read as TARGET_DIRECTORY is. TARGET_LABEL_SELECTOR and
    TARGET_URL_DENY_PRIVATE mean what they mean to the daemon. No value of a Secret is ever printed.

    Exit status 1: there is a fault. 2: a file cannot be read, or a setting is invalid.
    """
    from alert_refresh.observe import logs

    checked = _validation()
    with logs.command(lambda line: click.echo(line, err=True)):
        errors = [one for one in (_add(checked, file) for file in _each_once(files)) if one is not None]
        report = checked.report()
    if as_json:
        click.echo(json.dumps(as_fields(report, errors)))
    else:
        for line in lines_of(report):
            _print(line)
    for name, error in errors:
        _print(f"{name}: {error}", err=True)
    failed = report.faults or (strict and (report.skipped or not report.targets))
    sys.exit(exits.USAGE if errors else exits.BAD if failed else exits.OK)


def as_fields(report: Report, errors: list[tuple[str, AttemptError]]) -> dict[str, Any]:
    """A report as JSON fields."""
    return {
        "targets": report.targets,
        "faults": [one.place._asdict() | one.fault.fields() for one in report.faults],
        "skipped": [one.place._asdict() | {"reason": one.reason} for one in report.skipped],
        "errors": [{"file": name, "error": str(error), "error_type": error.error_type} for name, error in errors],
    }


def lines_of(report: Report) -> list[str]:
    """A report as lines of text, a summary at the end."""
    from alert_refresh.cli.table import quantity
    from alert_refresh.targets.folder.validate import counted

    lines = [f"{_where(one.place, 'secret')}: {one.fault.field}: {one.fault.message}" for one in report.faults]
    lines += [f"{_where(one.place, 'object')}: skipped: {one.reason}" for one in report.skipped]
    targets, faults = quantity(report.targets, "valid target"), quantity(len(report.faults), "fault")
    where = quantity(counted(report.faults), "Secret or file", "Secrets or files")
    return [*lines, f"{targets}, {faults} in {where}, {quantity(len(report.skipped), 'object')} skipped"]


def _where(place: Place, noun: str) -> str:
    """`file:line: secret 'ns/name'`, as far as it is known."""
    where = place.file if place.line is None else f"{place.file}:{place.line}"
    if place.secret is not None:
        return f"{where}: {noun} '{place.namespace}/{place.secret}'"
    return where if place.document is None else f"{where}: object {place.document}"


def _validation() -> Validation:
    """A validation with the settings of the environment; exits with status 2 if one is invalid."""
    from alert_refresh.daemon import read_kind
    from alert_refresh.engine import ConfigErrors
    from alert_refresh.targets import KIND
    from alert_refresh.targets.folder.validate import Validation
    from alert_refresh.targets.secret.selector import parse_selector

    try:
        settings = read_kind(KIND, VARIABLES)
    except ConfigErrors as errors:
        for one in errors.faults:
            _print(str(one), err=True)
        sys.exit(exits.USAGE)
    return Validation(parse_selector(settings.label_selector), deny_private=settings.deny_private)


def _each_once(files: tuple[Path, ...]) -> list[Path]:
    """The files without those that are named again."""
    return list({str(file) if file == STDIN else os.path.realpath(file): file for file in reversed(files)}.values())[
        ::-1
    ]


def _add(checked: Validation, file: Path) -> tuple[str, AttemptError] | None:
    """Read a file, a folder or standard input; what cannot be read is returned with the reason."""
    from alert_refresh.engine import AttemptError

    try:
        if file != STDIN and os.path.isdir(file):  # noqa: PTH112 - Path.is_dir raises where it may not look
            checked.add_folder(file)
        else:
            checked.add_file(str(file), _content(file))
    except AttemptError as error:
        return str(file), error
    return None


def _content(file: Path) -> bytes:
    """The content of a file, a pipe or standard input, and a byte more than a manifest may have at most."""
    from alert_refresh.engine import Permanent
    from alert_refresh.files.read import STORAGE, storage_error
    from alert_refresh.targets.folder.parts import MAX_FILE

    if file == STDIN and sys.stdin is None:
        raise Permanent("standard input is closed", STORAGE)
    try:
        if file == STDIN:
            return sys.stdin.buffer.read(MAX_FILE + 1)
        with file.open("rb") as opened:
            return opened.read(MAX_FILE + 1)
    except OSError as error:
        raise storage_error(error, "standard input" if file == STDIN else "the file") from error


def _print(line: str, *, err: bool = False) -> None:
    """Print a line with unprintable characters escaped."""
    from alert_refresh.observe.formats import escape

    click.echo(escape(line), err=err)
