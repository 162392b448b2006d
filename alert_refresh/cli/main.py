"""The command line. Each command imports what it needs only when it runs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from alert_refresh import __version__
from alert_refresh.cli import exits
from alert_refresh.cli.events import events
from alert_refresh.cli.held import approve, reject
from alert_refresh.cli.options import Own, example, output
from alert_refresh.cli.refresh import refresh
from alert_refresh.cli.refreshes import refreshes
from alert_refresh.cli.rules import rules
from alert_refresh.cli.status import healthcheck, status
from alert_refresh.cli.targets import targets
from alert_refresh.cli.views import views

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alert_refresh.config import Config
    from alert_refresh.engine.errors import ConfigErrors


class Unwritten(click.ClickException):
    """Raised when standard output could not be written to."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"Standard output cannot be written to: {os.strerror(error.errno or 0)}")
        broken = error.errno == errno.EPIPE
        self.exit_code = exits.BROKEN_PIPE if broken else exits.BAD  # type: ignore[misc]


class Commands(click.Group):
    """All commands. Whatever ends one, there is an exit status and no traceback."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run a command, and exit."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # a terminal need not know every character
        if sys.stdout is None:
            sys.stdout = closed()
        try:
            status = super().main(*args, **options | {"standalone_mode": False})
        except click.Abort:
            status = exits.INTERRUPTED
        except click.ClickException as error:
            if isinstance(error, Unwritten):
                discard(sys.stdout)
            if error.exit_code != exits.BROKEN_PIPE:
                show(error)
            status = error.exit_code
        sys.exit(status)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the command line, and print help where it asks for that."""
        with writing():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was read."""
        with writing():
            return super().invoke(ctx)


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Raise `Unwritten` where printing raises an error; any other error of the operating system is left as it is."""
    try:
        yield
    except OSError as error:
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        if at is None or at.tb_frame.f_code is not click.echo.__code__:
            raise
        raise Unwritten(error) from None


def show(error: click.ClickException) -> None:
    """Print an error to standard error, if that can be written to."""
    if sys.stderr is None:
        return  # click would print it to standard output
    try:
        error.show()
    except OSError:
        discard(sys.stderr)


def closed() -> TextIO:
    """What takes the place of a standard output that is closed: printing to it is the same error."""
    read_only = os.open(os.devnull, os.O_RDONLY)
    number = fcntl.fcntl(read_only, fcntl.F_DUPFD_CLOEXEC, 3)  # the daemon opens 0, 1 and 2 itself
    os.close(read_only)
    return os.fdopen(number, "w")


def discard(stream: TextIO) -> None:
    """Discard what is still to be written, which would fail once more when the process ends."""
    device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(device, stream.fileno())
    os.close(device)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example("alert-refresh status", "alert-refresh refresh targets --wait"),
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Keeps the inputs of an alerting stack up to date, and serves the last good version.

    `serve` is the daemon. Its settings are environment variables; an invalid one ends the start with
    exit status 2. The commands that ask a daemon find it by ALERT_REFRESH_URL.
    """


for _command in (approve, events, healthcheck, refresh, refreshes, reject, rules, status, targets, views):
    main.add_command(_command)


class WithSettings(click.Command):
    """A command whose help lists all settings: name, meaning and default."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from alert_refresh.daemon import read_settings

        super().format_epilog(ctx, formatter)
        for group, settings in read_settings().items():
            with formatter.section(f"{group} (environment variables)"):
                rows = [
                    (name, f"{means} [default: {default or 'unset'}]") for name, (default, means) in settings.items()
                ]
                formatter.write_dl(rows, col_max=4)


@main.command(cls=WithSettings, epilog=example("TARGET_DIRECTORY=/etc/alerting/targets alert-refresh serve"))
def serve() -> None:
    """Run the daemon until SIGTERM."""
    from alert_refresh.server.process import prepare

    prepare()
    from alert_refresh.daemon import take_server_variables

    config = _config()
    variables = take_server_variables()
    if sys.stdout is not None and sys.stdout.isatty():
        # With a terminal, the kubernetes client would connect a credential plugin to it. Log lines use the descriptor.
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for the life of the process

    from alert_refresh.server.server import serve as run

    run(config, variables)


