"""docs/faults-rules.md matches the inputs, and lists every message that a rule may get."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import alert_refresh
from tests.rules.faults_table import DOCUMENT, FILES, RULES, rows, table

RULES_ROOM = Path(alert_refresh.__file__).parent / "rules"
BEGINS = re.compile(r"(is|has|must|expected|the (label|value)|a label|write a|unknown escape) .")
LIMITS = ("has more than", "is also the id of", "expected at most", "has an unpaired surrogate", "must be text, not")
"""Messages of inputs that are too long for a table, or that tests of their own make."""


def templates() -> set[str]:
    """Regular expressions of the messages in the two modules that make those of rules."""
    found = set()
    for name in ("faults.py", "matcher_text.py"):
        tree = ast.parse((RULES_ROOM / name).read_text())
        inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in inside | documented:
                continue
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
            if isinstance(texts[0], str) and BEGINS.match(texts[0]) and not texts[0].startswith(LIMITS):
                found.add("".join(".*" if text is None else re.escape(str(text)) for text in texts))
    return found


def test_the_document_is_what_the_inputs_make() -> None:
    assert DOCUMENT.read_text() == table()


def test_every_input_makes_a_message() -> None:
    made = {text for text, _ in rows()}
    assert [text for text in (*RULES, *FILES) if text not in made] == []


def test_every_message_of_a_rule_is_in_the_table() -> None:
    messages = [message for _, message in rows()]
    missing = {one for one in templates() if not any(re.search(one, message, re.DOTALL) for message in messages)}
    assert len(templates()) > 20
    assert missing == set()


def test_no_message_holds_a_line_break_or_what_does_not_print() -> None:
    assert all(message.isprintable() for _, message in rows())
