"""docs/faults.md matches the inputs, lists every message, and shows no credential.

To generate it: `python -m tests.targets.test_faults_table`.
"""

from __future__ import annotations

import re
from pathlib import Path

import alert_refresh
from tests.fault_messages import Parts, missing, plain, raised, texts
from tests.targets.faults_of_sources import NO_PARTS, SKIPPED, skipped_rows, source_rows, source_table
from tests.targets.faults_table import rows, table
from tests.targets.folder.folders import CANARY

ROOT = Path(__file__).parent.parent.parent
PACKAGE = Path(alert_refresh.__file__).parent
DOCUMENT = ROOT / "docs" / "faults.md"
HEAD = """# Faults of targets

What `GET targets`, the log, `alert-refresh check` and `alert-refresh targets validate` say of a Secret or file that
cannot be used, with an input that makes it. The word before the colon is the kind of the fault, for programs. Tests
make this table and compare it.

"""
SOURCES = """
What `error` in the status, the log and `alert-refresh check` say when the folder or the API server cannot be read as a
whole; what was good is kept. `error_type` is for programs.

"""
CODES = re.compile(r"(bad_[a-z0-9]+|encoding|schema|too_complex|target_too_large|missing_config|duplicate_name|"
                   r"repeated_key|unknown_field|url_forbidden|line_end|storage|unreadable): .")  # fmt: skip
PLACES = ("targets/folder", "targets/kubernetes", "targets/kubernetes/encoding")
RAISED = ("Permanent", "Transient", "OverBudget", "OtherServer", "MalformedProtobuf", "_unreadable", "storage_error")
RARE = (
    " changed while it was read", "names another API server now", " did not end in time", " MiB", " pages", "the watch",
    "of several versions", "is not a review", "is not protobuf", "files of the service account", "ends watches",
    "key '",
)  # fmt: skip
"""Messages that take another process at the right moment, a long time, or a watch: tests of their own make them."""


def of_items() -> list[Parts]:
    """The messages of items in the code that makes them."""
    package = PACKAGE / "targets"
    paths = (*package.glob("*.py"), *(package / "secret").glob("*.py"), *(package / "folder").glob("*.py"))
    return [
        parts
        for path in (*paths, package / "kubernetes" / "list.py")
        for parts in texts(path)
        if CODES.match(parts[0] or "")
    ]


def of_sources() -> list[Parts]:
    """The messages of whole sources, and of files, in the code that makes them."""
    paths = [path for place in PLACES for path in (PACKAGE / place).glob("*.py")]
    found = [parts for path in (*paths, PACKAGE / "files" / "read.py") for parts in raised(path, *RAISED)]
    return [parts for parts in found if plain(parts).strip() and not any(word in plain(parts) for word in RARE)]


def document() -> str:
    """All of the document."""
    return HEAD + table() + SOURCES + source_table()


def test_the_document_is_what_the_inputs_make() -> None:
    assert DOCUMENT.read_text() == document()


def test_every_message_of_an_item_is_in_the_table() -> None:
    assert len(of_items()) > 50
    assert missing(of_items(), (fault.message for _, _, fault in rows())) == set()


def test_every_message_of_a_source_is_in_a_table() -> None:
    messages = [message for _, message, _ in source_rows()] + [fault.message for _, _, fault in rows()]
    assert len(of_sources()) > 30
    assert missing(of_sources(), messages) == set()


def test_every_skipped_object_has_a_reason() -> None:
    assert len(list(skipped_rows())) == len(SKIPPED) + len(NO_PARTS)


def test_no_message_shows_a_credential() -> None:
    assert any(CANARY in given for _, given, _ in rows())
    for _, _, fault in rows():
        assert CANARY not in fault.field + fault.message
        assert "password" not in fault.message and "\n" not in fault.message and fault.message.isascii()
    for _, message, _ in (*source_rows(), *skipped_rows()):
        assert "canary" not in message and message.isprintable()


if __name__ == "__main__":
    DOCUMENT.write_text(document())
