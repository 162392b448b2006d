"""The header Retry-After, whatever is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.retry_after import retry_after
from tests.fakes import START


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0), ("120", 120.0), (" 3 ", 3.0), ("9" * 31, 1e31), ("9" * 400, float("inf")),
        ("-1", None), ("abc", None), ("", None), ("1.5", None), ("\u0661", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None), (f"Wed, 21 Oct {'9' * 400} 07:28:00 GMT", None),
        (f"Wed, 21 Oct 2030 07:28:00 +{'9' * 400}", None), ("Wed, 21 Oct 2030 07:28:00 -999999", None),
        (f"Wed, 21 Oct 2030 {'9' * 30}:28:00 GMT", None), ("Mon, 01 Jan 0001 00:00:00 +2359", None),
        (f"Wed, {'9' * 5000} Oct 2030 07:28:00 GMT", None), ("9" * 5000, float("inf")),
        (format_datetime(datetime.fromtimestamp(START + 30, UTC), usegmt=True), 30.0),
        (datetime.fromtimestamp(START + 30, UTC).strftime("%d %b %Y %H:%M:%S -0000"), 30.0),
        (format_datetime(datetime.fromtimestamp(START - 30, UTC), usegmt=True), None),
    ],
)  # fmt: skip
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(value, START) == pytest.approx(seconds)


@given(
    st.text() | st.from_regex(r"(Wed, )?[0-9]{1,40} Oct [0-9]{1,40} [0-9]{1,40}:[0-9]{1,9}:[0-9]{1,9} [+-][0-9]{1,400}")
)
def test_any_retry_after_is_seconds_or_nothing(value: str) -> None:
    seconds = retry_after(value, START)
    assert seconds is None or seconds >= 0
