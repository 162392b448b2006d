"""Parses Secrets for tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from alert_refresh.targets.secret.parse import parse
from alert_refresh.targets.target import Target

if TYPE_CHECKING:
    from alert_refresh.engine import Fault

GOOD: dict[str, Any] = {
    "name": "team-a",
    "type": "webhook",
    "url": "https://hooks.example.com/services/canary-4f1c",
    "format": "alertmanager",
}


CANARY = "canary-4f1c"


def read(data: dict[str, Any], *, deny_private: bool = False, secret: str = "the-secret") -> Target | tuple[Fault, ...]:
    """Parse a Secret whose values are text, bytes, or become JSON."""
    values = {
        key: value
        if isinstance(value, bytes)
        else value.encode()
        if isinstance(value, str)
        else json.dumps(value).encode()
        for key, value in data.items()
    }
    return parse(values, namespace="ns", secret=secret, deny_private=deny_private)


def good(data: dict[str, Any], **options: Any) -> Target:
    result = read(data, **options)
    assert isinstance(result, Target), result
    return result


def only_fault(data: dict[str, Any]) -> Fault:
    result = read(data)
    assert isinstance(result, tuple), result
    [fault] = result
    return fault


def faults(data: dict[str, Any], **options: Any) -> dict[str, list[str]]:
    """The code words of the faults by field."""
    result = read(data, **options)
    assert isinstance(result, tuple), result
    found: dict[str, list[str]] = {}
    for fault in result:
        assert CANARY not in fault.message
        found.setdefault(fault.field, []).append(fault.message.partition(":")[0])
    return found


def config(**changes: Any) -> dict[str, Any]:
    return {"config": {key: value for key, value in (GOOD | changes).items() if value is not ...}}
