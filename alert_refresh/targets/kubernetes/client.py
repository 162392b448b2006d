"""The connection to the Kubernetes API server: configuration, credentials, requests.

A pod needs urllib3 alone. Kubeconfigs with their exec plugins are loaded by the official client library
(`official.py`), whose import takes as long as all the rest. Retries are the engine's alone, redirects are not followed,
and an invalid certificate is always an error.
"""

from __future__ import annotations

import json
import math
import os
import socket
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode
from urllib.request import getproxies_environment

import yaml
from urllib3 import PoolManager, Timeout
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from alert_refresh.credential import Credential
from alert_refresh.engine import Permanent, Transient
from alert_refresh.targets.kubernetes.errors import UNREADABLE, OtherServer, refused, unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from urllib3 import HTTPResponse

    from alert_refresh.engine import Clock

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The folder in a pod with `token`, `ca.crt` and `namespace`."""

DEFAULT_KUBECONFIG = "~/.kube/config"
MAX_TOKEN = 64 * 1024
"""Bytes of a token file; a longer one is refused."""

JSON = "application/json"
HEADERS = {"Accept": JSON, "Accept-Encoding": "identity", "User-Agent": "alert-refresh"}
"""No compression: in a cluster's network it costs more than it saves, and it hides the size of the body."""

CONNECTIONS = 64
"""Connections that are kept open at most: a watch for each namespace, and a list."""
KEEP_ALIVE = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 9),
]
"""As the clients of Go and Python ask for it, so that a watch notices a server that vanished."""

FILE_KEYS = ("tokenFile", "client-certificate", "client-key", "certificate-authority")
"""The keys of a kubeconfig whose values are paths of other files."""

Marks = tuple[tuple[int, int, int] | None, ...]


class Access(NamedTuple):
    """How a server is reached: its URL and authorities, and connections to it.

    `authorization` is the header's value, `token_file` has the token instead in a pod; `expires` is in Unix seconds.
    """

    host: str
    authorities: bytes
    connections: PoolManager
    namespace: str
    authorization: Credential | None = None
    token_file: Path | None = None
    expires: float = math.inf


@dataclass(frozen=True, slots=True)
class _Session:
    """One way to reach the server, for as long as it works: until `files` have other `marks` than when they were read,
    or its credential expires. `server` names the server by its URL and authorities.
    """

    access: Access
    server: str
    files: tuple[Path, ...]
    marks: Marks


