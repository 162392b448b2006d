"""Label selectors with the meaning they have in Kubernetes (labels.Parse of apimachinery).

    publishing-target=true,tier in (prod, staging),!paused,env!=test,team,weight>3

`!=` and `notin` also match what does not have the label at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from alert_refresh.mistakes import part

KEY = re.compile(
    r"(?:(?=.{1,253}/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
TOKEN = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)")
MAX_LENGTH = 4096

Labels = Mapping[str, str]


class Requirement(NamedTuple):
    """One part of a selector."""

    key: str
    matches: Callable[[str | None], bool]


class Selector:
    """All requirements together; none match everything."""

    def __init__(self, requirements: tuple[Requirement, ...]) -> None:
        self._requirements = requirements

    @property
    def keys(self) -> list[str]:
        """The labels that the requirements refer to, each once."""
        return list(dict.fromkeys(one.key for one in self._requirements))

    def matches(self, labels: Labels) -> bool:
        """Whether an object with these labels is selected."""
        return all(matches(labels.get(key)) for key, matches in self._requirements)


def parse_selector(text: str) -> Selector:
    """Read a label selector; an empty one selects everything.

    Raises:
        ValueError: it is malformed; the message says how.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"is longer than {MAX_LENGTH} characters")
    tokens = TOKEN.findall(text)
    requirements = []
    while tokens:
        requirements.append(_requirement(tokens))
        if not tokens:
            break
        if (stray := tokens.pop(0)) != ",":
            raise ValueError(f"has {part(stray)} where a comma is expected")
        if not tokens:
            raise ValueError("ends with a comma")
    return Selector(tuple(requirements))


def _requirement(tokens: list[str]) -> Requirement:
    """Take one requirement off the front."""
    absent = tokens[0] == "!"
    if absent:
        tokens.pop(0)
    key = tokens.pop(0) if tokens else ""
    if not KEY.fullmatch(key):
        raise ValueError(f"has {part(key)} where a label's name is expected")
    if absent:
        return Requirement(key, lambda value: value is None)
    if not tokens or tokens[0] == ",":
        return Requirement(key, lambda value: value is not None)
    operator = tokens.pop(0)
    if operator in ("=", "=="):
        wanted = _value(tokens)
        return Requirement(key, lambda value: value == wanted)
    if operator == "!=":
        unwanted = _value(tokens)
        return Requirement(key, lambda value: value != unwanted)
    if operator in ("in", "notin"):
        options = _values(tokens)
        return Requirement(key, lambda value: (value in options) is (operator == "in"))
    if operator in ("<", ">"):
        return Requirement(key, _compared(operator, _value(tokens)))
    raise ValueError(f"has {part(operator)} where =, ==, !=, in, notin, < or > is expected")


def _value(tokens: list[str]) -> str:
    """Take a value, which may be empty."""
    value = "" if not tokens or tokens[0] == "," else tokens.pop(0)
    if not VALUE.fullmatch(value):
        raise ValueError(f"has {part(value)}, which is no label's value")
    return value


def _values(tokens: list[str]) -> frozenset[str]:
    """Take values in parentheses."""
    if not tokens or tokens.pop(0) != "(" or ")" not in tokens:
        raise ValueError("has in or notin without values in parentheses")
    end = tokens.index(")")
    inside, tokens[: end + 1] = tokens[:end], []
    if not inside:
        raise ValueError("has in or notin with no value")
    found = {""} if "," in (inside[0], inside[-1]) else set()
    for before, one in zip([",", *inside], inside, strict=False):
        if one != ",":
            if before != "," or not VALUE.fullmatch(one):
                raise ValueError(f"has {part(one)}, which is no label's value")
            found.add(one)
        elif before == ",":
            found.add("")
    return frozenset(found)


def _compared(operator: str, text: str) -> Callable[[str | None], bool]:
    if not _is_integer(text):
        raise ValueError(f"compares with {part(text)}, which is no whole number")
    bound = int(text)

    def matches(value: str | None) -> bool:
        if value is None or not _is_integer(value):
            return False
        return int(value) > bound if operator == ">" else int(value) < bound

    return matches


def _is_integer(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,18}", text))
