"""Where an exception was raised, as text that is safe to log."""

from __future__ import annotations

import traceback


def stack_of(error: BaseException | None) -> str:
    """The lines of code that `error` passed and its type, without its message, which may hold a credential."""
    return "" if error is None else "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
