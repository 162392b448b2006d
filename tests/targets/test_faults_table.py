"""docs/faults.md matches the inputs, lists every message, and shows no credential.

To generate it: `python -m tests.targets.test_faults_table`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import alert_refresh
from tests.targets.faults_table import rows, table
from tests.targets.folder.folders import CANARY

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = ROOT / "docs" / "faults.md"
HEAD = """# Faults of targets

What `GET targets`, the log and `alert-refresh check` say of a Secret or file that cannot be used, with an input that
makes it. The word before the colon is the kind of the fault, for programs. Tests make this table and compare it.

"""
CODES = re.compile(r"(bad_[a-z0-9]+|encoding|schema|too_complex|target_too_large|missing_config|duplicate_name|"
                   r"repeated_key|unknown_field|url_forbidden|line_end): .")  # fmt: skip
ELSEWHERE = ("bad_data: is not a mapping",)
"""What only an API server's answer can make."""


def templates() -> set[str]:
    """Regular expressions of all messages in the code that makes them."""
    found = set()
    package = Path(alert_refresh.__file__).parent / "targets"
    for path in (*package.glob("*.py"), *(package / "secret").glob("*.py"), *(package / "folder").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
            if isinstance(texts[0], str) and CODES.match(texts[0]):
                found.add("".join(".*" if text is None else re.escape(str(text)) for text in texts))
    return found


def test_the_document_is_what_the_inputs_make() -> None:
    assert DOCUMENT.read_text() == HEAD + table()


def test_every_message_in_the_code_is_in_the_table() -> None:
    messages = {fault.message for _, _, fault in rows()}
    missing = {one for one in templates() if not any(re.match(one, message, re.DOTALL) for message in messages)}
    assert len(templates()) > 50
    assert missing == set()


def test_no_message_shows_a_credential() -> None:
    found = list(rows())
    assert any(CANARY in given for _, given, _ in found)
    for _, _, fault in found:
        assert CANARY not in fault.field + fault.message
        assert "password" not in fault.message and "\n" not in fault.message and fault.message.isascii()


if __name__ == "__main__":
    DOCUMENT.write_text(HEAD + table())
