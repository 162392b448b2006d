"""The HTTP client of the commands: one request to a daemon, its JSON, and in plain words why there is none."""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import ssl
import time
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

import click

from alert_refresh import __version__
from alert_refresh.cli import exits
from alert_refresh.retry_after import retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from alert_refresh.cli.server_url import ServerUrl
    from alert_refresh.credential import Credential

TIMEOUT = 10.0
"""Seconds from the connect to the end of the answer, beyond what a request asks the daemon to wait."""
LARGEST = 256 * 1024 * 1024
"""Bytes of an answer."""
REDIRECTS = (301, 302, 303, 307, 308)
STATUSES = {401: exits.NOT_ALLOWED, 403: exits.NOT_ALLOWED, 404: exits.NOT_FOUND, 409: exits.NOT_FOUND}
STATUSES |= {429: exits.NOT_NOW, 503: exits.NOT_NOW}
"""Exit statuses by the status of an answer; of any other error it is `BAD`."""
JSON = "application/json"


class Failed(click.ClickException):
    """Raised when a request failed; the message is for people, and `fields` the JSON of an error, if it was one.

    `retry_after` is in seconds; None if the daemon did not say.
    """

    def __init__(
        self,
        message: str,
        exit_code: int = exits.NO_ANSWER,
        *,
        status: int | None = None,
        fields: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance
        self.status = status
        self.fields = dict(fields or {})
        self.retry_after = retry_after

    def format_message(self) -> str:
        """The message without anything that controls a terminal: parts of it are the server's."""
        from alert_refresh.observe.formats import escape

        return escape(self.message)


class Answer(NamedTuple):
    """An answer of the daemon: its JSON, and the time there in Unix seconds, which ages are counted from."""

    status: int
    fields: dict[str, Any]
    now: float
    retry_after: float | None = None


class UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """Asks one daemon. The token, the first in `token_file`, is sent only with what needs one."""

    def __init__(self, url: ServerUrl, token_file: Path | None = None) -> None:
        self.url = url
        self._token_file = token_file

    def get(self, path: str, query: Mapping[str, str] | None = None, **options: Any) -> Answer:
        """The answer to a GET.

        Raises:
            Failed: there is none, or it is an error.
        """
        return self.good(self.ask("GET", path, query, **options))

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        wait: float = 0.0,
        token: bool = False,
        timeout: float = TIMEOUT,
    ) -> Answer:
        """The answer to a request, whatever its status. `wait` is how long the daemon is asked to wait, in seconds.

        Raises:
            Failed: there is none, or it is none of alert-refresh.
        """
        until = time.monotonic() + timeout + wait
        headers = {"Accept": JSON} | (self._authorization() if token else {})
        query = dict(query or {}) | ({"wait": f"{wait:g}s"} if wait else {})
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = JSON
        opened = self._send(method, target(path, query), headers, content, timeout + wait)
        try:
            with closing(opened):
                return self._answer(opened.response, self._read(opened.response, until))
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"The connection to {self.url} was lost: {reason(error)}") from None

    def good(self, answer: Answer) -> Answer:
        """The answer, if it is no error.

        Raises:
            Failed: it is.
        """
        if answer.status < 300:
            return answer
        fields, status = answer.fields, answer.status
        words = f"{fields.get('message') or fields.get('error')}"
        if status == 401:
            words += f"; {self._about_token()}"
        if status >= 500 and status != 503:
            words += f" (request {fields['request_id']})"
        if answer.retry_after is not None:
            words += f"; try again in {answer.retry_after:g} s"
        code = STATUSES.get(status, exits.BAD)
        raise Failed(words, code, status=status, fields=fields, retry_after=answer.retry_after)

    def stream(self, path: str, query: Mapping[str, str], headers: Mapping[str, str], silence: float) -> Opened:
        """Open a stream of events; a read of it fails after `silence` seconds without a byte.

        Raises:
            Failed: there is no answer, or it is an error or no stream.
        """
        headers = {"Accept": "text/event-stream"} | dict(headers)
        opened = self._send("GET", target(path, query), headers, None, TIMEOUT)
        if opened.response.status == 200 and media_type(opened.response) == "text/event-stream":
            opened.socket.settimeout(silence)
            return opened
        with closing(opened):
            answer = self._answer(opened.response, self._read(opened.response, time.monotonic() + TIMEOUT))
        self.good(answer)
        raise Failed(f"{self.url} answered no stream of events")

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Opened:
        """Send a request on a connection of its own, and receive the head of the answer."""
        connection = self._connection(timeout)
        headers = {"User-Agent": f"alert-refresh/{__version__}", **headers}
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:
            connection.close()
            raise Failed(self._no_connection(error, timeout)) from None
        used = connection.sock
        try:
            connection.request(method, self.url.prefix + path, body, headers)
            return Opened(connection, used, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Failed(self._no_answer(error, timeout)) from None

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        url = self.url
        if url.socket:
            return UnixConnection(url.socket, timeout)
        if not url.tls:
            return http.client.HTTPConnection(url.host, url.port, timeout=timeout)
        try:
            context = ssl.create_default_context()
        except OSError as error:
            raise Failed(f"The file that SSL_CERT_FILE names cannot be used: {reason(error)}", exits.USAGE) from None
        return http.client.HTTPSConnection(url.host, url.port, timeout=timeout, context=context)

    def _no_connection(self, error: OSError | UnicodeError, timeout: float) -> str:
        if isinstance(error, TimeoutError):
            return f"{self.url} did not answer within {timeout:g} s"
        hint = ""
        if isinstance(error, ConnectionRefusedError | FileNotFoundError):
            hint = "; does the daemon run, and is ALERT_REFRESH_URL its address?"
        return f"Cannot connect to {self.url}: {reason(error)}{hint}"

    def _no_answer(self, error: OSError | http.client.HTTPException, timeout: float) -> str:
        if isinstance(error, TimeoutError):
            return f"{self.url} did not answer within {timeout:g} s"
        if isinstance(error, OSError):
            return f"{self.url} closed the connection without an answer{'' if self.url.tls else '; is it https?'}"
        return f"{self.url} answered something that is not HTTP; is it https?"

    def _read(self, response: http.client.HTTPResponse, until: float) -> bytes:
        """The body of an answer."""
        parts, size = [], 0
        while part := response.read1(65536):
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise Failed(f"The answer of {self.url} is larger than {LARGEST} bytes")
            if time.monotonic() > until:
                raise Failed(f"The answer of {self.url} did not end in time")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return b"".join(parts)

    def _answer(self, response: http.client.HTTPResponse, body: bytes) -> Answer:
        """The answer, if it is one of alert-refresh."""
        status, fields = response.status, None
        if status in REDIRECTS:
            raise Failed(f"{self.url} answered {status}, a redirect; set ALERT_REFRESH_URL to where it leads")
        if media_type(response) == JSON:
            try:
                fields = json.loads(body)
            except ValueError:
                raise Failed(f"{self.url} answered {status} with malformed JSON") from None
        if not isinstance(fields, dict) or (status >= 300 and not {"error", "request_id"} <= fields.keys()):
            what = media_type(response) or "no content type"
            hint = "a proxy that does not reach it?" if status in (502, 503, 504) else "is the path of the URL right?"
            raise Failed(f"{self.url} answered {status} with {what}, which is not alert-refresh; {hint}")
        now = server_time(response.headers["Date"])
        return Answer(status, fields, now, retry_after(response.headers["Retry-After"] or "", now))

    def _authorization(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        return {"Authorization": f"Bearer {token_of(self._token_file).reveal()}"}

    def _about_token(self) -> str:
        if self._token_file is None:
            return "set ALERT_REFRESH_CLIENT_TOKEN_FILE to a file that holds one"
        return f"the first one in {str(self._token_file)!r} is not"


class Opened(NamedTuple):
    """A connection whose answer has begun."""

    connection: http.client.HTTPConnection
    socket: socket.socket
    response: http.client.HTTPResponse

    def close(self) -> None:
        """Close both."""
        self.response.close()
        self.connection.close()


def target(path: str, query: Mapping[str, str]) -> str:
    """The path with its query."""
    return f"{path}?{urlencode(query)}" if query else path


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def media_type(response: http.client.HTTPResponse) -> str:
    """The content type without its parameters; empty without one."""
    return (response.headers["Content-Type"] or "").partition(";")[0].strip().lower()


def server_time(date: str | None) -> float:
    """The Date header in Unix seconds, so that ages are right where the clocks differ; without one the time here."""
    try:
        return time.time() if date is None else parsedate_to_datetime(date).timestamp()
    except ValueError:
        return time.time()


def token_of(file: Path) -> Credential:
    """The first token in a file.

    Raises:
        Failed: there is none.
    """
    from alert_refresh.web.token_file import usable_tokens

    try:
        return usable_tokens(file)[0]
    except ValueError as error:
        raise Failed(f"{error}: {file}", exits.USAGE) from None


def reason(error: Exception) -> str:
    """Why there is no connection, without an address."""
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; SSL_CERT_FILE names a file of trusted CAs"
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS, or another version; is it http?"
    if isinstance(error, TimeoutError):
        return "nothing came in time"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return "the host is not a name" if isinstance(error, UnicodeError) else "it was closed"


def pause(seconds: float) -> None:
    """Wait; Ctrl-C ends it."""
    select.select((), (), (), max(0.0, seconds))
