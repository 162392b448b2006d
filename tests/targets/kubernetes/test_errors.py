"""Statuses and exceptions as errors of the engine."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any

import pytest
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
