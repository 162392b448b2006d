"""A rule from plain data, as YAML, JSON or MessagePack gives it: types first, and every fault of them. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from alert_refresh.engine import Fault
from alert_refresh.rules.matcher import Matcher, parse
from alert_refresh.rules.rule import INT32, MOST, Rule


def read(raw: object) -> Rule | tuple[Fault, ...]:
    """A rule from plain data as YAML or JSON gives it, or what is wrong with its types, all of it."""
    if not isinstance(raw, dict):
        return (Fault("", "is not a mapping"),)
    faults = [Fault("", "has a field that no rule has") for name in raw if name not in _READERS][:1]
    faults += [Fault("id", "is missing")] if "id" not in raw else []
    values: dict[str, Any] = {}
    for name, (reader, words) in _READERS.items():
        if name in raw:
            value = reader(raw[name])
            if value is None:
                faults.append(Fault(name, words))
            # The warm file leaves a default out only if it is the very same object.
            if value != _DEFAULTS.get(name):
                values[name] = value
    return tuple(faults) or Rule(**values)


def _text(raw: object) -> str | None:
    if not isinstance(raw, str):
        return None
    try:
        raw.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return None
    return raw


def _boolean(raw: object) -> bool | None:
    return raw if isinstance(raw, bool) else None


def _integer(raw: object) -> int | None:
    return raw if isinstance(raw, int) and not isinstance(raw, bool) and -INT32 <= raw < INT32 else None


def _texts(raw: object) -> tuple[str, ...] | None:
    if not isinstance(raw, list) or len(raw) > MOST:
        return None
    found = tuple(text for item in raw if (text := _text(item)) is not None)
    return found if len(found) == len(raw) else None


def _mapping(raw: object) -> dict[str, str] | None:
    if not isinstance(raw, dict) or len(raw) > MOST:
        return None
    keys, values = _texts(list(raw)), _texts(list(raw.values()))
    return None if keys is None or values is None else dict(zip(keys, values, strict=True))


def _match(raw: object) -> tuple[Matcher, ...] | None:
    """A mapping of name to value, or a list of matcher strings or of `[name, op, value]`."""
    if isinstance(raw, dict):
        equal = _mapping(raw)
        return None if equal is None else tuple(Matcher(name, "=", value) for name, value in equal.items())
    if not isinstance(raw, list) or len(raw) > MOST:
        return None
    found: list[Matcher] = []
    for item in raw:
        matchers = parse(item) if _text(item) is not None else _triple(item)
        if matchers is None:
            return None
        found += matchers
    return tuple(found) if len(found) <= MOST else None


def _triple(raw: object) -> tuple[Matcher, ...] | None:
    parts = _texts(raw)
    if parts is None or len(parts) != 3 or parts[1] not in ("=", "!=", "=~", "!~"):
        return None
    return (Matcher(parts[0], parts[1], parts[2]),)  # type: ignore[arg-type]


_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Rule)}
_READERS = {
    "id": (_text, "is not text"),
    "family": (_text, "is not text"),
    "enabled": (_boolean, "is neither true nor false"),
    "priority": (_integer, "is not a whole number of 32 bits"),
    "match": (_match, f"is neither a list of matchers nor a mapping of text to text, of up to {MOST}"),
    "targets": (_texts, f"is not a list of up to {MOST} texts"),
    "description": (_text, "is not text"),
    "annotations": (_mapping, f"is not a mapping of text to text, of up to {MOST}"),
}
