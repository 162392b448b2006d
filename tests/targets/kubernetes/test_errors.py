"""Statuses and exceptions as errors of the engine."""

from __future__ import annotations

import http.client
import socket
import ssl
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import exceptions

from alert_refresh.engine import (
    AttemptError,
    Permanent,
    Transient,
)
from alert_refresh.targets.kubernetes.errors import (
    Behind,
    Forbidden,
    Gone,
    NotAcceptable,
    NotFound,
    Unauthorized,
    refused,
    retry_after,
    unreachable,
)
from tests.fakes import START

POOL: Any = None
"""The pool and connection that urllib3 puts into its errors; they are not used."""


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "expected", "error_type"),
        [
            (401, Unauthorized, "auth"), (403, Forbidden, "auth"), (404, NotFound, "k8s_api"),
            (406, NotAcceptable, "k8s_api"),
            (400, Permanent, "k8s_api"), (422, Permanent, "k8s_api"), (410, Gone, "k8s_api"),
            (408, Transient, "k8s_api"), (429, Transient, "k8s_api"), (500, Transient, "k8s_api"),
            (501, Transient, "k8s_api"), (503, Transient, "k8s_api"), (504, Behind, "k8s_api"),
            (204, Transient, "parse"), (302, Transient, "parse"),
        ],
    )  # fmt: skip
    def test_a_status_has_one_meaning(self, status: int, expected: type[AttemptError], error_type: str) -> None:
        error = refused(status, {"Retry-After": "5"}, START)
        assert type(error) is expected and error.error_type == error_type and str(status) in str(error)
        assert getattr(error, "retry_after", None) == (5.0 if status in (429, 503) else None)

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
    def test_retry_after(self, value: str, seconds: float | None) -> None:
        assert retry_after(value, START) == pytest.approx(seconds)

    @given(
        st.text()
        | st.from_regex(r"(Wed, )?[0-9]{1,40} Oct [0-9]{1,40} [0-9]{1,40}:[0-9]{1,9}:[0-9]{1,9} [+-][0-9]{1,400}")
    )
    def test_any_retry_after_is_seconds_or_nothing(self, value: str) -> None:
        seconds = retry_after(value, START)
        assert seconds is None or seconds >= 0

    @pytest.mark.parametrize(
        ("error", "expected", "error_type"),
        [
            (exceptions.SSLError(ssl.SSLCertVerificationError()), Permanent, "tls"),
            (exceptions.SSLError(ssl.SSLError(1, "x")), Permanent, "tls"),
            (exceptions.SSLError(ssl.SSLEOFError()), Transient, "network"),
            (exceptions.SSLError(FileNotFoundError()), Permanent, "tls"),
            (exceptions.SSLError(OSError(24, "EMFILE")), Transient, "network"),
            (exceptions.ProxyError("x", exceptions.SSLError(ssl.SSLCertVerificationError())), Permanent, "tls"),
            (exceptions.ProxyError("x", OSError()), Transient, "network"),
            (exceptions.ConnectTimeoutError(), Transient, "timeout"),
            (exceptions.ReadTimeoutError(POOL, POOL, "x"), Transient, "timeout"),
            (exceptions.NewConnectionError(POOL, "x"), Transient, "network"),
            (exceptions.NameResolutionError("h", POOL, socket.gaierror()), Transient, "dns"),
            (exceptions.ProtocolError("x", ConnectionResetError()), Transient, "network"),
            (exceptions.ProtocolError("x", http.client.IncompleteRead(b"")), Transient, "parse"),
            (exceptions.DecodeError("x"), Transient, "parse"),
            (exceptions.LocationParseError("x"), Permanent, "config"),
            (exceptions.HTTPError(), Transient, "network"),
        ],
    )
    def test_an_exception_has_one_meaning(
        self, error: exceptions.HTTPError, expected: type[AttemptError], error_type: str
    ) -> None:
        found = unreachable(error)
        assert type(found) is expected and found.error_type == error_type
