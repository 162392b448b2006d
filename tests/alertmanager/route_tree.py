"""What Alertmanager does with a tree of routes, as in its `dispatch/route.go`, so that many alerts can be tried."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import re2
import yaml

from alert_refresh.rules.matcher_text import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.rules.matcher import Matcher

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class RouteTree:
    """The routes of a written configuration."""

    def __init__(self, text: bytes) -> None:
        self._root = yaml.load(text, LOADER)["route"]

    def receivers(self, labels: Mapping[str, str]) -> list[str]:
        """The receivers that get an alert with these labels, in order."""
        return _match(self._root, labels, "") or []


def _match(route: Mapping[str, Any], labels: Mapping[str, str], inherited: str) -> list[str] | None:
    if not all(_accepts(one, labels) for text in route.get("matchers", ()) for one in _parsed(text)):
        return None
    receiver = route.get("receiver", inherited)
    found: list[str] = []
    for child in route.get("routes", ()):
        matched = _match(child, labels, receiver)
        found += matched or []
        if matched is not None and not child.get("continue", False):
            break
    return found or [receiver]


def _accepts(matcher: Matcher, labels: Mapping[str, str]) -> bool:
    value = labels.get(matcher.name, "")
    if matcher.op in ("=", "!="):
        return (value == matcher.value) == (matcher.op == "=")
    return (_pattern(matcher.value).fullmatch(value) is not None) == (matcher.op == "=~")


@cache
def _pattern(expression: str) -> Any:
    return re2.compile(expression)


@cache
def _parsed(text: str) -> tuple[Matcher, ...]:
    return parse(text)
