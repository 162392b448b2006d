"""Parsing matchers as Alertmanager does: with its classic parser, and if that fails with its UTF-8 parser.

Where the two parsers differ, Alertmanager uses the classic one, and so does this module. It refuses some texts that
Alertmanager accepts with an unexpected meaning: in an unquoted value a brace, a quote, also a typographic one, a line
feed, or what looks like another matcher (`foo=bar}`, `foo='bar'`, `foo=bar team=x`); unbalanced braces; and no matcher
at all. A label name with characters other than letters, digits, `_` and `:` must be
quoted. The time is linear in the length of the text.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from alert_refresh.rules.matcher import NAME, Matcher
from alert_refresh.rules.rule import MOST

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_NAME = "expected a label name"
_NO_OPERATOR = "expected an operator: =, !=, =~ or !~"
_QUOTE = 'expected no double quote here; within a value write \\"'

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_RESERVED = rf"{_SPACE}{{}}!=~,\\\"'`"
_PLAIN_NAME = re.compile(f"[^{_RESERVED}]++")
_OPERATOR = "=~|!~|!=|="
_BEGINS_WITH_OPERATOR = re.compile(rf"[{_SPACE}]*+(?:{_OPERATOR})")

_COMMON = re.compile(rf'\s*+([a-zA-Z_:][a-zA-Z0-9_:]*+) ?({_OPERATOR}) ?"([^"\\]*+)"', re.ASCII)
"""A fast path for one matcher without escapes, equivalent to the classic parser."""

_PIECE = re.compile(
    r"""((?: [^",\\] | \\[^,] | \\(?=,|\Z) | "(?:[^"\\]|\\,*+.)*+(?:"|(?:\\,*+)?\Z) )*+) (,|\Z)""",
    re.VERBOSE | re.DOTALL,
)
"""The text of one matcher for the classic parser: up to a comma outside quotes."""
_BLANK = "\t\n\f\r "
_NAMED = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*+)[{_BLANK}]*+")
_CLASSIC_OPERATOR = re.compile(rf"({_OPERATOR})[{_BLANK}]*+")
_UNTIL_QUOTE = re.compile(r'(?:[^"\\]|\\.)*+', re.DOTALL)
_STRAY = re.compile(
    rf"""(?P<brace>[{{}}'`]) | (?P<typographic>[\u201c\u201d\u201e\u2018\u2019\u201a])
         | \n | [{_SPACE}][a-zA-Z_:][a-zA-Z0-9_:]*+[{_SPACE}]*+(?:{_OPERATOR})""",
    re.VERBOSE,
)
"""What an unquoted value has only by mistake: stray characters, or a second matcher."""
_STRAY_REASONS = {
    "brace": "a value with a brace or a quote must be in double quotes",
    "typographic": 'expected no typographic quote: write " instead; a value that has one must be in double quotes',
    None: "expected a comma before the next matcher; a value with a line feed or an operator must be in double quotes",
}
_CLASSIC_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}

_TOKEN = re.compile(
    rf"""[{_SPACE}]*+ (?: (?P<quoted>"(?:[^"\\]|\\.)*+") | (?P<operator>{_OPERATOR}) | (?P<mark>[{{}},])
         | (?P<bare>[^{_RESERVED}]++) | (?P<end>\Z) | (?P<unclosed>") | (?P<other>.) )""",
    re.VERBOSE | re.DOTALL,
)
_PART = re.compile(
    r"""[^\\\n]++ | \\(?: (?P<letter>[abfnrtv\\"]) | x(?P<hex>[0-9a-fA-F]{2}) | (?P<octal>[0-3][0-7]{2})
        | u(?P<short>[0-9a-fA-F]{4}) | U(?P<long>[0-9a-fA-F]{8}) )""",
    re.VERBOSE,
)
_LETTERS = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))


class BadMatcher(ValueError):
    """Raised when a text is not a list of matchers: the column, counted from 1, and the reason, without the text."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"column {offset + 1}: {reason}")
        self.offset = offset


class _Stray(BadMatcher):
    """Raised when Alertmanager accepts a text with an unexpected meaning."""


def needs_quotes(name: str) -> bool:
    """Whether a label name must be in double quotes: it is empty or has a character that separates matchers."""
    return _PLAIN_NAME.fullmatch(name) is None


def begins_with_operator(value: str) -> bool:
    """Whether a value of a mapping was meant as an operator and a value."""
    return _BEGINS_WITH_OPERATOR.match(value) is not None


def parse(text: str) -> tuple[Matcher, ...]:
    """The matchers in a string, at least one: comma-separated, with or without braces.

    Raises:
        BadMatcher: the string is invalid.
    """
    common = _COMMON.fullmatch(text)
    if common is not None:
        return (_matcher(*common.groups()),)
    try:
        found = _classic(text)
    except _Stray:
        raise
    except BadMatcher as refused:
        found = _utf8_or(text, refused)
    if not found:
        raise BadMatcher(0, "expected a matcher")
    if len(found) > MOST:
        raise BadMatcher(0, f"expected at most {MOST} matchers")
    return tuple(found)


def _utf8_or(text: str, refused: BadMatcher) -> list[Matcher]:
    """The result of the UTF-8 parser; if it fails too, raises the error of the parser that got further."""
    try:
        return list(islice(_utf8(text), MOST + 1))
    except BadMatcher as error:
        raise (refused if refused.offset > error.offset else error) from None


def _classic(text: str) -> list[Matcher]:
    inner = text.removeprefix("{")
    base = len(text) - len(inner)
    inner = inner.removesuffix("}")
    found: list[Matcher] = []
    at, more = 0, True
    while more and len(found) <= MOST:
        piece = _PIECE.match(inner, at)
        assert piece is not None
        more = piece[2] == ","
        one = piece[1] if more else piece[1].rstrip(_SPACE)
        if more or one.strip(_SPACE):
            found.append(_classic_one(one, base + at, _BLANK if more else _SPACE))
        at = piece.end()
    if found and text.startswith("{") != text.endswith("}"):
        raise _Stray(len(text) - 1 if base == 0 else 0, "expected braces around all matchers, or none")
    return found


def _classic_one(piece: str, base: int, blank: str) -> Matcher:
    before = len(piece) - len(piece.lstrip(blank))
    name = _NAMED.match(piece, before)
    if name is None:
        raise BadMatcher(base + before, _NO_NAME)
    operator = _CLASSIC_OPERATOR.match(piece, name.end())
    if operator is None:
        raise BadMatcher(base + name.end(), _NO_OPERATOR)
    value = _classic_value(piece[operator.end() :].rstrip(_BLANK), base + operator.end())
    return _matcher(name[1], operator[1], value)


def _classic_value(raw: str, base: int) -> str:
    quoted = raw.startswith('"')
    until = _UNTIL_QUOTE.match(raw, int(quoted))
    assert until is not None
    rest = raw[until.end() :]
    if not quoted:
        _demand_plain(raw[: until.end()], base)
    if quoted and rest != '"':
        at, reason = (until.end(), _QUOTE) if rest[:1] == '"' else (0, "this double quote is not closed")
        raise BadMatcher(base + at, reason)
    if not quoted and rest[:1] == '"':
        raise BadMatcher(base + until.end(), _QUOTE)
    return re.sub(r"\\(.)", _classic_escape, raw[1:-1] if quoted else raw, flags=re.DOTALL)


def _demand_plain(value: str, base: int) -> None:
    stray = _STRAY.search(value)
    if stray is not None:
        raise _Stray(base + stray.start(), _STRAY_REASONS[stray.lastgroup])


def _classic_escape(escape: re.Match[str]) -> str:
    """The meaning of a backslash and a character; an unknown escape is kept as it is."""
    return _CLASSIC_ESCAPES.get(escape[1], escape[0])


def _utf8(text: str) -> Iterator[Matcher]:
    tokens = _tokens(text)
    token, expected = next(tokens), _NO_NAME
    braces = token[1] == "{"
    if braces:
        token = next(tokens)
    while token[0] in ("quoted", "bare"):
        name = _name(*token)
        operator = _expect(next(tokens), _NO_OPERATOR, "operator")[1]
        yield _matcher(name, operator, _unquoted(*_expect(next(tokens), "expected a value", "quoted", "bare")))
        token, expected = next(tokens), "expected a comma"
        if token[1] != ",":
            break
        token, expected = next(tokens), _NO_NAME
    if braces:
        if token[1] != "}":
            _expect(token, f"{expected} or a closing brace")
        token, expected = next(tokens), "expected nothing after the closing brace"
    _expect(token, expected, "end")


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """The kind, text and offset of each token; the last one has kind `end`."""
    return map(_token, _TOKEN.finditer(text))


def _token(found: re.Match[str]) -> tuple[str, str, int]:
    kind = found.lastgroup or ""
    return kind, found[kind], found.start(kind)


def _expect(token: tuple[str, str, int], otherwise: str, *kinds: str) -> tuple[str, str, int]:
    kind, _, at = token
    if kind not in kinds:
        raise BadMatcher(at, "this double quote is not closed" if kind == "unclosed" else otherwise)
    return token


def _name(kind: str, word: str, at: int) -> str:
    if kind == "quoted":
        name = _unquoted(kind, word, at)
        if not name:
            raise BadMatcher(at, _NO_NAME)
        return name
    good = NAME.match(word)
    length = 0 if good is None else good.end()
    if length < len(word):
        raise BadMatcher(
            at + length, "a label name with characters other than letters, digits, _ and : must be in double quotes"
        )
    return word


def _unquoted(kind: str, word: str, at: int) -> str:
    """A value or a name unquoted as in Go, including byte escapes that form UTF-8."""
    if kind == "bare":
        _demand_plain(word, at)
        return word
    parts, offset, end = [], 1, len(word) - 1
    while offset < end:
        part = _PART.match(word, offset, end)
        if part is None:
            reason = (
                "write a line feed as \\n"
                if word[offset] == "\n"
                else "unknown escape sequence; write \\\\ for a backslash"
            )
            raise BadMatcher(at + offset, reason)
        parts.append(_part(part))
        offset = part.end()
    try:
        return b"".join(parts).decode()
    except UnicodeDecodeError:
        raise BadMatcher(at, "expected escape sequences that form UTF-8") from None


def _part(part: re.Match[str]) -> bytes:
    if part["letter"]:
        return _LETTERS[part["letter"]].encode()
    byte = part["hex"] or part["octal"]
    if byte:
        return bytes([int(byte, 16 if part["hex"] else 8)])
    point = part["short"] or part["long"]
    if point is None:
        return part[0].encode("utf-8", "surrogatepass")
    code = int(point, 16)
    return chr(code).encode("utf-8", "surrogatepass") if code <= 0x10FFFF else b"\xff"


def _matcher(name: str, operator: Any, value: str) -> Matcher:
    return Matcher(name, operator, value)
