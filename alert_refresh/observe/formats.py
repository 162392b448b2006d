"""Formatting a log record as one line: JSON, or plain text for the console.

A line never contains a line break, a control character or an exception's message: an exception is shown as its type
and stack, since its message may contain a URL or a token.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from alert_refresh.credential import Credential
from alert_refresh.engine.stack import stack_of

LONGEST = 8192
"""Characters of a field; longer ones are cut."""


def escape(text: str) -> str:
    """`text` with unprintable characters escaped: line breaks, ANSI sequences, U+2028, bidirectional controls."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds: `2025-11-08T10:30:45.123Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Json(JsonFormatter):
    """One JSON object per line, in ASCII, so that no content can break a line or control a terminal."""

    def __init__(self) -> None:
        super().__init__(json_default=_plain, json_encoder=json.JSONEncoder)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Put the four fields of every line first."""
        log_data["timestamp"] = timestamp(record.created)
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = record.getMessage()[:LONGEST]
        for name, value in record.__dict__.items():
            if name not in self.reserved_attrs and name not in log_data and value is not None:
                log_data[name] = value[:LONGEST] if isinstance(value, str) else value
        if "exc_info" in message_dict:
            log_data["stack"] = message_dict["exc_info"]

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Escape DEL too, the only control character that JSON does not escape."""
        return super().jsonify_log_record(log_data).replace("\x7f", "\\u007f")

    def formatException(self, ei: Any) -> str:  # noqa: N802 - overrides
        return stack_of(ei[1])


class Console(logging.Formatter):
    """`10:30:45.123 INFO    Targets refreshed successfully  kind=targets attempt=1`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            name: value
            for name, value in record.__dict__.items()
            if name not in _RESERVED and not name.startswith("_") and value is not None
        }
        if record.exc_info:
            fields["stack"] = stack_of(record.exc_info[1])
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        head = f"{time}.{int(record.msecs):03d} {record.levelname:<7} {record.getMessage()[:LONGEST]}"
        return escape("  ".join([head, " ".join(f"{name}={_shown(value)}" for name, value in fields.items())]).rstrip())


_RESERVED = frozenset(RESERVED_ATTRS)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_shown(one)}" for key, one in value.items()) + "}"
    text = f"{value:g}" if isinstance(value, float) else str(value)[:LONGEST]
    return json.dumps(text, ensure_ascii=False) if not text or " " in text else text


def _plain(value: object) -> str:
    """Encode a value that JSON does not support; only types whose text is safe are shown."""
    return str(value) if isinstance(value, Credential | PurePath) else f"<{type(value).__name__}>"
