"""The stack of an exception, as it is logged."""

from __future__ import annotations

from alert_refresh.engine.stack import stack_of


def test_a_stack_holds_lines_and_type_but_not_the_message() -> None:
    try:
        raise ValueError("canary")
    except ValueError as error:
        stack = stack_of(error)
    assert 'raise ValueError("canary")' in stack
    assert stack.endswith("ValueError")
    assert "ValueError: canary" not in stack


def test_an_exception_that_was_never_raised_has_only_its_type() -> None:
    assert stack_of(KeyError("canary")) == "KeyError"


def test_without_an_exception_the_stack_is_empty() -> None:
    assert stack_of(None) == ""
