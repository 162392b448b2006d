from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.rules.matcher import LONGEST_EXPRESSION, Matcher, compile_all, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('severity="critical"', ("severity", "=", "critical")),
        ("severity=critical", ("severity", "=", "critical")),
        (' severity != "info" ', ("severity", "!=", "info")),
        ('host=~"web-[0-9]+"', ("host", "=~", "web-[0-9]+")),
        ("env !~ dev|test", ("env", "!~", "dev|test")),
        ("team=", ("team", "=", "")),
        ('team=""', ("team", "=", "")),
        (r'text="a\"b\\c\nd"', ("text", "=", 'a"b\\c\nd')),
        (r'host=~"a\.b"', ("host", "=~", r"a\.b")),
        ('text="a,b={c}"', ("text", "=", "a,b={c}")),
        ('{severity="critical"}', ("severity", "=", "critical")),
        ("text=a b", ("text", "=", "a b")),
    ],
)
def test_a_matcher_is_read_as_alertmanager_reads_it(text: str, expected: tuple[str, str, str]) -> None:
    assert parse(text) == (Matcher(*expected),)  # type: ignore[arg-type]


def test_several_matchers_in_one_string_are_separated_by_commas() -> None:
    assert parse('{a="b", c!="d",}') == (Matcher("a", "=", "b"), Matcher("c", "!=", "d"))


@pytest.mark.parametrize(
    "text",
    ["", "{}", "severity", '="x"', '1a="x"', 'a-b="x"', 'a=="x"x', 'a="x', 'a="x" b="y"', 'a=b"c', 'a="b",,', "a~=b"],
)
def test_what_is_no_matcher_is_refused(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    "text", ["a=" + " " * 20_000 + '"', " " * 20_000 + "a" * 20_000, "a=" + " x" * 20_000 + '"', 'a="' + "\\x" * 20_000]
)
def test_what_is_no_matcher_is_refused_in_linear_time(text: str) -> None:
    began = time.thread_time()
    assert parse(text) is None
    assert time.thread_time() - began < 5.0


@given(st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True), st.sampled_from(["=", "!=", "=~", "!~"]), st.text())
def test_a_matcher_that_is_written_is_read_back(name: str, op: str, value: str) -> None:
    matcher = Matcher(name, op, value)  # type: ignore[arg-type]
    assert parse(str(matcher)) == (matcher,)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    found = parse(text)
    assert found is None or all(parse(str(matcher)) == (matcher,) for matcher in found)


@pytest.mark.parametrize(
    "expression", ["(", "a(?=b)", r"(a)\1", "a{2000}", "((a{100}){100}){100}", "a" * (LONGEST_EXPRESSION + 1)]
)
def test_what_re2_does_not_take_is_no_expression(expression: str) -> None:
    assert compile_all([expression, "b"], {})[1] == {expression}


@pytest.mark.parametrize("expression", ["(a+)+b", "(a|a)*b", "(a|aa)+$b", "a*a*a*a*a*a*a*a*b", "(.*.*.*.*)*b"])
def test_an_expression_that_would_take_others_for_ever_is_matched_in_linear_time(expression: str) -> None:
    patterns, bad = compile_all([expression], {})
    assert not bad
    began = time.perf_counter()
    assert patterns[expression].fullmatch("a" * 50_000 + "c") is None
    assert time.perf_counter() - began < 2


def test_expressions_compiled_before_are_taken_over() -> None:
    first, _ = compile_all(["a.*", "b.*"], {})
    second, _ = compile_all(["b.*", "c.*"], first)
    assert second["b.*"] is first["b.*"] and set(second) == {"b.*", "c.*"}


def test_only_a_choice_of_plain_words_has_alternatives() -> None:
    assert Matcher("a", "=~", "x|y z|x").alternatives() == ("x", "y z")
    assert not any(Matcher("a", "=~", text).alternatives() for text in ("", "|x", "x|", "x.|y", "(x|y)", "x|y*"))
    assert not Matcher("a", "!~", "x|y").alternatives()
