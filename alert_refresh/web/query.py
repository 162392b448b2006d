"""Reading query parameters; whatever is wrong with one is a 400 that names it."""

from __future__ import annotations

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


def only(*names: str) -> None:
    """Check that no other parameter than these is given: a misspelt one would else be as if it were not there.

    Raises:
        ApiError: 400, there is another.
    """
    if set(request.args) - set(names):
        known = ", ".join(names) or "none"
        raise bad_request(f"A query parameter is not known here; known: {known}")


def choice(name: str, options: Sequence[str]) -> str | None:
    """The parameter's value, one of a few words.

    Raises:
        ApiError: 400, it is none of them, or given more than once.
    """
    value = one(name)
    if value is not None and value not in options:
        raise bad_request(f"Query parameter {name} must be one of {', '.join(options)}")
    return value


def flag(name: str) -> bool | None:
    """`true` or `false`.

    Raises:
        ApiError: 400, it is neither, or given more than once.
    """
    value = choice(name, ("true", "false"))
    return None if value is None else value == "true"


def duration(name: str, maximum: float) -> float | None:
    """Seconds from a duration such as `10s`, from 0 to `maximum`.

    Raises:
        ApiError: 400, it is not such a duration, too long, or given more than once.
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