@main.command(epilog=example("TARGET_DIRECTORY=/etc/alerting/targets alert-refresh check --strict"))
@output
@click.option(
    "--strict", is_flag=True, help="Fail also if a rule, or a route of Alertmanager's template, leads to no target."
)
def check(as_json: bool, strict: bool) -> None:
    """Check the settings and read each source once.

    Exit status 1: a source cannot be read or has an invalid item, or a right is missing; with
    --strict also: a rule, or a route of Alertmanager's template, leads to no target. 2: a setting is invalid.
    """
    from alert_refresh.cli.check import check_sources, text
    from alert_refresh.observe import logs, notify
    from alert_refresh.observe.formats import escape

    config = _config({"sources": []} if as_json else None)
    for warning in (*config.warnings, *config.keep.warnings()):
        click.echo(escape(f"Warning: {warning}"), err=True)
    with logs.command(lambda line: click.echo(line, err=True)):
        found = check_sources(config)
    if as_json:
        import json

        told = config.notify and {"host": config.notify.host, "format": config.notify.format}
        click.echo(json.dumps({"settings": [], "notifications": told, "sources": found}))
    else:
        click.echo("\n".join(["Settings are valid.", notify.describe(config.notify), text(found)]))
    wrong = ("error", "rejected", "missing_rights", *(["warnings"] if strict else []))
    sys.exit(exits.BAD if any(one.get(field) for one in found for field in wrong) else exits.OK)


@main.command(cls=Own, epilog=example("ALERT_REFRESH_STATE_DIR=/var/lib/alert-refresh alert-refresh plan"))
@output
def plan(as_json: bool) -> None:
    """Print what the next refresh would change.

    Publishes nothing. Reads every configured source once, and compares it with the snapshot that a daemon with the same
    settings has kept in the state directory. Credentials are masked.

    Exit status 0: nothing would change. 1: a source cannot be read, or a setting is invalid.
    2: something would change. 3: removals would be held.
    """
    from alert_refresh.cli.plan import plan as planned
    from alert_refresh.cli.plan import status_of, text
    from alert_refresh.observe import logs

    config = _config({"kinds": []} if as_json else None, exits.BAD)  # 2 means changes
    with logs.command(lambda line: click.echo(line, err=True)):
        found = planned(config)
    if as_json:
        import json

        click.echo(json.dumps({"settings": [], "kinds": found}, default=str))
    else:
        click.echo(text(found))
    sys.exit(status_of(found))


@main.command(epilog=example("alert-refresh render", "alert-refresh render -o json | jq .undeliverable"))
@output
@click.option("--reveal", is_flag=True, help="Print credentials in the clear.")
def render(as_json: bool, reveal: bool) -> None:
    """Print Alertmanager's configuration, and write nothing.

    It is what a daemon with the same settings would write after a first start, but that credentials are masked: of a
    target that is stale or held in a running daemon nothing is known here. What is wrong, and what is undeliverable, is
    told on standard error, as is what was not checked; with -o json it is `errors`, `undeliverable` and `unchecked`
    beside `text`.

    Exit status 1: something cannot be read, or Alertmanager would refuse the template. 2: a setting is invalid.
    """
    from alert_refresh.cli.render import rendered
    from alert_refresh.observe import logs
    from alert_refresh.observe.formats import escape

    config = _config({"text": None, "errors": [], "undeliverable": [], "unchecked": []} if as_json else None)
    with logs.command(lambda line: click.echo(line, err=True)):
        found = rendered(config)
    text = found.shown(reveal=reveal)
    if as_json:
        import json

        shown = {"settings": [], "text": text and text.decode(), "errors": found.errors}
        click.echo(json.dumps(shown | {"undeliverable": found.undeliverable, "unchecked": found.unchecked}))
    else:
        for line in found.lines():
            click.echo(escape(line), err=True)
        click.echo(text or b"", nl=False)
    sys.exit(exits.BAD if found.errors else exits.OK)


def _config(otherwise: Mapping[str, Any] | None = None, status: int = exits.USAGE) -> Config:
    """Read the settings; on faults print each on its own line of stderr and exit with that status.

    `otherwise` are the fields of the JSON object that is printed then beside the faults; None: no JSON is asked for.
    """
    from alert_refresh.daemon import read_config
    from alert_refresh.engine.errors import ConfigErrors

    try:
        return read_config()
    except ConfigErrors as errors:
        _refuse(errors, otherwise, status)


def _refuse(errors: ConfigErrors, otherwise: Mapping[str, Any] | None, status: int) -> NoReturn:
    from alert_refresh.observe.formats import escape

    if otherwise is not None:
        import json

        faults = [{"name": one.field, "value": one.value, "reason": one.reason} for one in errors.faults]
        click.echo(json.dumps({"settings": faults, **otherwise}))
    for one in errors.faults:
        click.echo(escape(str(one)), err=True)
    sys.exit(status)
