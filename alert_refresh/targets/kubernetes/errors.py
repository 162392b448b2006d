"""Maps failures of API requests to the engine's errors, by exception type and status code, never by text."""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING

from urllib3 import exceptions

from alert_refresh.engine import AttemptError, Permanent, Transient
from alert_refresh.engine.errors import TIMEOUT
from alert_refresh.retry_after import retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRIED = (408, 429, 500, 502, 503, 504)
HONOURS_RETRY_AFTER = (429, 503)

HINTS = {
    401: ": it does not accept the token or certificate",
    403: ": a right is missing (alert-refresh check prints the Role that grants it)",
    404: ": it does not serve Secrets, or is no API server",
}
"""What mends an answer that a retry does not."""

CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""TLS errors that mean a closed connection, and nothing about certificates or versions."""
UNREADABLE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""File errors that an immediate retry does not resolve."""


class Unauthorized(Permanent):
    """Raised when the API server answers 401: the token may have been replaced meanwhile."""


class Forbidden(Permanent):
    """Raised when the API server answers 403: a right is missing."""


class Gone(Transient):
    """Raised when the API server answers 410: a new list is needed."""


class Behind(Transient):
    """Raised when the API server answers 504: its watch cache may be older than the requested version."""


class NotFound(Permanent):
    """Raised when the API server answers 404."""


class NotAcceptable(Permanent):
    """Raised when the API server answers 406: it supports none of the encodings in the Accept header."""


class OtherServer(Transient):
    """Raised when the configuration names another API server than the one that a request is for."""


def refused(status: int, headers: Mapping[str, str], now: float) -> AttemptError:
    """The error of an answer other than 200; `now` is Unix seconds."""
    message = f"the API server answered {status}{HINTS.get(status, '')}"
    if status == 401:
        return Unauthorized(message, "auth")
    if status == 403:
        return Forbidden(message, "auth")
    if status == 404:
        return NotFound(message, "k8s_api")
    if status == 406:
        return NotAcceptable(message, "k8s_api")
    if status == 410:
        return Gone(message, "k8s_api")
    if status == 504:
        return Behind(message, "k8s_api")
    if status in RETRIED or status >= 500:
        asked = retry_after(headers.get("Retry-After", ""), now) if status in HONOURS_RETRY_AFTER else None
        return Transient(message, "k8s_api", asked)
    if status >= 400:
        return Permanent(message, "k8s_api")
    return Transient(f"{message}, which is not a list of Secrets", "parse")


def unreachable(error: exceptions.HTTPError) -> AttemptError:
    """The error of a request without a response, or with an incomplete one."""
    cause = error.args[-1] if error.args else None
    match error:
        case exceptions.ProxyError(original_error=exceptions.HTTPError() as original):
            return unreachable(original)
        case exceptions.SSLError():
            return _tls(cause)
        case exceptions.NameResolutionError():
            return Transient("the name of the API server does not resolve", "dns")
        case exceptions.NewConnectionError():  # a subclass of urllib3's timeouts
            return Transient("cannot connect to the API server", "network")
        case exceptions.TimeoutError():
            return Transient("the API server did not answer in time", TIMEOUT)
        case exceptions.LocationValueError():
            return Permanent("the address of the API server is not a URL", "config")
        case exceptions.DecodeError():
            return Transient("the API server's answer is not encoded as it says", "parse")
        case exceptions.ProtocolError() if isinstance(cause, http.client.IncompleteRead):
            return Transient("the API server's answer ends early", "parse")
    return Transient("the connection to the API server broke", "network")


def _tls(cause: object) -> AttemptError:
    if isinstance(cause, CUT_OFF):
        return Transient("the connection to the API server broke inside TLS", "network")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Permanent(
            "the API server's certificate is not trusted; check its host name and CA in the kubeconfig", "tls"
        )
    if isinstance(cause, OSError) and not isinstance(cause, (ssl.SSLError, *UNREADABLE)):
        return Transient("the files for TLS cannot be opened now", "network")
    return Permanent("the API server does not speak the TLS that is asked for", "tls")
