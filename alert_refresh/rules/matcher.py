"""Label matchers as in Alertmanager: `severity="critical"`, `team!=""`, `host=~"web-[0-9]+"`, `env!~"dev|test"`.

Regular expressions are RE2's, as in Alertmanager: anchored at both ends, and matched in time linear in the length of
the value, so that no expression and no label can block the process.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
"""A label name that does not need quotes."""
LONGEST_EXPRESSION = 4096
"""Characters of a regular expression."""
EXPRESSION_MEMORY = 1 << 20
"""Maximum bytes of a compiled expression; refuses `(x{1000}){1000}`."""

_BYTE = re.compile(r"(?<!\\)(?:\\\\)*+\\C")
"""`\\C`, one byte: supported by RE2 in C++, an error in Go."""
_LOOK_AROUND = (b"(?=", b"(?!", b"(?<")
_REASONS = {
    b"missing )": "a parenthesis is not closed",
    b"unexpected )": "a closing parenthesis has none that opens",
    b"missing ]": "a bracket is not closed",
    b"no argument for repetition operator": "a repetition follows nothing that can be repeated",
    b"bad repetition operator": "a repetition follows another one",
    b"invalid repetition size": "a repetition has too large or no valid bounds",
    b"invalid character class range": "a class of characters has an invalid range or an unknown name",
    b"invalid named capture group": "the name of a group is not valid",
    b"invalid escape sequence": "an escape sequence is unknown; a reference to a group is not supported",
    b"trailing \\": "it ends with a single backslash",
    b"invalid perl operator": "what follows (? is not supported",
}
"""RE2's reasons in fixed words; what follows its colon is text of the expression."""
_WORDS = re.compile(r"[A-Za-z0-9_ /:@-]+(?:\|[A-Za-z0-9_ /:@-]+)*")


class Matcher(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One condition on one label. A label that an alert does not have is equal to the empty string."""

    name: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str

    def __str__(self) -> str:
        name = self.name if NAME.fullmatch(self.name) else _quoted(self.name)
        return f"{name}{self.op}{_quoted(self.value)}"

    @property
    def is_expression(self) -> bool:
        """Whether the value is a regular expression."""
        return self.op in ("=~", "!~")

    def alternatives(self) -> tuple[str, ...]:
        """The values of an expression that is an alternation of plain words, such as `db|web`; else empty."""
        if self.op == "=~" and _WORDS.fullmatch(self.value):
            return tuple(dict.fromkeys(self.value.split("|")))
        return ()


class Pattern(Protocol):
    """A compiled regular expression."""

    def fullmatch(self, text: str) -> object | None:
        """A match object if the whole text matches, else None."""


def compile_all(expressions: Iterable[str], known: Mapping[str, Pattern]) -> tuple[dict[str, Pattern], set[str]]:
    """Each expression compiled, reused from `known` where possible, and the set of invalid expressions."""
    compiled: dict[str, Pattern] = {}
    bad: set[str] = set()
    for expression in expressions:
        pattern = known.get(expression) or _compile(expression)
        if pattern is None:
            bad.add(expression)
        else:
            compiled[expression] = pattern
    return compiled, bad


def why_bad(expression: str) -> str | None:
    """Why a regular expression is invalid, in words without its text; None if that is unknown, or it is valid."""
    import re2

    try:
        _compile_or_raise(expression)
    except re2.error as error:
        reason, _, what = error.args[0].partition(b": ")
        if reason == b"invalid perl operator" and what.startswith(_LOOK_AROUND):
            return "lookahead and lookbehind are not supported"
        return _REASONS.get(reason)
    except _Refused as error:
        return str(error)
    return None


def _compile(expression: str) -> Pattern | None:
    import re2  # imported only if a rule has an expression

    try:
        return _compile_or_raise(expression)
    except (re2.error, _Refused):
        return None


class _Refused(ValueError):
    """Raised when RE2 would accept an expression that is not valid here."""


def _compile_or_raise(expression: str) -> Pattern:
    import re2

    if len(expression) > LONGEST_EXPRESSION:
        raise _Refused("it is longer")
    if _BYTE.search(expression):
        raise _Refused("\\C is not supported")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = EXPRESSION_MEMORY
    pattern: Pattern = re2.compile(expression, options)
    return pattern


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
