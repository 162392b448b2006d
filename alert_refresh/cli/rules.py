"""`alert-refresh rules`: pack and unpack warm files, and check files of rules."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alert_refresh.rules.rule import BadRule, Checked, Rule

FAULTS = 1
READABLE = 0o644
"""Rules are not secret, and the daemon may run as another user."""

STDIN = Path("/dev/stdin")
STDIN_NAMES = (Path("-"), STDIN)

FILE = click.Path(path_type=Path, readable=False)
"""Any path: errors are reported when it is read."""


@click.group()
def rules() -> None:
    """Pack, unpack and check files of rules; - is standard input.

    Exit status 1: a file cannot be read or written, or a rule is invalid.
    """


@rules.command()
@click.argument("source", type=FILE)
@click.argument("warm", type=FILE)
def pack(source: Path, warm: Path) -> None:
    """Make a warm file from rules in YAML, JSON or JSON lines. An existing file is replaced atomically."""
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
    click.echo(f"{len(found)} rules packed")


@rules.command()
@click.argument("file", type=FILE)
@click.option("--json-lines", is_flag=True, help="Print one JSON object per line instead of YAML.")
def unpack(file: Path, json_lines: bool) -> None:
    """Print the rules of a file of any format as YAML."""
    from alert_refresh.rules.forms import text_file

    found = _good(file)
    click.echo(text_file.to_json_lines(found) if json_lines else text_file.to_yaml(found), nl=False)


@rules.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check files of rules of any format, and print every fault of every rule."""
    found = [_checked(file) for file in files]
    if as_json:
        click.echo(json.dumps({"files": found}))
    for one in () if as_json else found:
        _print(f"{one['file']}: {one['error'] or _summary(one)}")
        for bad in one["bad"]:
            for fault in bad["faults"]:
                _print(f"  {fault['said']}")
    sys.exit(FAULTS if any(one["error"] or one["bad"] for one in found) else 0)


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
    return (
        f"{len(one['bad'])} bad rules"
        if one["bad"]
        else f"{one['rules']} good rules of {len(one['families'])} families"
    )


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
    sys.exit(FAULTS)
