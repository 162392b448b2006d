"""The options that commands share: the form of what is printed, and which daemon is asked; and examples in the help."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alert_refresh.cli import exits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alert_refresh.cli.remote.server_url import ServerUrl

    Function = Callable[..., Any]

ROUTES = {
    "targets": "/api/v2/publishing/targets",
    "rules": "/api/v2/rules",
    "views": "/api/v2/views",
    "alertmanager": "/api/v2/alertmanager",
}
"""The kinds that a daemon can be asked for, and where it answers for each."""
RESERVED = {
    ROUTES["targets"]: frozenset(("status", "refresh", "approve", "reject")),
    ROUTES["rules"]: frozenset(("status", "refresh", "match", "approve", "reject")),
    ROUTES["views"]: frozenset(("status", "refresh")),
}
"""What is a route below these, and therefore no name."""
KIND = click.Choice(list(ROUTES))
DEFAULT_URL = "http://127.0.0.1:8080"


class Url(click.ParamType):  # type: ignore[type-arg]  # older releases of click have no parameter there
    """The address of a daemon."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ServerUrl:
        """Read it; a value that cannot be used is wrong usage, and is not shown: it may hold a credential."""
        from alert_refresh.cli.remote.server_url import parse

        try:
            return parse(value)
        except ValueError as error:
            self.fail(f"it {error}.", param, ctx)


class Seconds(click.ParamType):  # type: ignore[type-arg]
    """A duration such as `1m30s`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        from alert_refresh import durations

        try:
            return value if isinstance(value, float) else durations.parse(value)
        except ValueError as error:
            self.fail(f"it {error}.", param, ctx)


class File(click.Path):
    """Any path, as errors are reported when it is read; but an empty one, which would be the current folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, readable=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        if value == "":
            self.fail("it is empty.", param, ctx)
        return super().convert(value, param, ctx)


class ListByDefault(click.Group):
    """A group of commands that runs `list` where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        named = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        if not named and not ctx.resilient_parsing:  # which completes the names of commands
            args = ["list", *args]
        return super().parse_args(ctx, args)


class Own(click.Command):
    """A command whose exit status 2 has a meaning of its own, so that wrong usage is 1."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; wrong usage is a fault."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.exit_code = exits.BAD  # type: ignore[misc]  # click reads it from the instance
            raise


def example(*lines: str) -> str:
    """The epilog of a command's help: command lines that work."""
    return "\n".join(["Example:" if len(lines) == 1 else "Examples:", "", "\b", *(f"  {line}" for line in lines)])


def output(function: Function) -> Function:
    """Add `-o json` and `--json`; the function gets `as_json`."""

    @click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Print text for people, or JSON for scripts, one object.",
    )
    @click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
    @functools.wraps(function)
    def printing(*args: Any, form: str, as_json: bool, **options: Any) -> Any:
        return function(*args, as_json=as_json or form == "json", **options)

    return printing


def asks(function: Function) -> Function:
    """Add the options that say which daemon is asked; the function gets a `Client` as its first argument."""

    @click.option(
        "--url",
        type=Url(),
        envvar=["ALERT_REFRESH_URL", "ALERT_REFRESH_BIND"],
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        help="Where the daemon is: http://HOST:PORT, https://HOST/PREFIX/ or unix:/PATH.",
    )
    @click.option(
        "--token-file",
        type=File(),
        envvar="ALERT_REFRESH_CLIENT_TOKEN_FILE",
        show_envvar=True,
        help="File with the token to send; of several lines the first.",
    )
    @click.option(
        "--daemon-token-file",
        type=File(),
        envvar="ALERT_REFRESH_ADMIN_TOKEN_FILE",
        hidden=True,
    )
    @functools.wraps(function)
    def asking(
        *args: Any, url: ServerUrl, token_file: Path | None, daemon_token_file: Path | None, **options: Any
    ) -> Any:
        from alert_refresh.cli.remote.client import Client

        check_text(options)
        return function(Client(url, token_file or own_token(url, daemon_token_file)), *args, **options)

    return asking


def check_text(options: Mapping[str, Any]) -> None:
    """Check that every text among the options can be sent.

    Raises:
        click.BadParameter: one is not UTF-8.
    """
    for name, value in options.items():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text):
                context = click.get_current_context()
                param = next(one for one in context.command.params if one.name == name)
                raise click.BadParameter("it is not UTF-8.", context, param)


def own_token(url: ServerUrl, file: Path | None) -> Path | None:
    """The file of the daemon's own token, which is at hand in its container; None if `url` leads to another machine."""
    return file if url.local else None
