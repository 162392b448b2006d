"""The results of Alertmanager's two parsers for a text, and of this one: classic, UTF-8, and ours.

Each is a list of matchers as triples of name, operator and value, or None for a refusal. What we accept means what
Alertmanager takes it to mean: what its classic parser reads, and only where that refuses what its UTF-8 parser reads.
"""

from __future__ import annotations

from typing import NamedTuple

Read = list[tuple[str, str, str]] | None


class Case(NamedTuple):
    """One text and its three results; `why` this parser refuses what Alertmanager accepts."""

    text: str
    classic: Read
    utf8: Read
    ours: Read
    why: str = ""


def same(text: str, *read: tuple[str, str, str]) -> Case:
    """All three have the same result."""
    return Case(text, list(read), list(read), list(read))


def classic(text: str, *read: tuple[str, str, str]) -> Case:
    """The UTF-8 parser refuses it: the classic result is used."""
    return Case(text, list(read), None, list(read))


def utf8(text: str, *read: tuple[str, str, str]) -> Case:
    """The classic parser refuses it: the UTF-8 result is used."""
    return Case(text, None, list(read), list(read))


def neither(text: str) -> Case:
    """All three refuse it."""
    return Case(text, None, None, None)


NO_MATCHER = "no matcher: it would match every alert"
BRACES = "braces that do not match"
STRAY = "a brace or a quote in a value without quotes"
COMMA = "a second matcher, or a second line, without a comma before it"
TYPOGRAPHIC = "a typographic quote that delimits nothing"
BARE_NAME = "a label name of other characters must be in quotes"

A = ("level", "=", "high")
B = ("zone", "!=", "north")

AGREED = [
    same("level=high", A),
    same('level="high"', A),
    same('{level="high"}', A),
    same("{level=high,}", A),
    same("level=high,", A),
    same(' level = "high" ', A),
    same('level="high"\n', A),
    same("zone!=north", B),
    same('level="high", zone!="north"', A, B),
    same('{level="high",zone!="north" , }', A, B),
    same("host=~[a-z]+", ("host", "=~", "[a-z]+")),
    same('host!~"db.*"', ("host", "!~", "db.*")),
    same("code=~5..", ("code", "=~", "5..")),
    same('level=""', ("level", "=", "")),
    same("level=höch", ("level", "=", "höch")),
    same("level=🔥hot", ("level", "=", "🔥hot")),
    same('level="🔥"', ("level", "=", "🔥")),
    same('list="one,two"', ("list", "=", "one,two")),
    same('said="{so}"', ("said", "=", "{so}")),
    same('said="it\'s `so`"', ("said", "=", "it's `so`")),
    same(r'said="\"so\""', ("said", "=", '"so"')),
    same(r'path="C:\\temp"', ("path", "=", r"C:\temp")),
    same(r'text="one\ntwo"', ("text", "=", "one\ntwo")),
    same(r'quote != "\"" , pair !~ "a,b" , ', ("quote", "!=", '"'), ("pair", "!~", "a,b")),
]

ONLY_CLASSIC = [
    classic("level=", ("level", "=", "")),
    classic("level=,zone=", ("level", "=", ""), ("zone", "=", "")),
    classic("level=so high", ("level", "=", "so high")),
    classic("level=!high", ("level", "=", "!high")),
    classic("odd=~~~", ("odd", "=~", "~~")),
    classic(r"odd==\\=\=\"", ("odd", "=", r'=\=\="')),
    classic(r"level=high\t", ("level", "=", r"high\t")),
    classic(r"level=high\n", ("level", "=", "high\n")),
    classic("level=high\\", ("level", "=", "high\\")),
    classic(r"{level=high\}", ("level", "=", "high\\")),
    classic(r"{level=high\\}", ("level", "=", "high\\")),
    classic(r"{level=high\"}", ("level", "=", 'high"')),
    classic(r"{level=\"}", ("level", "=", '"')),
    classic(r"path=C:\\temp", ("path", "=", r"C:\temp")),
    classic(r"path=C:\temp", ("path", "=", r"C:\temp")),
    classic(r"host=~web-\\d+", ("host", "=~", r"web-\d+")),
    classic(r"host=~web-\d+", ("host", "=~", r"web-\d+")),
    classic(r'host=~"web-\d+\.x"', ("host", "=~", r"web-\d+\.x")),
    classic(r'level="high\w"', ("level", "=", r"high\w")),
    classic('text="one\ntwo"', ("text", "=", "one\ntwo")),
    classic('level="\\,"', ("level", "=", "\\,")),
]

