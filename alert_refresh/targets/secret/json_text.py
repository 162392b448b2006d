"""Parses JSON from a Secret; errors name line and column and never quote the text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from alert_refresh.targets.secret.json_limits import number_problem, problem
from alert_refresh.targets.secret.words import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PART = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},:]|[^\s\[\]{},:"]++', re.DOTALL)
"""Strings, brackets, commas, colons, and everything between them."""
CONSTANT = re.compile(r"-?(?:NaN|Infinity)")
WORD = re.compile(r"[A-Za-z_$]")

AFTER_OPENING = {"{": 'a key in double quotes or "}"', "[": 'a value or "]"'}
AFTER_COMMA = {"{": "a key in double quotes", "[": "a value"}
AFTER_VALUE = {"{": 'a comma or "}"', "[": 'a comma or "]"', "": "the end of the text"}


class Unusable(ValueError):
    """Raised when a text cannot be used; the message begins with an error code and never quotes the text.

    `line` is where in the text, counted from 1; None if that is not known.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def load(text: bytes) -> Any:
    """Parse JSON.

    Raises:
        Unusable: too large, too complex, not UTF-8, not JSON, or with a repeated key.
    """
    if fault := problem(text):
        raise Unusable(fault)
    decoded = text.decode()
    value = unique(decoded)
    if fault := number_problem(text):
        raise Unusable(fault)
    if "\\u" in decoded:
        refuse_lone_surrogates(value)
    return value


def unique(text: str, make: Callable[[list[tuple[str, Any]]], dict[str, Any]] = dict) -> Any:
    """Parse JSON of any size; `make` makes its objects, in the order of `object_lines`.

    Raises:
        Unusable: it is not JSON, or a key is repeated.
        RecursionError: nested too deeply.
    """
    repeated = False

    def pairs_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        found = make(pairs)
        repeated = repeated or len(found) < len(pairs)
        return found

    try:
        value = json.loads(text, object_pairs_hook=pairs_once, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _not_json(text, error.pos) from error
    except _Constant as error:
        at = next(part.start() for part in PART.finditer(text) if CONSTANT.fullmatch(part[0]))
        raise _not_json(text, at) from error
    except ValueError as error:
        raise Unusable("schema: has a number that is negative zero or out of range") from error
    if repeated:
        raise _repeated(text)
    return value


def place(text: str, at: int) -> str:
    """Line and column of a character, both counted from 1."""
    return f"line {_line(text, at)}, column {at - text.rfind(chr(10), 0, at)}"


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def object_lines(text: str) -> Iterator[tuple[int, dict[str, int]]]:
    """Of each object in well-formed JSON, in the order in which they end: its line, and the lines of its keys."""
    open_: list[tuple[int, dict[str, int]] | None] = []
    key_follows, line, counted = False, 1, 0
    for part in PART.finditer(text):
        line, counted = line + text.count("\n", counted, part.start()), part.start()
        first, inner = part[0][0], open_[-1] if open_ else None
        if key_follows and first == '"' and inner is not None:
            inner[1][json.loads(part[0])] = line
        if first in "{[":
            open_.append((line, {}) if first == "{" else None)
        elif first in "]}" and (ended := open_.pop()) is not None:
            yield ended
        key_follows = first == "{" or (first == "," and inner is not None)


class _Constant(ValueError):
    """Raised when a text has NaN or Infinity, which Python reads and JSON does not have."""


def _refuse_constant(_: str) -> NoReturn:
    raise _Constant


def refuse_lone_surrogates(value: object) -> None:
    """Raise `Unusable` for a value with half of a surrogate pair, which no text can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Unusable("encoding: has a lone surrogate") from error


def _not_json(text: str, at: int) -> Unusable:
    expected, inside = _expected(text, at)
    if not inside:
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))
        expected = f"expected {expected}{_hint(text, at)}"
    return Unusable(f"schema: is not valid JSON: {place(text, at)}: {expected}", _line(text, at))


def _hint(text: str, at: int) -> str:
    """A hint for a common mistake at this place."""
    found = text[at : at + 2]
    if not found:
        return "; the text ends early"
    if found in ("//", "/*") or found[0] == "#":
        return "; JSON has no comments"
    if found[0] in "'`\u2018\u2019\u201c\u201d":
        return "; JSON has no other quotation marks than double ones"
    if found[0] in "]}" and text[:at].rstrip().endswith(","):
        return "; a comma is not allowed before a closing bracket"
    if CONSTANT.match(text, at):
        return "; JSON has neither NaN nor Infinity"
    return "; only true, false and null are words without quotation marks" if WORD.match(text, at) else ""


def _expected(text: str, at: int) -> tuple[str, bool]:
    """The tokens that JSON allows at this place, and whether the place is inside a string."""
    open_: list[str] = []
    expected = "a value"
    for part in PART.finditer(text):
        if part.start() >= at and not (part.start() == at and text[at] == '"' and _unterminated(part[0])):
            break
        if part[0][0] == '"' and part.end() > at:
            return _inside(text, at), True
        inner = open_[-1] if open_ else ""
        if part[0] in ("{", "["):
            open_.append(part[0])
            expected = AFTER_OPENING[part[0]]
        elif part[0] == ":":
            expected = "a value"
        elif part[0] == ",":
            expected = AFTER_COMMA.get(inner, "a value")
        elif inner == "{" and expected.startswith("a key"):
            expected = "a colon"
        else:
            if part[0] in ("}", "]") and open_:
                open_.pop()
            expected = AFTER_VALUE[open_[-1] if open_ else ""]
    return expected, False


def _unterminated(part: str) -> bool:
    return len(part) < 2 or not part.endswith('"')


def _inside(text: str, at: int) -> str:
    """What is wrong at a place in a string."""
    if text[at] == '"':
        return "the string that begins here does not end"
    if text[at] == "\\":
        return "a backslash must begin one of the escapes of JSON"
    return "a line end, tab or other control character in a string must be escaped, such as \\n"


def _repeated(text: str) -> Unusable:
    """The first key that is repeated in its object, in JSON that is well-formed and has one."""
    key, at = next(_keys_repeated(text))
    message = f"repeated_key: {shown(key)} is repeated at {place(text, at)}; a key may be there once"
    return Unusable(message, _line(text, at))


def _keys_repeated(text: str) -> Iterator[tuple[str, int]]:
    seen: list[set[str] | None] = []
    key_follows = False
    for part in PART.finditer(text):
        first = part[0][0]
        if key_follows and first == '"' and seen[-1] is not None:
            key = json.loads(part[0])
            if key in seen[-1]:
                yield key, part.start()
            seen[-1].add(key)
        if first in "{[":
            seen.append(set() if first == "{" else None)
        elif first in "]}":
            seen.pop()
        key_follows = first == "{" or (first == "," and seen[-1] is not None)
