"""The Retry-After header of an HTTP answer (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime


def retry_after(value: str, now: float) -> float | None:
    """Seconds to wait as a Retry-After header says (seconds or an HTTP date); None if it cannot be used.

    `now` is Unix seconds.
    """
    value = value.strip()
    if re.fullmatch(r"[0-9]+", value):
        return float(value)
    try:
        at = parsedate_to_datetime(value)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError):
        # The parser is not made for every text, and what it finds may be beyond any date.
        return None
    return seconds if seconds > 0 else None
