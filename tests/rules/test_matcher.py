from __future__ import annotations

import time

import pytest

from alert_refresh.rules.matcher import LONGEST_EXPRESSION, Matcher, compile_all


@pytest.mark.parametrize(
    "expression",
    [
        "(",
        "a(?=b)",
        r"(a)\1",
        r"\C",
        r"web\C+",
        r"\\\C",
        "a{2000}",
        "((a{100}){100}){100}",
        "a" * (LONGEST_EXPRESSION + 1),
    ],
)
def test_what_alertmanager_refuses_is_not_an_expression(expression: str) -> None:
    assert compile_all([expression, "b", r"\\C"], {})[1] == {expression}


@pytest.mark.parametrize("expression", ["(a+)+b", "(a|a)*b", "(a|aa)+$b", "a*a*a*a*a*a*a*a*b", "(.*.*.*.*)*b"])
def test_an_expression_with_catastrophic_backtracking_is_matched_in_linear_time(expression: str) -> None:
    patterns, bad = compile_all([expression], {})
    assert not bad
    began = time.thread_time()
    assert patterns[expression].fullmatch("a" * 50_000 + "c") is None
    assert time.thread_time() - began < 2


def test_expressions_compiled_before_are_taken_over() -> None:
    first, _ = compile_all(["a.*", "b.*"], {})
    second, _ = compile_all(["b.*", "c.*"], first)
    assert second["b.*"] is first["b.*"] and set(second) == {"b.*", "c.*"}


def test_only_a_choice_of_plain_words_has_alternatives() -> None:
    assert Matcher("a", "=~", "x|y z|x").alternatives() == ("x", "y z")
    assert not any(Matcher("a", "=~", text).alternatives() for text in ("", "|x", "x|", "x.|y", "(x|y)", "x|y*"))
    assert not Matcher("a", "!~", "x|y").alternatives()
