"""One POST to a webhook, which another thread may cut.

No redirect is followed: it would carry the text, and for an http one the URL, elsewhere. A certificate that does not
fit is an error. The body of the answer is not read. `HTTPS_PROXY` and `NO_PROXY` are honoured for an https URL, where
the proxy sees an encrypted tunnel only; for a plain http one the environment's proxies are not used, as the URL would
pass through them in clear.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit
from urllib.request import getproxies, proxy_bypass

from alert_refresh.engine import AttemptError, Permanent, Transient
from alert_refresh.engine.errors import TIMEOUT
from alert_refresh.observe.notify.bodies import GENERATOR
from alert_refresh.retry_after import retry_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from alert_refresh.credential import Credential
    from alert_refresh.engine import Clock

NETWORK, DNS, TLS, HTTP, CONFIG = "network", "dns", "tls", "http", "config"
HTTPS_PORT = 443
ALERTS_PATH = "/api/v2/alerts"


class Exchange:
    """One request with this body to the URL that `url` returns when it is sent.

    It may be made again if the server has certainly got nothing of it, or says that it wants it again.
    """

    def __init__(
        self, url: Callable[[], Credential], body: bytes, clock: Clock, timeout: float, path: str = ""
    ) -> None:
        self._url = url
        self._body = body
        self._clock = clock
        self._timeout = timeout
        self._path = path
        self._connection: http.client.HTTPConnection | None = None
        self._sent = False
        self.was_cut = False

    def run(self) -> None:
        """Send the request and wait for the status of its answer.

        Raises:
            Transient: the server could not be reached, or asks to try again.
            Permanent: it refuses the request, cannot be trusted, or ended the connection instead of answering.
        """
        parts = urlsplit(self._url().reveal())
        try:
            self._connection = connection = _connection(parts, self._timeout)
            with contextlib.closing(connection):
                connection.connect()
                if self.was_cut:
                    raise self.late()
                self._sent = True
                connection.request("POST", _target(parts, self._path), self._body, _headers(parts))
                with connection.getresponse() as answer:
                    if self.was_cut:
                        raise self.late()
                    self._judge(answer.status, answer.headers.get("Retry-After", ""))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _failure(error, self._sent) from error

    def late(self) -> AttemptError:
        """The error of an exchange that takes too long."""
        kind = Permanent if self._sent else Transient
        return kind(f"no answer within {self._timeout:g} s", TIMEOUT)

    def cut(self) -> None:
        """End what another thread waits for in `run`, and keep it from sending anything later."""
        self.was_cut = True
        sock = None if self._connection is None else self._connection.sock
        if sock is not None:
            # The plain socket's method: that of a TLS socket takes the TLS state from under the other thread.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _judge(self, status: int, asked: str) -> None:
        message = f"it answered {status}"
        if 200 <= status < 300:
            return
        if status in (408, 429) or status >= 500:
            raise Transient(message, HTTP, retry_after(asked, self._clock.time()))
        if 300 <= status < 400:
            message += ", and redirects are not followed"
        raise Permanent(message, HTTP)


class _TlsConnection(http.client.HTTPConnection):
    """TLS whose socket is known before the handshake, so that it can be cut in the middle of it."""

    default_port = HTTPS_PORT

    def __init__(self, host: str, port: int, timeout: float, name: str) -> None:
        super().__init__(host, port, timeout)
        self._name = name
        # For each connection anew: certificates that are trusted now.
        self._context = ssl.create_default_context()

    def connect(self) -> None:
        super().connect()
        plain = self.sock
        secure = self._context.wrap_socket(plain, server_hostname=self._name, do_handshake_on_connect=False)
        self.sock = secure
        secure.do_handshake()


def _connection(parts: SplitResult, timeout: float) -> http.client.HTTPConnection:
    """A connection to the host of a URL, not connected yet, through the proxy for it if there is one."""
    host = parts.hostname or ""
    if parts.scheme.lower() == "http":
        return http.client.HTTPConnection(host, parts.port or 80, timeout)
    port = parts.port or HTTPS_PORT
    found = getproxies().get("https", "")
    if not found or proxy_bypass(f"[{host}]:{port}" if ":" in host else f"{host}:{port}"):
        return _TlsConnection(host, port, timeout, host)
    proxy = urlsplit(found if "://" in found else f"http://{found}")
    if proxy.scheme != "http":
        raise Permanent("HTTPS_PROXY names no http proxy", CONFIG)
    connection = _TlsConnection(proxy.hostname or "", proxy.port or 80, timeout, host)
    connection.set_tunnel(host, port, _basic("Proxy-Authorization", proxy))
    return connection


def _target(parts: SplitResult, path: str) -> str:
    """What is asked for: path and query, the path completed by `path` if it does not end with that."""
    asked = parts.path or "/"
    if not asked.rstrip("/").endswith(path):
        asked = asked.rstrip("/") + path
    return f"{asked}?{parts.query}" if parts.query else asked


def _headers(parts: SplitResult) -> dict[str, str]:
    common = {"Content-Type": "application/json", "User-Agent": GENERATOR, "Connection": "close"}
    return common | _basic("Authorization", parts)


def _basic(name: str, parts: SplitResult) -> dict[str, str]:
    """The header for the user name and password in a URL, if they are there."""
    info, at, _ = parts.netloc.rpartition("@")
    return {name: f"Basic {b64encode(unquote_to_bytes(info)).decode('ascii')}"} if at else {}


def _failure(error: Exception, sent: bool) -> AttemptError:
    """The error of a request without an answer. One that was sent may have arrived, and is not sent again."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Permanent("its certificate is not trusted", TLS)
    if isinstance(error, ValueError):
        return Permanent("its URL cannot be used", CONFIG)
    if sent:
        return Permanent("it ended the connection without a valid answer", NETWORK)
    match error:
        case socket.gaierror():
            return Transient("its host name cannot be resolved", DNS)
        case ConnectionRefusedError():
            return Transient("it refused the connection", NETWORK)
        case TimeoutError():
            return Transient("it cannot be reached in time", TIMEOUT)
        case ssl.SSLError() if not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
            return Permanent("it does not speak the TLS that is asked for", TLS)
    return Transient("it cannot be reached", NETWORK)
