"""Reading query parameters; an invalid one is answered 400 with its name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import request

from alert_refresh import durations
from alert_refresh.web.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Sequence


def one(name: str) -> str | None:
    """The parameter's value, None if it is not given.

    Raises:
        ApiError: 400, it is given more than once.
    """
    values = request.args.getlist(name)
    if len(values) > 1:
        raise bad_request(f"Query parameter {name} is given more than once")
    return values[0] if values else None


def required(name: str) -> str:
    """The parameter's value.

    Raises:
        ApiError: 400, it is not given, or given more than once.
    """
    value = one(name)
    if value is None:
        raise bad_request(f"Query parameter {name} is required")
    return value


def only(*names: str) -> None:
    """Check that only these parameters are given, so that a misspelled one is not silently ignored.

    Raises:
        ApiError: 400, another one is given.
    """
    if set(request.args) - set(names):
        known = ", ".join(names) or "none"
        raise bad_request(f"Unknown query parameter; known here: {known}")


def choice(name: str, options: Sequence[str]) -> str | None:
    """The parameter's value, one of `options`; None if it is not given.

    Raises:
        ApiError: 400, it is not one of `options`, or given more than once.
    """
    value = one(name)
    if value is not None and value not in options:
        raise bad_request(f"Query parameter {name} must be one of {', '.join(options)}")
    return value


def flag(name: str) -> bool | None:
    """`true` or `false` as a bool; None if it is not given.

    Raises:
        ApiError: 400, it is neither, or given more than once.
    """
    value = choice(name, ("true", "false"))
    return None if value is None else value == "true"


def number(name: str, minimum: int = 0, maximum: int = 2**53) -> int | None:
    """The parameter's value, a whole number between two bounds, both included; None if it is not given.

    Raises:
        ApiError: 400, it is none, or given more than once.
    """
    value = one(name)
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,16}", value, re.ASCII) or not minimum <= int(value) <= maximum:
        raise bad_request(f"Query parameter {name} must be a whole number from {minimum} to {maximum}")
    return int(value)


def duration(name: str, maximum: float) -> float | None:
    """A duration such as `10s`, in seconds from 0 to `maximum`; None if it is not given.

    Raises:
        ApiError: 400, it is invalid, too long, or given more than once.
    """
    value = one(name)
    if value is None:
        return None
    try:
        seconds = durations.parse(value)
    except ValueError:
        seconds = float("inf")
    if seconds > maximum:
        raise bad_request(f"Query parameter {name} must be a duration such as 10s, at most {maximum:g}s")
    return seconds
