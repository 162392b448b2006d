"""`alert-refresh targets`: check manifests of targets before they are applied."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from alert_refresh.engine import AttemptError
    from alert_refresh.targets.folder.validate import Place, Report, Validation

FAULTS = 1
UNREADABLE = 2

STDIN = Path("-")
FILE = click.Path(path_type=Path, readable=False)
"""Any path: errors are reported when it is read."""
VARIABLES = ("TARGET_LABEL_SELECTOR", "TARGET_URL_DENY_PRIVATE")


@click.group()
def targets() -> None:
    """Check manifests of targets."""


@targets.command(
    epilog="Example, as the last step of a merge request:\n\n"
    "kustomize build overlays/prod | alert-refresh targets validate --strict -"
)
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option("--strict", is_flag=True, help="Fail also if an object is skipped, or if there is no valid target.")
def validate(files: tuple[Path, ...], as_json: bool, strict: bool) -> None:
    """Print every fault of Secret manifests, each with its file and line; - is standard input.

    FILES are manifests in YAML or JSON, with any number of documents and lists, or folders, which
    are read as TARGET_DIRECTORY is. TARGET_LABEL_SELECTOR and TARGET_URL_DENY_PRIVATE mean what they
    mean to the daemon. No value of a Secret is ever printed.

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
    sys.exit(UNREADABLE if errors else FAULTS if failed else 0)


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
    from alert_refresh.targets.folder.validate import counted

    lines = [f"{_where(one.place, 'secret')}: {one.fault.field}: {one.fault.message}" for one in report.faults]
    lines += [f"{_where(one.place, 'object')}: skipped: {one.reason}" for one in report.skipped]
    faults = f"{len(report.faults)} faults in {counted(report.faults)} Secrets or files"
    return [*lines, f"{report.targets} valid targets, {faults}, {len(report.skipped)} objects skipped"]


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
        sys.exit(UNREADABLE)
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
