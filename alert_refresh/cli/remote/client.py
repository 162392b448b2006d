"""The HTTP client of the commands: one request to a daemon, its JSON, and in plain words why there is none."""

from __future__ import annotations

import http.client
import json
import os
import re
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
from alert_refresh.cli.options import RESERVED
from alert_refresh.cli.remote.connection import Connection
from alert_refresh.cli.remote.shape import fits
from alert_refresh.retry_after import retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from alert_refresh.cli.remote.connection import Received
    from alert_refresh.cli.remote.server_url import ServerUrl
    from alert_refresh.cli.remote.shape import Fields, Shape
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
ERROR: Fields = {"error": str, "message": str, "request_id": str}
"""What every error of alert-refresh has."""
NO_ROUTE = "There is nothing at this address"
"""The message of a 404 where the path leads nowhere, whatever NAME in it."""
OFF = re.compile(r"\b(?:is|are) off: ")
"""What is in the message of an error while a kind is off: asking again later would not help."""


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


class Client:
    """Asks one daemon. The token, the first in `token_file`, is sent only with what needs one."""

    def __init__(self, url: ServerUrl, token_file: Path | None = None) -> None:
        self.url = url
        self._token_file = token_file

    def get(self, path: str, shape: Shape, query: Mapping[str, str] | None = None, **options: Any) -> Answer:
        """The answer to a GET, which has that shape.

        Raises:
            Failed: there is none, or it is an error, or none of alert-refresh.
        """
        return self.good(self.ask("GET", path, query, **options), shape)

    def get_one(
        self, path: str, name: str, shape: Shape, query: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        """The answer to a GET of what has this name below `path`.

        Raises:
            Failed: as for `get`; there is nothing of this name.
        """
        return self.good(self.ask("GET", below(path, name), query, **options), shape, named=True)

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
        headers = {"Accept": JSON} | (self._authorization() if token else {})
        query = dict(query or {}) | ({"wait": f"{wait:g}s"} if wait else {})
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = JSON
        with closing(self._send(method, target(path, query), headers, content, timeout + wait)) as opened:
            return self._answer(opened.response, self._read(opened.response))

    def good(self, answer: Answer, shape: Shape, *, named: bool = False) -> Answer:
        """The answer, if it is no error and has this shape. `named`: the request names what there may be none of.

        Raises:
            Failed: it is or has not.
        """
        if answer.status < 300:
            if not fits(answer.fields, shape):
                raise self.stranger(f"{answer.status} with other fields than expected")
            return answer
        fields, status = answer.fields, answer.status
        words = fields["message"]
        if status == 404 and (not named or words == NO_ROUTE):
            raise self.stranger("404")
        if status == 401:
            words += f"; {self._about_token()}"
        if status >= 500 and status != 503:
            words += f" (request {fields['request_id']})"
        if answer.retry_after is not None:
            words += f"; try again in {answer.retry_after:g} s"
        code = STATUSES.get(status, exits.BAD)
        raise Failed(words, code, status=status, fields=fields, retry_after=answer.retry_after)

    def stranger(self, answered: str, hint: str = "is the path of the URL right?") -> Failed:
        """The error about what is at the address and is not alert-refresh, or not at this path."""
        return Failed(f"{self.url} answered {answered}, which is not alert-refresh; {hint}")

    def stream(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], silence: float, limit: float
    ) -> Opened:
        """Open a stream of events; a read of it fails after `silence` seconds without a byte, and `limit` in all.

        Raises:
            Failed: there is no answer, or it is an error or no stream.
        """
        headers = {"Accept": "text/event-stream"} | dict(headers)
        opened = self._send("GET", target(path, query), headers, None, TIMEOUT)
        if opened.response.status == 200 and media_type(opened.response) == "text/event-stream":
            opened.received.silence, opened.received.until = silence, time.monotonic() + limit
            return opened
        with closing(opened):
            answer = self._answer(opened.response, self._read(opened.response))
        self.good(answer, dict)
        raise Failed(f"{self.url} answered no stream of events")

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Opened:
        """Send a request on a connection of its own, and receive the head of the answer."""
        connection = Connection(self.url, self._tls(), time.monotonic() + timeout)
        headers = {"User-Agent": f"alert-refresh/{__version__}", **headers}
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:
            connection.close()
            raise Failed(self._no_connection(error, timeout)) from None
        try:
            return Opened(connection, *connection.ask(method, self.url.prefix + path, headers, body))
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Failed(self._no_answer(error, timeout)) from None

    def _tls(self) -> ssl.SSLContext | None:
        if not self.url.tls:
            return None
        try:
            return ssl.create_default_context()
        except OSError as error:
            raise Failed(f"The file that SSL_CERT_FILE names cannot be used: {reason(error)}", exits.USAGE) from None

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

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """The body of an answer."""
        parts, size = [], 0
        try:
            while part := response.read1(65536):
                parts.append(part)
                size += len(part)
                if size > LARGEST:
                    raise Failed(f"The answer of {self.url} is larger than {LARGEST} bytes")
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
        except TimeoutError:
            raise Failed(f"The answer of {self.url} did not end in time") from None
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"The connection to {self.url} was lost: {reason(error)}") from None
        return b"".join(parts)

    def _answer(self, response: http.client.HTTPResponse, body: bytes) -> Answer:
        """The answer, if it is one of alert-refresh."""
        status = response.status
        fields: Any = None
        if status in REDIRECTS:
            raise Failed(f"{self.url} answered {status}, a redirect; set ALERT_REFRESH_URL to where it leads")
        if media_type(response) == JSON:
            try:
                fields = json.loads(body)
            except (ValueError, RecursionError):
                raise Failed(f"{self.url} answered {status} with malformed JSON") from None
        if not fits(fields, dict if status < 300 else ERROR):
            answered = f"{status} with {media_type(response) or 'no content type'}"
            if status in (502, 503, 504):
                raise self.stranger(answered, "a proxy that does not reach it?")
            raise self.stranger(answered)
        now = server_time(response.headers["Date"])
        again = retry_after(response.headers["Retry-After"] or "", now)
        off = status == 503 and OFF.search(fields["message"])
        return Answer(status, fields, now, None if off else again)

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

    connection: Connection
    response: http.client.HTTPResponse
    received: Received

    def close(self) -> None:
        """Close all."""
        self.response.close()
        self.connection.close()


def target(path: str, query: Mapping[str, str]) -> str:
    """The path with its query."""
    return f"{path}?{urlencode(query)}" if query else path


def below(path: str, name: str) -> str:
    """The path of what has this name below `path`.

    Raises:
        Failed: `NOT_FOUND`, the name is no single segment of a path, or one that is a route: nothing is called so.
    """
    if name in ("", ".", "..") or "/" in name or name in RESERVED.get(path, ()):
        raise Failed("There is nothing of this name", exits.NOT_FOUND)
    return f"{path}/{quote(name, safe='', errors='replace')}"


def media_type(response: http.client.HTTPResponse) -> str:
    """The content type without its parameters; empty without one."""
    return (response.headers["Content-Type"] or "").partition(";")[0].strip().lower()


def server_time(date: str | None) -> float:
    """The Date header in Unix seconds, so that ages are right where the clocks differ; without one the time here."""
    try:
        return time.time() if date is None else parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
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
