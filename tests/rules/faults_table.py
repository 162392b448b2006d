"""Inputs that make every fault a rule or a file of rules may have; docs/faults-rules.md is made of them.

To generate it: `python -m tests.rules.faults_table`.
"""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from alert_refresh.engine import AttemptError, Deadline, Permanent, RefreshSettings, Request, Trigger
from alert_refresh.rules import Settings
from alert_refresh.rules.forms import warm_file
from alert_refresh.rules.forms.rules_file import LARGEST, RulesFile
from alert_refresh.rules.source import FileSource
from tests.fakes import FakeClock
from tests.rules.examples import packed

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults-rules.md"
HEAD = """# Faults of rules

What `alert-refresh rules check`, the status and the log say of a file of rules that is refused, with an input that
makes it. A column is one of the matcher, a line one of the file; ⏎ is a line break.

| input | message |
|---|---|
"""

WHOLE = """
Of a file that cannot be read as a whole:

| file | message |
|---|---|
"""

RULES = (
    "- text",
    "- {}",
    "- {id: a, id: b}",
    "- {id: a, match: {severity: x, severity: y}}",
    "- {id: a, matchers: [severity=x]}",
    "- {id: a, zzzzzz: 1}",
    "- {id: 1}",
    "- {id: [a]}",
    "- {id: a b}",
    "- {id: refresh}",
    "- {id: a}\n- {id: a}",
    "- {id: a, family: '!'}",
    "- {id: a, enabled: maybe}",
    "- {id: a, priority: 1.5}",
    "- {id: a, priority: '5'}",
    "- {id: a, match: severity}",
    "- {id: a, match: {'a b': x}}",
    "- {id: a, match: ['severity=x y\"z\"']}",
    '- {id: a, match: [\'{"service.name"="x"} y\']}',
    '- {id: a, match: ["\\"service.name\\"=\\"a\\nb\\""]}',
    "- {id: a, match: {severity: [x]}}",
    "- {id: a, match: [7]}",
    "- {id: a, match: [['', '=', x]]}",
    "- {id: a, match: ['severity=~\"(\"']}",
    "- {id: a, match: ['severity=~\"(?!x).*\"']}",
    "- {id: a, match: [[severity, '=~', '\\C']]}",
    "- {id: a, match: [[severity, '==', x]]}",
    "- {id: a, match: [[severity, '=', 5]]}",
    "- {id: a, match: [[severity, x]]}",
    "- {id: a, match: [{name: severity, value: x}]}",
    "- {id: a, match: ['']}",
    "- {id: a, match: ['=x']}",
    "- {id: a, match: ['severity']}",
    '- {id: a, match: [\'severity="x"y"\']}',
    "- {id: a, match: ['severity=\"x']}",
    "- {id: a, match: ['severity={x']}",
    "- {id: a, match: ['severity=critical team=x']}",
    '- {id: a, match: ["severity=critical\\nteam=x"]}',
    "- {id: a, match: ['severity=“critical”']}",
    "- {id: a, match: {severity: '=~crit.*'}}",
    "- {id: a, match: ['{severity=x']}",
    "- {id: a, match: ['{severity=x} y']}",
    "- {id: a, match: ['service.name=x']}",
    '- {id: a, match: [\'"service.name" "x"\']}',
    '- {id: a, match: [\'"service.name"="x" "y"\']}',
    '- {id: a, match: [\'"service.name"="\\C"\']}',
    '- {id: a, match: [\'"service.name"="\\xff"\']}',
    "- {id: a, match: ['{\"service.name\"=}']}",
    "- {id: a, targets: slack}",
    "- {id: a, targets: [7]}",
    "- {id: a, targets: [Slack]}",
    "- {id: a, annotations: text}",
    "- {id: a, annotations: {1: x}}",
    "- {id: a, description: 2001-01-01}",
)
FILES = (
    "",
    "rules: text",
    "text: 1",
    "rules: []\nrules: []",
    "- {id: a",
    "- id: a\n  description: x: y",
    "- id: a\n  match: [severity=x]\n   family: b",
    "- {id: 'a}",
    "- id: a\n  family: @x",
    "- &a {id: a}\n- {<<: *a, id: b}",
    "- !tag {id: a}",
    "- {id: a}\n---\n- {id: b}",
    '[{"id": "a",}]',
    "route: {receiver: a}\nreceivers: [{name: a}]",
    "groups: [{name: a, rules: [{alert: a, expr: up}]}]",
    "apiVersion: v1\nkind: ConfigMap",
    "apiVersion: 1\ngroups: []",
    "{{ toYaml .Values.rules }}",
)


