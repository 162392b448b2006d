"""Inputs that make every fault a rule or a file of rules may have; docs/faults-rules.md is made of them.

To generate it: `python -m tests.rules.faults_table`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alert_refresh.engine import Permanent
from alert_refresh.rules.forms.rules_file import RulesFile

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults-rules.md"
HEAD = """# Faults of rules

What `alert-refresh rules check`, the status and the log say of a file of rules that is refused, with an input that
makes it. A column is one of the matcher, a line one of the file; ⏎ is a line break.

| input | message |
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
    "- {id: a, match: severity}",
    "- {id: a, match: {'a b': x}}",
    "- {id: a, match: ['severity=x y\"z\"']}",
    '- {id: a, match: [\'{"service.name"="x"} y\']}',
    '- {id: a, match: ["\\"service.name\\"=\\"a\\nb\\""]}',
    "- {id: a, match: {severity: [x]}}",
    "- {id: a, match: [7]}",
    "- {id: a, match: [['', '=', x]]}",
    "- {id: a, match: ['severity=~\"(\"']}",
    "- {id: a, match: ['']}",
    "- {id: a, match: ['=x']}",
    "- {id: a, match: ['severity']}",
    '- {id: a, match: [\'severity="x"y"\']}',
    "- {id: a, match: ['severity=\"x']}",
    "- {id: a, match: ['severity={x']}",
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
    "text: 1",
    "rules: []\nrules: []",
    "- {id: a",
    "- &a {id: a}\n- {<<: *a, id: b}",
    "- !tag {id: a}",
    "- {id: a}\n---\n- {id: b}",
    '[{"id": "a",}]',
    "route: {receiver: a}\nreceivers: [{name: a}]",
    "groups: [{name: a, rules: [{alert: a, expr: up}]}]",
    "apiVersion: v1\nkind: ConfigMap",
)


def rows() -> Iterator[tuple[str, str]]:
    """Each input and a message that it makes."""
    for text in (*RULES, *FILES):
        try:
            file = RulesFile(text.encode())
            checked = file.rules()
            said = [message for bad in checked.bad for message in bad.messages()]
        except Permanent as error:
            said = [str(error)]
        yield from ((text, message) for message in said)


def table() -> str:
    """The rows as Markdown."""

    def code(text: str) -> str:
        return f"`{text}`".replace("|", "\\|").replace("\n", " ⏎ ") if text else "(empty)"

    def prose(text: str) -> str:
        return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")

    return HEAD + "".join(f"| {code(text)} | {prose(message)} |\n" for text, message in rows())


if __name__ == "__main__":
    DOCUMENT.write_text(table())
