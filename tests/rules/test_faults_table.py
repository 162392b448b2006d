"""docs/faults-rules.md matches the inputs, and lists every message that a rule may get."""

from __future__ import annotations

import re
from pathlib import Path

import alert_refresh
from tests.fault_messages import Parts, missing, plain, raised, texts
from tests.rules.faults_table import CONTENTS, DOCUMENT, FILES, PATHS, RULES, file_rows, messages_of, rows, table

PACKAGE = Path(alert_refresh.__file__).parent
RULES_ROOM = PACKAGE / "rules"
BEGINS = re.compile(r"(is|has|must|expected|the (label|value)|a label|write a|unknown escape) .")
LIMITS = ("has more than", "is also the id of", "expected at most", "has an unpaired surrogate", "must be text, not")
"""Messages of inputs that are too long for a table, or that tests of their own make."""


CANARY = "canary-12ab"
URL = f"https://user:{CANARY}@hooks.example.com/T0"
RACES = (" changed while it was read",)
"""What only another process can make, at the right moment."""


def in_code() -> list[Parts]:
    """The messages in the two modules that make those of rules."""
    found = [parts for name in ("faults.py", "matcher_text.py") for parts in texts(RULES_ROOM / name)]
    return [parts for parts in found if BEGINS.match(parts[0] or "") and not plain(parts).startswith(LIMITS)]


def of_files() -> list[Parts]:
    """The messages in the modules that read whole files."""
    modules = (*(RULES_ROOM / "forms").glob("*.py"), RULES_ROOM / "source.py", PACKAGE / "files" / "read.py")
    found = [parts for path in modules for parts in raised(path, "Permanent", "Missing", "Changed", "_refused")]
    return [parts for parts in found if not plain(parts).endswith(RACES)]


def test_the_document_is_what_the_inputs_make() -> None:
    assert DOCUMENT.read_text() == table()


def test_every_input_makes_a_message() -> None:
    made = {text for text, _ in rows()}
    assert [text for text in (*RULES, *FILES) if text not in made] == []


def test_every_message_of_a_rule_is_in_the_table() -> None:
    assert len(in_code()) > 20
    assert missing(in_code(), (message for _, message in rows())) == set()


def test_every_file_that_cannot_be_read_makes_a_message_of_its_own() -> None:
    found = list(file_rows())
    assert [what for what, _ in found[: len(CONTENTS)]] == [what for what, _ in CONTENTS]
    assert len(found) == len(CONTENTS) + len(PATHS)


def test_every_message_of_a_whole_file_is_in_the_table() -> None:
    messages = [message for _, message in (*rows(), *file_rows())]
    assert len(of_files()) > 20
    assert missing(of_files(), messages) == set()


def test_no_message_holds_a_line_break_or_what_does_not_print() -> None:
    assert all(message.isprintable() for _, message in (*rows(), *file_rows()))


PLACES = ("x", "text", "severity", "maybe", "a b", "slack", "Slack", "1.5", "service.name", "zzzzzz", "tag", "'!'")
"""Parts of the inputs in whose place a credential may stand by mistake."""


def test_no_message_shows_a_credential_that_stands_in_a_wrong_place() -> None:
    planted = [text.replace(one, URL) for text in (*RULES, *FILES) for one in PLACES if one in text]
    messages = [message for text in planted for message in messages_of(text.encode())]
    assert len(messages) > 50 and not [message for message in messages if CANARY in message]
    assert "a key that is not shown" in " ".join(messages)