def warm(body: bytes, *, count: int = 1, version: int = warm_file.VERSION, more: bytes = b"") -> bytes:
    """A file with a true checksum, whatever its body is."""
    head = warm_file._HEAD.pack(warm_file.MAGIC, version, 0, count, len(body))
    return head + warm_file._checksum(head, body) + body + more


GOOD = packed(1)
CONTENTS: tuple[tuple[str, bytes], ...] = (
    ("text that is not UTF-8", b"- {id: a}\n- {id: \xff}"),
    ("a NUL byte", b"- {id: a\0}"),
    ("a tab before a key", b"- id: a\n\tfamily: b"),
    ("101 lists within one another, in YAML", b"- " * 101),
    ("an alias without an anchor", b"- *a"),
    ("JSON lines, of which one is cut off", b'{"id": "a"}\n{"id": "b"'),
    ("JSON lines, of which one is nested too deeply", b'{"id": "a"}\n{"id": ' + b"[" * 200_000),
    ("JSON that is nested too deeply", b"[" * 200_000),
    ("YAML of more than 8 MiB", b"#" * ((8 << 20) + 1)),
    ("JSON of more than 32 MiB", b"[" + b" " * (32 << 20)),
    ("aliases that stand for more than 32 MiB", b"- &a {id: " + b"x" * (1 << 20) + b"}\n" + b"- *a\n" * 40),
    ("a warm file of which 10 bytes are left", GOOD[:10]),
    ("a warm file without its end", GOOD[:-7]),
    ("a warm file with 3 more bytes", GOOD + b"abc"),
    ("a warm file in which a byte changed", GOOD[:-1] + bytes([GOOD[-1] ^ 1])),
    ("a warm file of a later version", warm(b"\x90", version=2)),
    ("a warm file with fewer rules than its header says", warm(b"\x90")),
    ("a warm file that holds no MessagePack", warm(b"\xc1")),
    ("a warm file that holds a number", warm(b"\x01")),
)
"""What a file is, and its bytes."""
PATHS = ("none", "folder", "fifo", "link", "loop", "huge", "denied")
"""Files that are not read at all; `_file` makes them."""


def rows() -> Iterator[tuple[str, str]]:
    """Each input and a message that it makes."""
    for text in (*RULES, *FILES):
        yield from ((text, message) for message in messages_of(text.encode()))


def file_rows() -> Iterator[tuple[str, str]]:
    """What each file is that cannot be read as a whole, and its message."""
    for what, data in CONTENTS:
        yield from ((what, message) for message in messages_of(data))
    with tempfile.TemporaryDirectory() as name:
        for kind in PATHS:
            file, what = _file(Path(name), kind)
            settings = Settings(RefreshSettings(), 60.0, file, 10, None)
            clock = FakeClock()
            denied = PermissionError(errno.EACCES, "")
            try:
                with mock.patch("os.open", side_effect=denied) if kind == "denied" else nullcontext():
                    FileSource(file, settings, clock).refresh(None, Request(Trigger.STARTUP), Deadline(clock, 30.0))
            except AttemptError as error:
                yield what, str(error)


def messages_of(data: bytes) -> list[str]:
    try:
        return [message for bad in RulesFile(data).rules().bad for message in bad.messages()]
    except Permanent as error:
        return [str(error)]


def _file(folder: Path, kind: str) -> tuple[Path, str]:
    """A path that is no file that can be read, and what it is."""
    path = folder / f"{kind}.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "denied":
        path.touch()
    elif kind == "huge":
        path.touch()
        os.truncate(path, LARGEST + 1)
    return path, {
        "none": "a file that does not exist",
        "folder": "a folder",
        "fifo": "a FIFO",
        "link": "a symlink to /etc/passwd",
        "loop": "a symlink to itself",
        "huge": "a file of more than 256 MiB",
        "denied": "a file that the daemon may not read",
    }[kind]


def table() -> str:
    """The rows as Markdown."""

    def code(text: str) -> str:
        return f"`{text}`".replace("|", "\\|").replace("\n", " ⏎ ") if text else "(empty)"

    def prose(text: str) -> str:
        return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")

    text = HEAD + "".join(f"| {code(text)} | {prose(message)} |\n" for text, message in rows())
    return text + WHOLE + "".join(f"| {what} | {prose(message)} |\n" for what, message in file_rows())


if __name__ == "__main__":
    DOCUMENT.write_text(table())
