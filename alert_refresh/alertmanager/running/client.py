"""Requests to one Alertmanager, each within a deadline, with the token and the certificates that are valid then.

No redirect is followed and no proxy is used: the body of a status, and the token, are for that server alone.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from alert_refresh.engine import AttemptError, Permanent, Transient
from alert_refresh.engine.errors import TIMEOUT
from alert_refresh.files.read import READ_ONLY, read_descriptor
from alert_refresh.retry_after import retry_after

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.engine import Clock, Deadline

NETWORK, DNS, TLS, AUTH, API, CONFIG = "network", "dns", "tls", "auth", "api", "config"
LARGEST_TOKEN = 64 * 1024
CHUNK = 256 * 1024
AGENT = "alert-refresh"


@dataclass(frozen=True, slots=True)
class Access:
    """How an Alertmanager is reached: its base URL, a file with a bearer token, and one with certificates to trust."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of an answer; `retry_after` is in seconds, if it asks for that."""

    status: int
    body: bytes
    retry_after: float | None = None


class Request:
    """One request, which another thread may cut."""

    def __init__(self, access: Access, method: str, path: str, clock: Clock, largest: int) -> None:
        self._access = access
        self._method = method
        self._path = path
        self._clock = clock
        self._largest = largest
        self._connection: http.client.HTTPConnection | None = None

    def run(self, deadline: Deadline) -> Answer:
        """Send it and read the whole answer.

        Raises:
            Transient, Permanent: there is no whole answer; never with anything of a body or the token.
        """
        parts = urlsplit(self._access.url)
        try:
            headers = {"User-Agent": AGENT, "Connection": "close"} | _authorization(self._access.token_file)
            self._connection = connection = self._connect(deadline)
            with contextlib.closing(connection):
                connection.request(self._method, parts.path.rstrip("/") + self._path, headers=headers)
                with connection.getresponse() as answer:
                    body = self._body(answer, deadline)
                    asked = retry_after(answer.headers.get("Retry-After", ""), self._clock.time())
                    return Answer(answer.status, body, asked)
        except (OSError, http.client.HTTPException) as error:
            deadline.check()
            raise _failure(error) from error

    def cut(self) -> None:
        """End what another thread waits for in `run`."""
        sock = None if self._connection is None else self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _connect(self, deadline: Deadline) -> http.client.HTTPConnection:
        parts, timeout = urlsplit(self._access.url), deadline.check()
        host = parts.hostname or ""
        if parts.scheme.lower() == "http":
            return http.client.HTTPConnection(host, parts.port, timeout)
        context = ssl.create_default_context(cafile=self._access.ca_file)
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)

    def _body(self, answer: http.client.HTTPResponse, deadline: Deadline) -> bytes:
        """The body; read in pieces, since the socket's timeout is for each."""
        found: list[bytes] = []
        size = 0
        while chunk := answer.read1(CHUNK):
            deadline.check()
            size += len(chunk)
            if size > self._largest:
                raise Permanent(f"its answer is larger than {self._largest} bytes", "too_large")
            found.append(chunk)
        if answer.length:  # what is still to come; `read1` takes the end of the connection for that of the body
            raise http.client.IncompleteRead(b"", answer.length)
        return b"".join(found)


def judge(answer: Answer) -> None:
    """Check that a request was answered with success.

    Raises:
        Transient: it may be answered otherwise later.
        Permanent: it is refused, or something else than Alertmanager answers there.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    if status in (401, 403):
        raise Permanent(f"it answered {status}: the token is missing or not accepted", AUTH)
    if status in (408, 429) or status >= 500:
        raise Transient(f"it answered {status}", API, answer.retry_after)
    if status in (404, 405):
        raise Permanent(f"it answered {status}: something else than Alertmanager answers at this URL", CONFIG)
    if 300 <= status < 400:
        raise Permanent(f"it answered {status}, and redirects are not followed", CONFIG)
    raise Permanent(f"it answered {status}", API)


def _authorization(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        content = read_descriptor(os.open(file, READ_ONLY & ~os.O_NOFOLLOW), "the token file", LARGEST_TOKEN)
    except OSError as error:
        raise Permanent("the token file cannot be read", AUTH) from error
    token = content.strip()
    if not token or not token.isascii() or any(byte <= 32 for byte in token):
        raise Permanent("the token file holds no token", AUTH)
    return {"Authorization": f"Bearer {token.decode('ascii')}"}


def _failure(error: Exception) -> AttemptError:
    """The error of a request without an answer."""
    match error:
        case ssl.SSLCertVerificationError():
            return Permanent("its certificate is not trusted", TLS)
        case socket.gaierror():
            return Transient("its host name cannot be resolved", DNS)
        case ConnectionRefusedError():
            return Transient("it refused the connection", NETWORK)
        case TimeoutError():
            return Transient("it did not answer in time", TIMEOUT)
        case FileNotFoundError():
            return Permanent("the file of certificates is missing", TLS)
        case ssl.SSLError() if not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
            return Permanent("it does not speak the TLS that is asked for, or the certificates cannot be read", TLS)
        case http.client.HTTPException():
            return Transient("it ended the connection without a valid answer", NETWORK)
    return Transient("the connection to it failed", NETWORK)