class KubeClient:
    """Sends requests to the API server of `kubeconfig` (paths as in KUBECONFIG), or to `pod_server` if it is empty.

    Nothing is read before the first request. The kubeconfig is read again, and its exec plugin runs again, when one of
    its files has changed, when the credential has expired and after `reset`. A pod's token is read before every
    request, so a rotated token is used immediately.
    """

    def __init__(self, kubeconfig: str, *, pod_server: str = "", clock: Clock) -> None:
        self._pod_server = "" if kubeconfig else pod_server
        self._paths = kubeconfig or DEFAULT_KUBECONFIG
        self._clock = clock
        if not self._pod_server:
            # It takes as long as a list of thousands, which no attempt's clock should count.
            from alert_refresh.targets.kubernetes import official  # noqa: F401
        self._session: _Session | None = None

    def namespace(self) -> str:
        """Our own namespace: the pod's, else that of the kubeconfig's context, else `default`.

        Raises:
            Permanent, Transient: as `get`.
        """
        return self._connected().access.namespace

    def server(self) -> str:
        """Identifies the server of the next request: equal if and only if URL and CA bundle are equal.

        Raises:
            Permanent, Transient: as `get`.
        """
        return self._connected().server

    def token(self) -> Credential | None:
        """The value of the Authorization header, if there is one.

        Raises:
            Permanent, Transient: as `get`.
        """
        return _authorization(self._connected().access)

    def files(self) -> list[Path]:
        """The files with our credentials: the service account's in a pod, else the kubeconfig and the files it names.

        Of a kubeconfig that cannot be read only the path itself is known.
        """
        if self._pod_server:
            return [SERVICE_ACCOUNT / "token", SERVICE_ACCOUNT / "ca.crt"]
        configs = [Path(path).expanduser().absolute() for path in self._paths.split(os.pathsep) if path]
        return [file for config in configs for file in (config, *_named_in(config))]

    def get(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        connect: float,
        read: float,
        server: str | None = None,
        accept: str = JSON,
    ) -> HTTPResponse:
        """Send a GET and return the response, status 200, its body unread. Close it, or read it to its end.

        `connect` is the timeout of connecting with the TLS handshake, `read` that of each read, in seconds. If `server`
        is given, nothing is sent to any other server.

        Raises:
            Transient, Permanent: any other result; a 401 is `Unauthorized`, a 410 `Gone`, another server `OtherServer`.
        """
        session = self._connected()
        if server is not None and session.server != server:
            raise OtherServer("the kubeconfig names another API server now", "config")
        url = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        return self._send(session, "GET", url, None, connect, read, accept)

    def post(self, path: str, document: object, *, connect: float, read: float) -> HTTPResponse:
        """Send a POST with a JSON document and return its response, status 200 or 201; otherwise like `get`."""
        return self._send(self._connected(), "POST", path, document, connect, read)

    def _send(
        self,
        session: _Session,
        method: str,
        path: str,
        document: object,
        connect: float,
        read: float,
        accept: str = JSON,
    ) -> HTTPResponse:
        headers = HEADERS | {"Accept": accept}
        body = None
        if document is not None:
            headers["Content-Type"], body = JSON, json.dumps(document)
        if (authorization := _authorization(session.access)) is not None:
            headers["Authorization"] = authorization.reveal()
        try:
            response: Any = session.access.connections.request(
                method,
                f"{session.access.host}{path}",
                body=body,
                headers=headers,
                timeout=Timeout(connect=connect, read=read),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except HTTPError as error:
            raise unreachable(error) from error
        if response.status not in ((200,) if method == "GET" else (200, 201)):
            response.close()
            raise refused(response.status, response.headers, self._clock.time())
        made: HTTPResponse = response
        return made

    def reset(self) -> None:
        """Close the connections; the next request reads the configuration again."""
        session, self._session = self._session, None
        if session is not None:
            session.access.connections.clear()

    def _connected(self) -> _Session:
        session = self._session
        if session is None or session.access.expires <= self._clock.time() or session.marks != _marks(session.files):
            self.reset()
            session = self._session = (
                _in_pod(self._pod_server) if self._pod_server else _outside(self._paths, self.files())
            )
        return session


def _in_pod(host: str) -> _Session:
    files = (SERVICE_ACCOUNT / "ca.crt",)
    marks = _marks(files)
    token = SERVICE_ACCOUNT / "token"
    _read_token(token)
    try:
        authorities = files[0].read_bytes()
        file = SERVICE_ACCOUNT / "namespace"
        namespace = file.read_text(encoding="utf-8").strip() if file.exists() else ""
        connections = _connections(host, files[0])
    except OSError as error:
        raise _unreadable("the files of the service account", error) from error
    except ValueError as error:
        raise Permanent(
            "the service account of this pod cannot be used: its namespace is not text", "config"
        ) from error
    return _session(Access(host, authorities, connections, namespace or "default", token_file=token), files, marks)


def _connections(host: str, authorities: Path) -> PoolManager:
    """From a pod, through a proxy if the environment names one: the official client knows which hosts are excepted."""
    proxies = getproxies_environment()
    if "https" in proxies or "all" in proxies:
        from alert_refresh.targets.kubernetes import official

        return official.connections(host, authorities)
    return PoolManager(
        maxsize=CONNECTIONS, cert_reqs="CERT_REQUIRED", ca_certs=str(authorities), socket_options=KEEP_ALIVE
    )


def _outside(paths: str, files: Iterable[Path]) -> _Session:
    files = tuple(files)
    marks = _marks(files)
    if not any(marks):
        raise Permanent("there is no kubeconfig: KUBECONFIG must name a file, or ~/.kube/config be one", "config")
    from alert_refresh.targets.kubernetes import official

    try:
        access = official.read_kubeconfig(paths)
    except OSError as error:
        raise _unreadable("the kubeconfig", error) from error
    return _session(access, files, marks)


def _session(access: Access, files: tuple[Path, ...], marks: Marks) -> _Session:
    server = sha256(b"\0".join((access.host.encode(), access.authorities))).hexdigest()
    return _Session(access, server, files, marks)


def _authorization(access: Access) -> Credential | None:
    """The Authorization header; None if the user of the kubeconfig has none (a client certificate, say)."""
    if access.token_file is not None:
        return Credential(f"Bearer {_read_token(access.token_file).reveal()}")
    if access.authorization is not None:
        value = access.authorization.reveal()
        if not (value.isascii() and value.isprintable()):
            raise Permanent("the token of the kubeconfig has characters that no header can carry", "auth")
    return access.authorization


def _read_token(file: Path) -> Credential:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_TOKEN + 1)
    except OSError as error:
        if isinstance(error, UNREADABLE):
            raise Permanent("the token of the service account cannot be read", "auth") from error
        raise _unreadable("the token of the service account", error) from error
    token = content.strip().decode("latin-1")
    if not token or len(content) > MAX_TOKEN or not (token.isascii() and token.isprintable() and " " not in token):
        raise Permanent("the token file of the service account holds no token", "auth")
    return Credential(token)


def _unreadable(what: str, error: OSError) -> Transient | Permanent:
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    message = f"{what} cannot be read: {reason}"
    return Permanent(message, "config") if isinstance(error, UNREADABLE) else Transient(message, "storage")


def _named_in(kubeconfig: Path) -> list[Path]:
    """The token files and certificates that a kubeconfig names; relative paths start from its folder."""
    try:
        document = yaml.safe_load(kubeconfig.read_bytes())
        users = [user["user"] for user in document.get("users") or ()]
        clusters = [cluster["cluster"] for cluster in document.get("clusters") or ()]
        named = [part[key] for part in (*users, *clusters) for key in FILE_KEYS if part and part.get(key)]
        return [kubeconfig.parent / name for name in named]
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _marks(files: Iterable[Path]) -> Marks:
    """Inode, size and modification time of each file, to detect a change; None for a missing one."""

    def mark(file: Path) -> tuple[int, int, int] | None:
        try:
            found = file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    return tuple(mark(file) for file in files)
