"""docs/faults-views.md is what the causes make, names every message there is, and shows no credential."""

from __future__ import annotations

from pathlib import Path

import alert_refresh
from alert_refresh.views.database.failure import CLASSES, STATES
from tests.fault_messages import Parts, missing, plain, raised, texts
from tests.views.faults_table import CANARY, DOCUMENT, connect_rows, plan_rows, refresh_rows, table

VIEWS = Path(alert_refresh.__file__).parent / "views"
BEGINS = ("it ", "its ", "the ", "there ", "views of", "PostgreSQL ", "a ", "another ", "VIEWS_", "no answer")
MODULES = ("database/failure.py", "database/cause.py", "database/pooler.py")
QUIET = ("no answer in time",)
"""What only the text of an exception holds that is shown by its type."""


def in_code() -> list[Parts]:
    """The messages in the modules that make those of views."""
    found = [parts for name in MODULES for parts in texts(VIEWS / name)]
    found += [parts for path in VIEWS.rglob("*.py") for parts in raised(path, "Permanent", "Transient", "failure")]
    return [parts for parts in found if plain(parts).startswith(BEGINS) and not plain(parts).startswith(QUIET)]


def messages() -> list[str]:
    """Every message of the tables."""
    return [said for said, _ in plan_rows()] + [said for _, said, _ in (*refresh_rows(), *connect_rows())]


def test_the_document_is_what_the_causes_make() -> None:
    assert DOCUMENT.read_text() == table()


def test_every_message_in_the_code_is_in_a_table() -> None:
    assert len(in_code()) > 30
    assert missing(in_code(), messages()) == set()


def test_every_sqlstate_and_class_has_a_row() -> None:
    said = " ".join(messages())
    assert [one for one in (*STATES, *CLASSES) if f"SQLSTATE {one}" not in said] == []


def test_no_message_shows_a_credential() -> None:
    assert not [said for said in messages() if CANARY in said or not said.isprintable()]
