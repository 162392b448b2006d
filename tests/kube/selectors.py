"""Label and field selectors, as the API server reads them from a query."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"

_SET = re.compile(rf"({KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(rf"({KEY})\s*(==|=|!=)\s*({VALUE})")
_EXISTS = re.compile(rf"(!?)\s*({KEY})")
_COMMA = re.compile(r",(?![^(]*\))")

FIELDS = ("metadata.name", "metadata.namespace", "type")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One part of a selector. `negative` is true of `!=`, `notin` and `!key`; `values` None asks for the key alone."""

    key: str
    negative: bool
    values: frozenset[str] | None

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels fulfil it; a negative one is fulfilled by an absent key."""
        value = labels.get(self.key)
        found = value is not None and (self.values is None or value in self.values)
        return found is not self.negative


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Read a labelSelector.

    Raises:
        ValueError: the API server would answer 400.
    """
    return tuple(_requirement(part.strip()) for part in _COMMA.split(text)) if text.strip() else ()


def parse_fields(text: str) -> tuple[Requirement, ...]:
    """Read a fieldSelector over the fields that Secrets have.

    Raises:
        ValueError: the API server would answer 400.
    """
    requirements = []
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", part)
        if match is None or match[1] not in FIELDS:
            raise ValueError(f'field label not supported: "{part}"')
        requirements.append(Requirement(match[1], match[2] == "!=", frozenset({match[3]})))
    return tuple(requirements)


def _requirement(part: str) -> Requirement:
    if match := _SET.fullmatch(part):
        values = frozenset(value.strip() for value in match[3].split(","))
        return Requirement(match[1], match[2] == "notin", values)
    if match := _EQUAL.fullmatch(part):
        return Requirement(match[1], match[2] == "!=", frozenset({match[3]}))
    if match := _EXISTS.fullmatch(part):
        return Requirement(match[2], bool(match[1]), None)
    raise ValueError(f"unable to parse requirement: {part!r}")