ONLY_UTF8 = [
    utf8('"level"="high"', A),
    utf8('{"level"="high",}', A),
    utf8('"level"=high', A),
    utf8('"service.name"="api"', ("service.name", "=", "api")),
    utf8('{"service.name"=~"api.*", level="high"}', ("service.name", "=~", "api.*"), A),
    utf8('"größe"!="groß"', ("größe", "!=", "groß")),
    utf8('"🔥"="x"', ("🔥", "=", "x")),
    utf8(r'"a \"b\""="x"', ('a "b"', "=", "x")),
    utf8(r'"level"=~"\\d+"', ("level", "=~", r"\d+")),
    utf8(r'"level"="\xf0\x9f\x94\xa5"', ("level", "=", "🔥")),
    utf8(r'"level"="\360\237\224\245"', ("level", "=", "🔥")),
    utf8(r'"level"="\U0001f525\u00e9\t"', ("level", "=", "🔥é\t")),
    utf8(r'"level"="one\ntwo"', ("level", "=", "one\ntwo")),
    utf8(" {level=high}", A),
    utf8('{level="high"} ', A),
]

DISAGREED = [
    Case(r'level="a\tb"', [("level", "=", r"a\tb")], [("level", "=", "a\tb")], [("level", "=", r"a\tb")]),
    Case(r'level="\x41"', [("level", "=", r"\x41")], [("level", "=", "A")], [("level", "=", r"\x41")]),
    Case(r'level=~"\bdb\b"', [("level", "=~", r"\bdb\b")], [("level", "=~", "\bdb\b")], [("level", "=~", r"\bdb\b")]),
    Case(r'level="\u00e9"', [("level", "=", r"\u00e9")], [("level", "=", "é")], [("level", "=", r"\u00e9")]),
]

REFUSED_BY_ALL = [
    neither(text)
    for text in (
        *("level", "=high", '="high"', "1level", "level!high", "level~=high", ",", "{,}", "level=high,,", "{{level="),
        *('level="high', 'level=high"', 'level=hi"gh', r'level="high\"', 'level="high"x', 'level="a" zone="b"'),
        *('level=="high"x', '{level:="high"}x"', 'level=high,"', '"level"', '"level', '"level=high"'),
        *(r'"level=\"high"', r'"{level=\"high\"}"', r'"level"="\w"', r'"level"=~"\d+"', r'"level"="\xf0\x9f"'),
        *(r'"level"="\ud800"', r'"level"="\U00110000"', r'"level"="\777"', r'"level"="\'"', '"level"="one\ntwo"'),
        *('"level"=so high', '{"level"=high', '"level"=high}', '{"level"=high} x', '"level"=', '"level"=high zone=x'),
        r'level="x\,",zone="y"',
    )
]

REFUSED_BY_US = [
    *(Case(text, [], [], None, NO_MATCHER) for text in ("", "{}", " ")),
    Case("{", [], None, None, NO_MATCHER),
    Case("}", [], None, None, NO_MATCHER),
    Case("level=high}", [A], None, None, BRACES),
    Case("{level=high", [A], None, None, BRACES),
    Case('level="high"}', [A], None, None, BRACES),
    Case('{level="high"', [A], None, None, BRACES),
    Case("{level=", [("level", "=", "")], None, None, BRACES),
    Case("{level=high}}", [("level", "=", "high}")], None, None, STRAY),
    Case("{level=high}},}", [("level", "=", "high}}")], None, None, STRAY),
    Case("{level=}x", [("level", "=", "}x")], None, None, STRAY),
    Case("{level=high} ", [("level", "=", "high}")], [A], None, STRAY),
    Case("level='high'", [("level", "=", "'high'")], None, None, STRAY),
    Case("level=`high`", [("level", "=", "`high`")], None, None, STRAY),
    Case("who=O'Neil", [("who", "=", "O'Neil")], None, None, STRAY),
    Case("host=~a{2}", [("host", "=~", "a{2")], None, None, STRAY),
    Case("host=~a{2}b", [("host", "=~", "a{2}b")], None, None, STRAY),
    Case("level=high\nzone=x", [("level", "=", "high\nzone=x")], None, None, COMMA),
    Case("level=high\nso", [("level", "=", "high\nso")], None, None, COMMA),
    Case("level=high zone=x", [("level", "=", "high zone=x")], None, None, COMMA),
    Case("level=high zone !~ x", [("level", "=", "high zone !~ x")], None, None, COMMA),
    Case("{level=high\tzone=~x}", [("level", "=", "high\tzone=~x")], None, None, COMMA),
    Case("level=“high”", [("level", "=", "“high”")], [("level", "=", "“high”")], None, TYPOGRAPHIC),
    Case(
        "level=\u2018high\u2019",
        [("level", "=", "\u2018high\u2019")],
        [("level", "=", "\u2018high\u2019")],
        None,
        TYPOGRAPHIC,
    ),
    Case('"a.b"=“high”', None, [("a.b", "=", "“high”")], None, TYPOGRAPHIC),
    Case("service.name=api", None, [("service.name", "=", "api")], None, BARE_NAME),
    Case("1st=x", None, [("1st", "=", "x")], None, BARE_NAME),
    Case("🔥=x,level=y", None, [("🔥", "=", "x"), ("level", "=", "y")], None, BARE_NAME),
    Case('""="x"', None, [("", "=", "x")], None, "a label name that is empty"),
]

CASES = [*AGREED, *ONLY_CLASSIC, *ONLY_UTF8, *DISAGREED, *REFUSED_BY_ALL, *REFUSED_BY_US]
