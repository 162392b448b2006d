"""`alert-refresh rules`: those that a daemon serves, and files of rules checked, packed and unpacked."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from alert_refresh.cli import exits
from alert_refresh.cli.options import ROUTES, File, ListByDefault, asks, example, output

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alert_refresh.cli.remote.client import Client
    from alert_refresh.cli.remote.shape import Fields, Shape
    from alert_refresh.rules.rule import BadRule, Checked, Rule

PATH = ROUTES["rules"]
MATCHED: Fields = {"id": str, "family": str, "priority": float, "targets": [str]}
RULE: Fields = MATCHED | {"enabled": bool, "match": [str]}
TARGETS: Shape = [{"name": str, "type": str, "state": str}]
MATCHES: Fields = {"rules": [MATCHED], "targets": TARGETS, "unavailable": [{"name": str, "reason": str}]}
READABLE = 0o644
"""Rules are not secret, and the daemon may run as another user."""

STDIN = Path("/dev/stdin")
STDIN_NAMES = (Path("-"), STDIN)


@click.group(cls=ListByDefault, epilog=example("alert-refresh rules", "alert-refresh rules match severity=critical"))
def rules() -> None:
    """Rules that a daemon serves; `list` by default.

    `check`, `pack` and `unpack` need no daemon, and - is standard input to them.
    """


@rules.command("list", epilog=example("alert-refresh rules list --family paging"))
@click.option("--family", help="Only rules of this family.")
@output
@asks
def list_(client: Client, family: str | None, as_json: bool) -> None:
    """List the rules."""
    from alert_refresh.cli.table import json_line, table

    found = client.get(PATH, {"rules": [RULE]}, {} if family is None else {"family": family}).fields
    if as_json:
        click.echo(json_line(found))
        return
    rows = [
        (one["id"], one["family"], one["priority"], one["enabled"], ",".join(one["match"]), ",".join(one["targets"]))
        for one in found["rules"]
    ]
    click.echo(table(("ID", "FAMILY", "PRIORITY", "ENABLED", "MATCH", "TARGETS"), rows))


@rules.command("get", epilog=example("alert-refresh rules get page-critical-production"))
@click.argument("rule_id", metavar="ID")
@output
@asks
def get(client: Client, rule_id: str, as_json: bool) -> None:
    """Show one rule."""
    from alert_refresh.cli.table import json_line, pairs

    found = client.get_one(PATH, rule_id, RULE).fields
    click.echo(json_line(found) if as_json else pairs(found))


@rules.command(epilog=example("alert-refresh rules match alertname=PostgresDown severity=critical"))
@click.argument("labels", metavar="LABEL=VALUE...", nargs=-1)
@output
@asks
def match(client: Client, labels: tuple[str, ...], as_json: bool) -> None:
    """Show which rules match an alert.

    And to which targets an alert with these labels leads. Exit status 1: none matches.
    """
    from alert_refresh.cli.table import json_line, table

    wrong = next((one for one in labels if not one.partition("=")[0] or "=" not in one), None)
    if wrong is not None:
        raise click.BadArgumentUsage(f"{wrong!r} is not LABEL=VALUE.")
    alert = dict(one.split("=", 1) for one in labels)
    found = client.good(client.ask("POST", f"{PATH}/match", body={"labels": alert}), MATCHES).fields
    if as_json:
        click.echo(json_line(found))
    else:
        rows = [(one["id"], one["family"], one["priority"], ",".join(one["targets"])) for one in found["rules"]]
        click.echo(table(("RULE", "FAMILY", "PRIORITY", "TARGETS"), rows))
        states = [(one["name"], one["type"], one["state"]) for one in found["targets"]]
        states += [(one["name"], None, one["reason"]) for one in found["unavailable"]]
        click.echo("\n" + table(("TARGET", "TYPE", "STATE"), states))
    sys.exit(exits.OK if found["rules"] else exits.BAD)


@rules.command(epilog=example("alert-refresh rules pack rules.yaml rules.warm"))
@click.argument("source", type=File())
@click.argument("warm", type=File())
def pack(source: Path, warm: Path) -> None:
    """Make a warm file of rules.

    From YAML, JSON or JSON lines. An existing file is replaced atomically.
    """
    from alert_refresh.cli.table import quantity
    from alert_refresh.files import write as atomic_file
    from alert_refresh.rules.forms import warm_file

    found = _good(source)
    if _same(source, warm):
        _refuse([f"file {warm.name!a} is the file that was read; name another one to write"])
    if not _is_for_files(warm):
        _refuse([f"file {warm.name or str(warm)!a} cannot be written: it is not a regular file"])
    try:
        atomic_file.write(warm, warm_file.pack(found), mode=READABLE)
    except OSError as error:
        _refuse([f"file {warm.name!a} cannot be written: {os.strerror(error.errno or 0)}"])
    click.echo(f"{quantity(len(found), 'rule')} packed")


@rules.command(epilog=example("alert-refresh rules unpack rules.warm"))
@click.argument("file", type=File())
@click.option("--json-lines", is_flag=True, help="Print one JSON object per line instead of YAML.")
def unpack(file: Path, json_lines: bool) -> None:
    """Print the rules of a file as YAML.

    The file may be of any format.
    """
    from alert_refresh.rules.forms import text_file

    found = _good(file)
    click.echo(text_file.to_json_lines(found) if json_lines else text_file.to_yaml(found), nl=False)


@rules.command(epilog=example("alert-refresh rules check rules.yaml"))
@click.argument("files", type=File(), nargs=-1, required=True)
@output
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check files of rules.

    Prints every fault of every rule. The files may be of any format. Exit status 1: a rule is invalid, or a file cannot
    be read.
    """
    found = [_checked(file) for file in files]
    if as_json:
        click.echo(json.dumps({"files": found}))
    for one in () if as_json else found:
        _print(f"{one['file']}: {one['error'] or _summary(one)}")
        for bad in one["bad"]:
            for fault in bad["faults"]:
                _print(f"  {fault['said']}")
    sys.exit(exits.BAD if any(one["error"] or one["bad"] for one in found) else exits.OK)


