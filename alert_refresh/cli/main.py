"""The command line. Each command imports what it needs only when it runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from alert_refresh import __version__
from alert_refresh.cli.rules import rules
from alert_refresh.cli.targets import targets

if TYPE_CHECKING:
    from alert_refresh.config import Config
    from alert_refresh.engine.errors import ConfigErrors

FAULTS = 1
SETTINGS = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Keeps the inputs of an alerting stack up to date, and serves the last good version.

    Settings are environment variables; an invalid one ends the start with exit status 2.
    """


main.add_command(rules)
main.add_command(targets)


class WithSettings(click.Command):
    """A command whose help lists all settings: name, meaning and default."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from alert_refresh.daemon import read_settings

        for group, settings in read_settings().items():
            with formatter.section(f"{group} (environment variables)"):
                rows = [
                    (name, f"{means} [default: {default or 'unset'}]") for name, (default, means) in settings.items()
                ]
                formatter.write_dl(rows, col_max=4)


@main.command(cls=WithSettings)
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


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option("--strict", is_flag=True, help="Fail also if a rule names a target that does not exist.")
def check(as_json: bool, strict: bool) -> None:
    """Check the settings, and read every configured source once.

    Exit status 1: a source cannot be read or has an invalid item, or a right is missing; with
    --strict also: a rule names a target that does not exist. 2: a setting is invalid.
    """
    from alert_refresh.cli.check import check_sources, text
    from alert_refresh.observe import logs, notify
    from alert_refresh.observe.formats import escape

    config = _config(as_json)
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
    sys.exit(FAULTS if any(one.get(field) for one in found for field in wrong) else 0)


class Planning(click.Command):
    """A command of which the exit status 2 has another meaning than wrong usage."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; wrong usage is a fault."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.exit_code = FAULTS  # type: ignore[misc]  # click reads it from the instance
            raise


@main.command(cls=Planning, epilog="Example:\n\nALERT_REFRESH_STATE_DIR=/var/lib/alert-refresh alert-refresh plan")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def plan(as_json: bool) -> None:
    """Print what the next refresh would change, and publish nothing.

    Reads every configured source once, and compares it with the snapshot that a daemon with the same
    settings has kept in the state directory. Credentials are masked.

    Exit status 0: nothing would change. 1: a source cannot be read, or a setting is invalid.
    2: something would change. 3: removals would be held.
    """
    from alert_refresh.cli.plan import plan as planned
    from alert_refresh.cli.plan import status_of, text
    from alert_refresh.observe import logs

    config = _config(as_json, FAULTS)  # 2 means changes
    with logs.command(lambda line: click.echo(line, err=True)):
        found = planned(config)
    if as_json:
        import json

        click.echo(json.dumps({"settings": [], "kinds": found}, default=str))
    else:
        click.echo(text(found))
    sys.exit(status_of(found))


@main.command()
@click.option("--reveal", is_flag=True, help="Print credentials in the clear.")
def render(reveal: bool) -> None:
    """Print Alertmanager's configuration as the next refresh would write it, and write nothing.

    Reads targets and rules once. Credentials are masked. What is undeliverable is told on standard error.

    Exit status 1: something cannot be read, or Alertmanager would refuse the configuration.
    2: a setting is invalid.
    """
    from alert_refresh.alertmanager.mask import masked
    from alert_refresh.cli.render import rendered
    from alert_refresh.observe import logs
    from alert_refresh.observe.formats import escape

    config = _config()
    with logs.command(lambda line: click.echo(line, err=True)):
        found = rendered(config)
    for line in (*found.errors, *found.undeliverable):
        click.echo(escape(line), err=True)
    if found.text is not None:
        click.echo(found.text if reveal else masked(found.text), nl=False)
    sys.exit(FAULTS if found.errors else 0)


def _config(as_json: bool = False, status: int = SETTINGS) -> Config:
    """Read the settings; on faults print each on its own line of stderr and exit with that status."""
    from alert_refresh.daemon import read_config
    from alert_refresh.engine.errors import ConfigErrors

    try:
        return read_config()
    except ConfigErrors as errors:
        _refuse(errors, as_json, status)


def _refuse(errors: ConfigErrors, as_json: bool, status: int = SETTINGS) -> NoReturn:
    from alert_refresh.observe.formats import escape

    if as_json:
        import json

        faults = [{"name": one.field, "value": one.value, "reason": one.reason} for one in errors.faults]
        click.echo(json.dumps({"settings": faults, "kinds" if status == FAULTS else "sources": []}))
    for one in errors.faults:
        click.echo(escape(str(one)), err=True)
    sys.exit(status)
