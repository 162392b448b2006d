"""The fields of a target, each validated separately, so that all faults of a Secret are reported together."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from alert_refresh.dns_label import DNS_LABEL
from alert_refresh.engine import Fault
from alert_refresh.targets.secret import url as urls
from alert_refresh.targets.secret.words import shown, unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

FORMATS_OF_TYPE: Final[Mapping[str, tuple[str, ...]]] = {
    "rootly": ("rootly",),
    "pagerduty": ("pagerduty",),
    "slack": ("slack",),
    "webhook": ("alertmanager", "webhook"),
}
FIELDS = ("name", "type", "url", "format", "enabled", "headers", "filter_config")
MAX_UNKNOWN = 20
"""The highest number of unknown fields that are named."""

Type = Literal["rootly", "pagerduty", "slack", "webhook"]
Format = Literal["alertmanager", "rootly", "pagerduty", "slack", "webhook"]
TYPES: tuple[str, ...] = get_args(Type)
FORMATS: tuple[str, ...] = get_args(Format)
PAIRS = frozenset((type_, format_) for type_, formats in FORMATS_OF_TYPE.items() for format_ in formats)

RESERVED_NAMES = frozenset(("status", "refresh", "approve", "reject"))
"""Names that are routes below `targets/`."""

MAX_HEADERS = 100
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110, section 5.6.2."""
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
HEADERS_OF_THE_CLIENT = frozenset(
    (
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection",
        "te", "trailer", "upgrade", "expect",
    )
)  # fmt: skip
"""Headers that the sender of a request sets itself; values from a Secret could allow request smuggling."""

INVALID: Final = object()
"""Replaces a value whose fault has already been reported."""


def check(raw: Mapping[str, object], *, deny_private: bool) -> list[Fault]:
    """Everything wrong with the fields of a target as JSON has them; `headers` may also be a list of pairs."""
    faults = _name(raw) + _kind(raw) + _url(raw, deny_private)
    enabled = raw.get("enabled", True)
    if not isinstance(enabled, bool) and enabled is not INVALID:
        faults.append(Fault("enabled", "schema: is neither true nor false"))
    faults += [Fault("headers", message) for message in _headers(raw.get("headers"))]
    filters = raw.get("filter_config")
    if filters is not None and filters is not INVALID and not isinstance(filters, dict):
        faults.append(Fault("filter_config", "schema: is not an object"))
    return faults


def unknown_fields(names: Iterable[str], known: Collection[str], of: str = "field of a target") -> list[Fault]:
    """A fault for each unknown name, up to a limit, and one with the number of the others."""
    found = [name for name in names if name not in known]
    faults = [Fault(shown(name).strip("'"), unknown(name, known, of)) for name in found[:MAX_UNKNOWN]]
    if len(found) > MAX_UNKNOWN:
        faults.append(Fault("config", f"unknown_field: {len(found) - MAX_UNKNOWN} more are no {of}"))
    return faults


def is_name(name: str) -> bool:
    """Whether `name_problem` finds nothing."""
    return name not in RESERVED_NAMES and DNS_LABEL.fullmatch(name) is not None


def name_problem(name: str) -> str | None:
    """Why this is not a valid name of a target, or None."""
    if not DNS_LABEL.fullmatch(name):
        if name.endswith(("\n", "\r")):
            return "bad_name: ends with a line end"
        return "bad_name: is not 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends"
    if name in RESERVED_NAMES:
        return "bad_name: is a reserved word"
    return None


def good_headers(headers: Mapping[str, str], *, printable: bool) -> bool:
    """Whether `header_problems` finds nothing; fast if they are known to be of `printable` ASCII characters only."""
    if printable and _good_names(tuple(headers)) and "" not in map(str.strip, headers.values()):
        return True
    return not header_problems(headers.items())


@lru_cache(maxsize=1024)
def _good_names(names: tuple[str, ...]) -> bool:
    """Whether these header names are allowed. Cached: many targets have the same few."""
    return not header_problems((name, "x") for name in names)


def header_problems(pairs: Iterable[tuple[object, object]]) -> list[str]:
    """What is wrong with these headers, by position: names and values are never shown."""
    found: list[str] = []
    seen: set[str] = set()
    for position, (name, value) in enumerate(pairs, 1):
        if position > MAX_HEADERS:
            return [*found, f"too_complex: more than {MAX_HEADERS} headers"]
        folded = _folded(name) if isinstance(name, str) else None
        if folded is None:
            found.append(f"bad_header: the name of header {position} is empty or has a character no name may have")
            continue
        if folded in HEADERS_OF_THE_CLIENT:
            found.append(f"bad_header: {folded} is set by the sender itself")
        if folded in seen:
            found.append(f"bad_header: header {position} has the name of an earlier one")
        seen.add(folded)
        if not isinstance(value, str):
            found.append(f"schema: the value of header {position} is not a string")
        elif value.endswith(("\n", "\r")):
            found.append(f"bad_header: the value of header {position} ends with a line end")
        elif not HEADER_VALUE.fullmatch(value) or not value.strip():
            found.append(f"bad_header: the value of header {position} is empty or has a character no value may have")
    return found


def _folded(name: str) -> str | None:
    """A header's name in lower case, None if it is no name."""
    return name.lower() if HEADER_NAME.fullmatch(name) else None


def _name(raw: Mapping[str, object]) -> list[Fault]:
    value = _text(raw, "name")
    if not isinstance(value, str):
        return value
    problem = name_problem(value)
    return [Fault("name", problem)] if problem else []


def _kind(raw: Mapping[str, object]) -> list[Fault]:
    """Type and format, and whether the type allows the format."""
    faults: list[Fault] = []
    chosen = []
    for field, options in (("type", TYPES), ("format", FORMATS)):
        value = _text(raw, field)
        if not isinstance(value, str):
            faults += value
        elif value not in options:
            faults.append(Fault(field, f"schema: is none of {', '.join(options)}{_almost(value, options)}"))
        else:
            chosen.append(value)
    if len(chosen) == 2 and (chosen[0], chosen[1]) not in PAIRS:
        faults.append(Fault("format", f"schema: type {chosen[0]} takes {' or '.join(FORMATS_OF_TYPE[chosen[0]])}"))
    return faults


def _almost(value: str, options: tuple[str, ...]) -> str:
    """A hint for a value that resembles one of the options."""
    if value.endswith(("\n", "\r")):
        return "; it ends with a line end"
    if value.strip().lower() in options:
        return "; it is written in lower case and without blanks"
    return ""


def _url(raw: Mapping[str, object], deny_private: bool) -> list[Fault]:
    value = _text(raw, "url")
    if not isinstance(value, str):
        return value
    problem = urls.check(value, deny_private=deny_private)
    return [Fault("url", problem)] if problem else []


def _headers(value: Any) -> list[str]:
    if value is None or value is INVALID:
        return []
    if isinstance(value, dict):
        return header_problems(value.items())
    return header_problems(value) if isinstance(value, tuple) else ["schema: is not an object of strings"]


def _text(raw: Mapping[str, object], field: str) -> str | list[Fault]:
    """The string in a required field; None with a fault otherwise, unless its fault has already been reported."""
    value = raw.get(field)
    if isinstance(value, str):
        return value
    if value is INVALID:
        return []
    return [Fault(field, "schema: is required" if value is None else "schema: is not a string")]