def _checked(file: Path) -> dict[str, Any]:
    from alert_refresh.engine import AttemptError

    entry: dict[str, Any] = {
        "file": str(file),
        "rules": 0,
        "families": [],
        "error": None,
        "error_type": None,
        "bad": [],
    }
    try:
        checked = _read(file)
    except AttemptError as error:
        return entry | {"error": str(error), "error_type": error.error_type}
    bad = [{"index": one.index, "id": one.id, "faults": _faults(one)} for one in checked.bad]
    families = sorted({rule.family for rule in checked.rules.values()})
    return entry | {"rules": len(checked.rules), "families": families, "bad": bad}


def _faults(bad: BadRule) -> list[dict[str, Any]]:
    from alert_refresh.engine import Fault

    return [
        Fault(fault.field, fault.message).fields() | {"line": max(fault.lines, default=None), "said": said}
        for fault, said in zip(bad.faults, bad.messages(), strict=True)
    ]


def _summary(one: dict[str, Any]) -> str:
    from alert_refresh.cli.table import quantity

    if one["bad"]:
        return quantity(len(one["bad"]), "bad rule")
    return f"{quantity(one['rules'], 'good rule')} of {quantity(len(one['families']), 'family', 'families')}"


def _good(file: Path) -> list[Rule]:
    """The rules of a file; exits with the faults if one is invalid."""
    from alert_refresh.engine import AttemptError

    try:
        checked = _read(file)
    except AttemptError as error:
        _refuse([str(error)])
    if checked.bad:
        _refuse(fault for one in checked.bad for fault in one.messages())
    return list(checked.rules.values())


def _read(file: Path) -> Checked:
    from alert_refresh.rules.forms.rules_file import RulesFile

    return RulesFile(_content(file)).rules()


def _content(file: Path) -> bytes:
    """The content of a file, a pipe or standard input.

    Raises:
        AttemptError: it cannot be read (`storage`) or is larger than a file of rules may be (`too_large`).
    """
    from alert_refresh.engine import Permanent
    from alert_refresh.files.read import STORAGE, TOO_LARGE, storage_error
    from alert_refresh.rules.forms.rules_file import LARGEST

    what = "standard input" if file in STDIN_NAMES else f"file {file.name or str(file)!a}"
    if file in STDIN_NAMES and sys.stdin is None:
        raise Permanent(f"{what} is closed", STORAGE)
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if file in STDIN_NAMES else file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as error:
        raise storage_error(error, what) from error
    if len(content) > LARGEST:
        raise Permanent(f"{what} is larger than {LARGEST} bytes", TOO_LARGE)
    return content


def _same(source: Path, warm: Path) -> bool:
    """Whether both paths name the same file."""
    with contextlib.suppress(OSError):
        return warm.samefile(STDIN if source in STDIN_NAMES else source)
    return False


def _is_for_files(warm: Path) -> bool:
    """Whether `warm` is a regular file or can be created as one; in /dev it would replace a device."""
    if warm == Path("-") or os.path.realpath(warm.parent) == "/dev":
        return False
    return not os.path.exists(warm) or warm.is_file()  # noqa: PTH110 - Path.exists raises where a path is too long


def _print(line: str, *, err: bool = False) -> None:
    """Print a line with unprintable characters escaped."""
    from alert_refresh.observe.formats import escape

    click.echo(escape(line), err=err)


def _refuse(messages: Iterable[str]) -> NoReturn:
    for message in messages:
        _print(message, err=True)
    sys.exit(exits.BAD)
