"""Label matchers as Alertmanager has them: `severity="critical"`, `team!=""`, `host=~"web-[0-9]+"`, `env!~"dev|test"`.

Regular expressions are RE2's, as in Alertmanager: anchored at both ends, and matched in time linear in the
value, so that no expression and no label can hold up the process.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LONGEST_EXPRESSION = 4096
"""Characters of a regular expression."""
EXPRESSION_MEMORY = 1 << 20
"""Bytes one compiled expression may take; `(x{1000}){1000}` is refused by it."""

_ONE = re.compile(
    r"""\s*+ (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*+) \s*+ (?P<op>=~|!~|!=|=) \s*+
        (?: "(?P<quoted>(?:[^"\\]|\\.)*+)" | (?P<bare>[^",]*+) ) \s*+ (?:,|$)""",
    re.VERBOSE | re.DOTALL,
)
"""Nothing of it goes back: what it costs is linear in the text."""
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_WORDS = re.compile(r"[A-Za-z0-9_ /:@-]+(?:\|[A-Za-z0-9_ /:@-]+)*")


class Matcher(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One condition on one label. A label that an alert does not have counts as empty."""

    name: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.op}"{value}"'

    @property
    def is_expression(self) -> bool:
        """Whether the value is a regular expression."""
        return self.op in ("=~", "!~")

    def alternatives(self) -> tuple[str, ...]:
        """The values of an expression that is a choice of plain words, such as `db|web`; empty for any other."""
        if self.op == "=~" and _WORDS.fullmatch(self.value):
            return tuple(dict.fromkeys(self.value.split("|")))
        return ()


class Pattern(Protocol):
    """A compiled regular expression."""

    def fullmatch(self, text: str) -> object | None:
        """Something if the whole text matches."""


def parse(text: str) -> tuple[Matcher, ...] | None:
    """The matchers of one string, comma-separated and in braces or not; None if it is not of that form."""
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    found: list[Matcher] = []
    at = 0
    while at < len(text):
        one = _ONE.match(text, at)
        if one is None:
            return None
        quoted = one["quoted"]
        value = one["bare"].rstrip() if quoted is None else re.sub(r"\\(.)", _unescape, quoted, flags=re.DOTALL)
        found.append(Matcher(one["name"], one["op"], value))  # type: ignore[arg-type]
        at = one.end()
    return tuple(found) or None


def compile_all(expressions: Iterable[str], known: Mapping[str, Pattern]) -> tuple[dict[str, Pattern], set[str]]:
    """Each expression compiled, taken from `known` where it is there; and those that are no expressions."""
    compiled: dict[str, Pattern] = {}
    bad: set[str] = set()
    for expression in expressions:
        pattern = known.get(expression) or _compile(expression)
        if pattern is None:
            bad.add(expression)
        else:
            compiled[expression] = pattern
    return compiled, bad


def _compile(expression: str) -> Pattern | None:
    import re2  # only rules with expressions pay for it

    if len(expression) > LONGEST_EXPRESSION:
        return None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = EXPRESSION_MEMORY
    try:
        pattern: Any = re2.compile(expression, options)
    except re2.error:
        return None
    return pattern  # type: ignore[no-any-return]


def _unescape(escape: re.Match[str]) -> str:
    """What a backslash and a character mean; one that escapes nothing stands for itself, as in Alertmanager."""
    return _ESCAPES.get(escape[1], escape[0])
