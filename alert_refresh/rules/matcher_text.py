"""Matchers from text, as Alertmanager reads it: by its classic parser, and what that refuses by its UTF-8 parser.

Where the two read a text differently, Alertmanager takes what the classic one reads, and so does this. Refused although
Alertmanager takes it is what means something else than it seems: a brace or a quote in a value that is not in quotes
(`foo=bar}`, `foo='bar'`), braces that do not match, and no matcher at all. A label name of other characters than
letters, digits, `_` and `:` must be in quotes. What reading costs is linear in the text.
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

_COMMON = re.compile(rf'\s*+([a-zA-Z_:][a-zA-Z0-9_:]*+) ?({_OPERATOR}) ?"([^"\\]*+)"', re.ASCII)
"""One matcher with nothing to unescape, as almost all are: what the classic parser reads, found sooner."""

_PIECE = re.compile(
    r"""((?: [^",\\] | \\[^,] | \\(?=,|\Z) | "(?:[^"\\]|\\,*+.)*+(?:"|(?:\\,*+)?\Z) )*+) (,|\Z)""",
    re.VERBOSE | re.DOTALL,
)
"""What the classic parser takes for one matcher: up to a comma that is not in quotes."""
_BLANK = "\t\n\f\r "
_NAMED = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*+)[{_BLANK}]*+")
_CLASSIC_OPERATOR = re.compile(rf"({_OPERATOR})[{_BLANK}]*+")
_UNTIL_QUOTE = re.compile(r'(?:[^"\\]|\\.)*+', re.DOTALL)
_STRAY = re.compile(r"[{}'`]")
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
    """Raised when a text is no list of matchers: at which column, counted from 1, and why. Never shows the text."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"column {offset + 1}: {reason}")
        self.offset = offset


class _Stray(BadMatcher):
    """Raised when Alertmanager reads a text, but not as what it seems."""


def needs_quotes(name: str) -> bool:
    """Whether this can be the name of a label in double quotes only: it is empty or has what separates matchers."""
    return _PLAIN_NAME.fullmatch(name) is None


def parse(text: str) -> tuple[Matcher, ...]:
    """The matchers of one string, at least one: comma-separated, in braces or not.

    Raises:
        BadMatcher: it is not of that form.
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
    """What the UTF-8 parser reads; if it refuses too, the one that got further knows better what is wrong."""
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
    if quoted and rest != '"':
        at, reason = (until.end(), _QUOTE) if rest[:1] == '"' else (0, "this double quote is not closed")
        raise BadMatcher(base + at, reason)
    if not quoted and rest[:1] == '"':
        raise BadMatcher(base + until.end(), _QUOTE)
    stray = None if quoted else _STRAY.search(raw)
    if stray is not None:
        raise _Stray(base + stray.start(), "a value with a brace or a quote must be in double quotes")
    return re.sub(r"\\(.)", _classic_escape, raw[1:-1] if quoted else raw, flags=re.DOTALL)


def _classic_escape(escape: re.Match[str]) -> str:
    """What a backslash and a character mean; one that escapes nothing stands for itself."""
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
    """Kind, text and offset of each token; the last one is of kind `end`."""
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
        raise BadMatcher(at + length, "a label name of other than letters, digits, _ and : must be in double quotes")
    return word


def _unquoted(kind: str, word: str, at: int) -> str:
    """A value or a name as Go unquotes it, bytes that make up UTF-8 included."""
    if kind == "bare":
        return word
    parts, offset, end = [], 1, len(word) - 1
    while offset < end:
        part = _PART.match(word, offset, end)
        if part is None:
            reason = (
                "write a line feed as \\n" if word[offset] == "\n" else "no escape sequence; write \\\\ for a backslash"
            )
            raise BadMatcher(at + offset, reason)
        parts.append(_part(part))
        offset = part.end()
    try:
        return b"".join(parts).decode()
    except UnicodeDecodeError:
        raise BadMatcher(at, "expected escape sequences that make up UTF-8") from None


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
