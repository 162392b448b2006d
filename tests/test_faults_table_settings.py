"""docs/faults-settings.md is what the inputs make, names every message there is, and shows no credential."""

from __future__ import annotations

import re
from pathlib import Path

import alert_refresh
from tests.fault_messages import Parts, missing, plain, texts
from tests.faults_table_settings import (
    ALLOWED,
    CANARY,
    DOCUMENT,
    TOGETHER,
    VALUES,
    rows,
    start_rows,
    table,
    warning_rows,
)

PACKAGE = Path(alert_refresh.__file__).parent
MODULES = (
    "address.py", "config.py", "env.py", "durations.py", "mistakes.py", "networks.py", "schedules.py",
    "web/token_file.py", "keep/settings.py", "keep/key.py", "observe/notify/settings.py", "engine/cron/fields.py",
    "engine/cron/expression.py", "targets/__init__.py", "targets/secret/selector.py", "rules/__init__.py",
    "views/__init__.py", "views/names.py", "views/view_file.py", "views/database/connect.py",
    "views/tiers/redis_cache.py", "alertmanager/__init__.py",
)  # fmt: skip
"""Where the messages of settings are made."""
BEGINS = re.compile(
    r"\W*(is|has|must|begins|names|needs|compares|comes|the (file|token|key)|line|entry|token|VIEWS|write|it has|"
    r"did you mean|no such|ends|stop|a port|something) .",
)


def in_code() -> list[Parts]:
    """All messages in the code that makes them."""
    return [parts for name in MODULES for parts in texts(PACKAGE / name) if BEGINS.match(plain(parts))]


def all_messages() -> list[str]:
    """Every message of the three tables."""
    return [message for found in (rows(), start_rows(), warning_rows()) for _, message, _ in found]


def test_the_document_is_what_the_inputs_make() -> None:
    assert DOCUMENT.read_text() == table()


def test_every_input_makes_a_message() -> None:
    made = {given for _, _, given in rows()}
    given = [" ".join(f"{name}={value}" for name, value in one.items()) for one in TOGETHER]
    given += [f"{name}={value}" for name, value in VALUES]
    assert [one for one in given if one not in made] == []
    assert len(list(warning_rows())) == len(ALLOWED)
    assert all(message for _, message, _ in start_rows())


def test_every_message_in_the_code_is_in_the_table() -> None:
    assert len(in_code()) > 80
    assert missing(in_code(), all_messages()) == set()


def test_no_message_shows_a_credential() -> None:
    assert any(CANARY in given for _, _, given in rows())
    for message in all_messages():
        assert CANARY not in message and message.isprintable()
    assert CANARY not in DOCUMENT.read_text()
