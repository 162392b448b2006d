"""Names of views in SQL notation: exactly as in the catalog, with double quotes where they are needed."""

from __future__ import annotations

import re

BARE = re.compile(r"[^\W\d][\w$]*")
"""A part of a name that needs no quotes here: names are not folded to lower case."""
PART = rf"""(?:{BARE.pattern}|"(?:[^"\x00-\x1f\x7f]|"")+")"""
NAME = re.compile(rf"({PART})(?:\.({PART}))?")
"""A view's name, or its schema's and its own."""

BETWEEN = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*\Z)')
"""A comma outside double quotes."""

LONGEST_NAME = 63
"""Bytes of a PostgreSQL identifier."""

SYSTEM = ("pg_catalog", "information_schema", "pg_toast")


def split(text: str) -> list[str]:
    """The names in a comma-separated list, in canonical form where they have one."""
    return [canonical(name) for part in BETWEEN.split(text) if (name := part.strip())]


def all_quoted(text: str) -> bool:
    """Whether quotation marks are around a whole list of names that need none: a shell would have removed them."""
    inside = text[1:-1]
    wrapped = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return wrapped and (text[0] == "'" or "," in inside) and all(map(NAME.fullmatch, split(inside)))


def parts(name: str) -> tuple[str, ...]:
    """The schema, if given, and the bare name of the view, without quotes; an invalid name is returned unchanged."""
    if not (found := NAME.fullmatch(name)):
        return (name,)
    return tuple(_plain(part) for part in found.groups() if part is not None)


def canonical(name: str) -> str:
    """The name with quotes only where they are needed; an invalid name is returned unchanged."""
    if not NAME.fullmatch(name):
        return name
    return ".".join(part if BARE.fullmatch(part) else _quoted(part) for part in parts(name))


def quoted(name: str) -> str:
    """The name as PostgreSQL reads identifiers in text."""
    return ".".join(_quoted(part) for part in parts(name))


def name_fault(name: str) -> str | None:
    """What is wrong with a view's name as given, or None."""
    if not NAME.fullmatch(name):
        return 'is neither NAME nor SCHEMA.NAME; a name with other characters needs double quotes: "sales-2024"'
    if any(len(part.encode()) > LONGEST_NAME for part in parts(name)):
        return f"has a part of more than {LONGEST_NAME} bytes"
    if len(parts(name)) == 2 and parts(name)[0] in SYSTEM:
        return "names a system schema"
    return None


def among(text: str, names: tuple[str, ...]) -> str | None:
    """The one of `names` that `text` denotes: equal, with other quotes, or as in the catalog; None without one."""
    wanted = canonical(text)
    if wanted in names:
        return wanted
    return next((name for name in names if ".".join(parts(name)) == text), None)


def _plain(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def _quoted(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'
