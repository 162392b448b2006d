"""Converts plain data from YAML, JSON or MessagePack to a rule. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from alert_refresh.rules.matcher import Matcher
from alert_refresh.rules.matcher_text import BadMatcher, begins_with_operator, needs_quotes, parse
from alert_refresh.rules.rule import INT32, MOST, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def read(raw: object) -> Rule | None:
    """A rule from plain data, or None if a field is invalid; `faults.every` reports which."""
    if type(raw) is not dict or "id" not in raw:
        return None
    values: dict[str, Any] = {}
    for name, item in raw.items():
        reader = READERS.get(name)
        value = None if reader is None else reader(item)
        if value is None:
            return None
        # The warm file omits a default only if it is the identical object.
        if value != _DEFAULTS.get(name):
            values[name] = value
    return Rule(**values)


def text(raw: object) -> str | None:
    """The value if it is a string that can be encoded as UTF-8, else None."""
    if not isinstance(raw, str):
        return None
    try:
        raw.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return None
    return raw


def boolean(raw: object) -> bool | None:
    """The value if it is a bool, else None."""
    return raw if isinstance(raw, bool) else None


def integer(raw: object) -> int | None:
    """The value if it is a 32-bit integer, else None."""
    return raw if isinstance(raw, int) and not isinstance(raw, bool) and -INT32 <= raw < INT32 else None


def triple(raw: object) -> Matcher | None:
    """The matcher given as a list of name, operator and value, else None."""
    parts = _texts(raw)
    if parts is None or len(parts) != 3 or parts[1] not in ("=", "!=", "=~", "!~"):
        return None
    return Matcher(parts[0], parts[1], parts[2])  # type: ignore[arg-type]  # the operator was checked


def _texts(raw: object) -> tuple[str, ...] | None:
    if not isinstance(raw, list) or len(raw) > MOST:
        return None
    found = tuple(one for item in raw if (one := text(item)) is not None)
    return found if len(found) == len(raw) else None


def _mapping(raw: object) -> dict[str, str] | None:
    if type(raw) is not dict or len(raw) > MOST:
        return None
    keys, values = _texts(list(raw)), _texts(list(raw.values()))
    return None if keys is None or values is None else dict(zip(keys, values, strict=True))


def _match(raw: object) -> tuple[Matcher, ...] | None:
    """A mapping of name to value, or a list of matcher strings or of `[name, op, value]`."""
    if isinstance(raw, dict):
        equal = _mapping(raw)
        if equal is None or any(map(needs_quotes, equal)) or any(map(begins_with_operator, equal.values())):
            return None
        return tuple(Matcher(name, "=", value) for name, value in equal.items())
    if not isinstance(raw, list) or len(raw) > MOST:
        return None
    found: list[Matcher] = []
    for item in raw:
        matchers = _matchers(item)
        if matchers is None:
            return None
        found += matchers
    return tuple(found) if len(found) <= MOST else None


def _matchers(raw: object) -> tuple[Matcher, ...] | None:
    if (line := text(raw)) is None:
        one = triple(raw)
        return None if one is None else (one,)
    try:
        return parse(line)
    except BadMatcher:
        return None


_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Rule)}
READERS: Mapping[object, Callable[[object], object]] = {
    "id": text,
    "family": text,
    "enabled": boolean,
    "priority": integer,
    "match": _match,
    "targets": _texts,
    "description": text,
    "annotations": _mapping,
}
"""The converter of each field of a rule; it returns None for an invalid value."""
