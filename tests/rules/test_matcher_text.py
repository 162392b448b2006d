from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.rules import matcher_text
from alert_refresh.rules.matcher import Matcher
from alert_refresh.rules.matcher_text import BadMatcher, parse
from alert_refresh.rules.rule import MOST
from tests.rules.matcher_cases import CASES, Case, Read


def reading(text: str) -> Read:
    try:
        return [(one.name, one.op, one.value) for one in parse(text)]
    except BadMatcher:
        return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case.text))
def test_a_text_means_what_it_means_to_alertmanager_or_is_refused(case: Case) -> None:
    assert reading(case.text) == case.ours
    taken = case.utf8 if case.classic is None else case.classic
    assert case.ours == (None if case.why else taken)


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 1, "expected a matcher"),
        ('="x"', 1, "expected a label name"),
        ("  ,a=b", 3, "expected a label name"),
        ("severity", 9, "expected an operator"),
        ("severity ~= x", 10, "expected an operator"),
        ('a="x" b="y"', 7, "expected a comma"),
        ('a=b,c="x', 7, "this double quote is not closed"),
        ('a=x y"z"', 6, "expected no double quote here"),
        ("foo=bar}", 8, "expected braces around all matchers, or none"),
        ("{foo=bar", 1, "expected braces around all matchers, or none"),
        ("a=b,foo=b'ar", 10, "a value with a brace or a quote must be in double quotes"),
        ("severity=critical\nteam=x", 18, "expected a comma"),
        ("severity=critical\nteam='x'", 18, "expected a comma"),
        ('severity=critical\nteam="x"', 18, "expected a comma"),
        ("severity=critical team=x", 18, "expected a comma"),
        ("a=b,severity=critical  team =~ x", 23, "expected a comma"),
        ("severity=“critical”", 10, 'expected no typographic quote: write " instead'),
        ("{a=b,severity=\u2018critical\u2019}", 15, 'expected no typographic quote: write " instead'),
        ('"a.b"=“x”', 7, 'expected no typographic quote: write " instead'),
        ("a-b=x", 2, "a label name with characters other than"),
        ('"a.b"=', 7, "expected a value"),
        (r'"a.b"="x\.y"', 9, "unknown escape sequence"),
        ('"a.b"="x\ny"', 9, "write a line feed as"),
        (r'"a.b"="\xff"', 7, "expected escape sequences that form UTF-8"),
        ('{"a.b"="x"', 11, "expected a comma or a closing brace"),
        ('{"a.b"="x"} y', 13, "expected nothing after the closing brace"),
        ('{"a.b"="x",=', 12, "expected a label name or a closing brace"),
    ],
)
def test_a_refusal_says_at_which_column_and_what_was_expected(text: str, column: int, reason: str) -> None:
    with pytest.raises(BadMatcher) as refused:
        parse(text)
    assert str(refused.value).startswith(f"column {column}: {reason}")


@pytest.mark.parametrize("name", ["a", '"a.b"'])
def test_more_matchers_than_a_rule_may_have_are_refused(name: str) -> None:
    assert len(parse(",".join([f"{name}=x"] * MOST))) == MOST
    with pytest.raises(BadMatcher, match=f"expected at most {MOST} matchers"):
        parse(",".join([f"{name}=x"] * (MOST + 1)))


@pytest.mark.parametrize(
    "text",
    [
        "a=" + " " * 20_000 + '"',
        " " * 20_000 + "a" * 20_000,
        "a=" + " x" * 20_000 + '"',
        'a="' + "\\x" * 20_000,
        "," * 50_000,
        "a=b," * 50_000,
        'a="\\,' * 20_000,
        '"' * 50_001,
        '"a.b"="' + "\\x41" * 20_000,
        "{" * 50_000,
        "a=" + " x " * 20_000 + " y=z",
        "a=" + (" " + "x" * 200) * 200 + " " * 20_000 + "'",
    ],
)
def test_what_is_not_a_matcher_is_refused_in_linear_time(text: str) -> None:
    began = time.thread_time()
    with pytest.raises(BadMatcher):
        parse(text)
    assert time.thread_time() - began < 5.0


OPS = st.sampled_from(["=", "!=", "=~", "!~"])
SYNTAX = st.text(st.sampled_from(list("ab1.\\\"'`{}=!~, \n\tnx0\xa0é")), max_size=12)


@given(st.text(min_size=1) | SYNTAX.filter(bool), OPS, st.text() | SYNTAX)
def test_any_matcher_that_is_written_is_read_back(name: str, op: str, value: str) -> None:
    matcher = Matcher(name, op, value)  # type: ignore[arg-type]  # `op` is one of the four
    assert parse(str(matcher)) == (matcher,)


@given(st.text() | SYNTAX)
def test_any_text_is_read_or_refused(text: str) -> None:
    for one in reading(text) or []:
        matcher = Matcher(*one)  # type: ignore[arg-type]  # as above
        assert parse(str(matcher)) == (matcher,)


@given(st.from_regex(matcher_text._COMMON, fullmatch=True))
def test_what_is_found_sooner_is_what_the_classic_parser_reads(text: str) -> None:
    assert list(parse(text)) == matcher_text._classic(text)
