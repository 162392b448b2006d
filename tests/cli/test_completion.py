"""Completion in bash, zsh and fish, and the examples in the help."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from alert_refresh.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".cache/shells"
PAGE = ROOT / "docs" / "cli.md"
COMPLETED = {
    "alert-refresh re": {"refresh", "refreshes", "reject", "render"},
    "alert-refresh refresh ": {"targets", "rules", "views", "alertmanager"},
    "alert-refresh approve ": {"targets", "rules"},
    "alert-refresh targets ": {"get", "list", "validate"},
    "alert-refresh refreshes list --result s": {"success", "superseded"},
    "alert-refresh status --tok": {"--token-file"},
}
"""What is completed in each of these command lines."""

BASH = """
{eval}
read -r -a COMP_WORDS <<< "$LINE"
[[ $LINE == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_alert_refresh_completion alert-refresh
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
autoload -U compinit; compinit -u -D
{eval}
compadd() {{ print -rl -- $completions }}
_describe() {{ print -rl -- ${{completions_with_descriptions%%:*}} }}
words=(${{(z)LINE}})
[[ $LINE == *" " ]] && words+=("")
CURRENT=$#words
_alert_refresh_completion
"""
FISH = """
{eval}
complete -C "$LINE"
"""


def command(shell: str) -> tuple[list[str], dict[str, str]]:
    """How to run a shell with a script, and the variables that it needs; skips where there is none."""
    installed = shutil.which(shell)
    unpacked = next((one for one in UNPACKED.glob(f"**/bin/{shell}") if one.is_file()), None)
    if installed is None and unpacked is None:
        pytest.skip(f"{shell} is not here")
    words = [str(installed or unpacked)]
    if shell == "bash":
        return [*words, "--norc", "-c"], {}
    if shell == "fish":
        libraries = ":".join(str(one.parent) for one in UNPACKED.glob("usr/lib/*/libpcre2-32.so.0"))
        return [*words, "--no-config", "-c"], {} if installed else {"LD_LIBRARY_PATH": libraries}
    functions = " ".join(str(one) for one in UNPACKED.glob("usr/share/zsh/functions/**/") if one.is_dir())
    modules = " ".join(str(one) for one in UNPACKED.glob("usr/lib/*/zsh/*"))
    return [*words, "-f", "-c"], {} if installed else {"FUNCTIONS": functions, "MODULES": modules}


def documented(shell: str) -> str:
    """The line that the page tells to put into a shell's own file."""
    return next(line.strip() for line in PAGE.read_text().splitlines() if f"_COMPLETE={shell}_source" in line)


@pytest.mark.parametrize("line", COMPLETED)
@pytest.mark.parametrize(
    ("shell", "script"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)], ids=["bash", "zsh", "fish"]
)
def test_what_the_page_tells_completes_commands_options_and_values(
    shell: str, script: str, line: str, tmp_path: Path
) -> None:
    words, more = command(shell)
    if "FUNCTIONS" in more:
        script = "fpath=(${=FUNCTIONS}); module_path=(${=MODULES})\n".replace("{", "{{").replace("}", "}}") + script
    program = tmp_path / "alert-refresh"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m alert_refresh "$@"\n')
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    found = subprocess.run(
        [*words, script.format(eval=documented(shell))],
        env=more | {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "LINE": line},
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert {one.split("\t")[0].rpartition(",")[2] for one in found.stdout.split("\n") if one} == COMPLETED[line], found


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, one in group.commands.items():
        yield " ".join((*path, name)), one
        if isinstance(one, click.Group):
            yield from commands(one, (*path, name))


def examples(found: click.Command) -> list[str]:
    lines = (found.epilog or "").splitlines()
    return [line.strip() for line in lines if "alert-refresh" in line]


COMMANDS = dict(commands(main))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_shows_an_example_that_it_understands(name: str) -> None:
    found = [arguments_of(line) for line in examples(COMMANDS[name])]
    assert found and COMMANDS[name].help
    for arguments in found:
        understand(main, arguments, None)
    assert any(" ".join(arguments).startswith(name) for arguments in found)


def arguments_of(line: str) -> list[str]:
    """What follows the name of the program in a line for a shell."""
    words = shlex.split(line.partition("| jq")[0])
    return words[words.index("alert-refresh") + 1 :]


def understand(found: click.Command, arguments: list[str], parent: click.Context | None) -> None:
    """Read a command line as far as that goes without running it."""
    if "--help" in arguments:
        return
    with found.make_context(found.name, list(arguments), parent=parent) as context:
        if isinstance(found, click.Group):
            _, inner, left = found.resolve_command(context, [*context._protected_args, *context.args])
            assert inner is not None
            understand(inner, left, context)


def test_the_first_line_of_every_help_is_short() -> None:
    for name, found in COMMANDS.items():
        assert not found.get_short_help_str(80).endswith("...") and len(found.get_short_help_str(80)) < 60, name
