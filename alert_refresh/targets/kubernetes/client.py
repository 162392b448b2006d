"""The client of the Kubernetes API server: configuration, credentials, requests. `kubernetes` is imported here only.

The official client library loads the configuration (kubeconfig with exec plugins, service account, TLS), and its
`ApiClient` sends the request. Retries are the engine's alone, redirects are not followed, and an invalid certificate is
always an error.

Proxies: `proxy-url` of the kubeconfig is used as given. `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are honoured for an
https API server, where the proxy sees an encrypted tunnel only. For plain http the environment's proxies are ignored:
they would see the token in clear text.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import yaml
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigLoader, KubeConfigMerger
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

MAX_TOKEN = 64 * 1024
"""Bytes of a token file; a longer one is refused."""

JSON = "application/json"
HEADERS = {"Accept": JSON, "Accept-Encoding": "identity", "User-Agent": "alert-refresh"}
"""No compression: in a cluster's network it costs more than it saves, and it hides the size of the body."""

UNUSABLE = (
    "the kubeconfig cannot be used: its current-context must name a cluster and a user, and a plugin must print a"
    " credential"
)

FILE_KEYS = ("tokenFile", "client-certificate", "client-key", "certificate-authority")
"""The keys of a kubeconfig whose values are paths of other files."""

Marks = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class _Session:
    """A loaded configuration. It is valid until the `marks` of `files` differ from those when they were read, or its
    credential `expires` (Unix seconds). `server` identifies the server by URL and CA bundle; `token_file` is None
    outside a pod.
    """

    api: ApiClient
    namespace: str
    server: str
    token_file: Path | None
    files: tuple[Path, ...]
    marks: Marks
    expires: float = math.inf


class KubeClient:
    """Sends requests to the API server of `kubeconfig` (paths as in KUBECONFIG), or to the pod's own if it is empty.

    Nothing is read before the first request. The kubeconfig is read again, and its exec plugin runs again, when one of
    its files has changed, when the credential has expired and after `reset`. A pod's token is read before every
    request, so a rotated token is used immediately.
    """

    def __init__(self, kubeconfig: str, *, in_pod: bool, clock: Clock) -> None:
        self._in_pod = in_pod and not kubeconfig
        self._paths = kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION
        self._clock = clock
        self._session: _Session | None = None

    def namespace(self) -> str:
        """Our own namespace: the pod's, else that of the kubeconfig's context, else `default`.

        Raises:
            Permanent, Transient: as `get`.
        """
        return self._connected().namespace

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
        return _authorization(self._connected())

    def files(self) -> list[Path]:
        """The files with our credentials: the service account's in a pod, else the kubeconfig and the files it names.

        Of a kubeconfig that cannot be read only the path itself is known.
        """
        if self._in_pod:
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
        if document is not None:
            headers["Content-Type"] = "application/json"
        if (authorization := _authorization(session)) is not None:
            headers["Authorization"] = authorization.reveal()
        url = f"{session.api.configuration.host}{path}"
        try:
            answer = session.api.call_api(method, url, headers, document, _request_timeout=(connect, read))
        except ApiException as error:
            # The client library wraps TLS errors, and no others, in ApiException.
            cause = error.__context__
            raise unreachable(cause if isinstance(cause, HTTPError) else HTTPError()) from error
        except HTTPError as error:
            raise unreachable(error) from error
        response: HTTPResponse = answer.response
        if response.status not in ((200,) if method == "GET" else (200, 201)):
            response.close()
            raise refused(response.status, response.headers, self._clock.time())
        return response

    def reset(self) -> None:
        """Close the connections; the next request reads the configuration again."""
        session, self._session = self._session, None
        if session is not None:
            session.api.close()

    def _connected(self) -> _Session:
        session = self._session
        if session is None or session.expires <= self._clock.time() or session.marks != _marks(session.files):
            self.reset()
            session = self._session = _in_pod() if self._in_pod else _outside(self._paths, self.files())
        return session


def _in_pod() -> _Session:
    files = (SERVICE_ACCOUNT / "ca.crt",)
    marks = _marks(files)
    token = SERVICE_ACCOUNT / "token"
    _read_token(token)
    # Only a proxy that is configured explicitly; for those of the environment see the top of this file.
    configuration = Configuration(proxy="")
    try:
        loader = InClusterConfigLoader(str(token), str(SERVICE_ACCOUNT / "ca.crt"), try_refresh_token=False)
        loader.load_and_set(configuration)
        file = SERVICE_ACCOUNT / "namespace"
        namespace = file.read_text(encoding="utf-8").strip() if file.exists() else ""
        server = _server(configuration)
    except OSError as error:
        raise _unreadable("the files of the service account", error) from error
    except (ConfigException, ValueError) as error:
        raise Permanent(
            "the service account of this pod cannot be used: it needs ca.crt, KUBERNETES_SERVICE_HOST and"
            " KUBERNETES_SERVICE_PORT",
            "config",
        ) from error
    return _Session(_client(configuration), namespace or "default", server, token, files, marks)


def _outside(paths: str, files: Iterable[Path]) -> _Session:
    configuration = Configuration(proxy="")
    files = tuple(files)
    marks = _marks(files)
    if not any(marks):
        raise Permanent("there is no kubeconfig: KUBECONFIG must name a file, or ~/.kube/config be one", "config")
    try:
        loader = KubeConfigLoader(KubeConfigMerger(paths).config, config_base_path=None)
        loader.load_and_set(configuration)
        # The client library would run an exec plugin for each request in its credential's last five minutes.
        configuration.refresh_api_key_hook = None
        expiry = getattr(loader, "expiry", None)
        expires = math.inf if expiry is None else expiry.timestamp()
        context: dict[str, Any] = loader.current_context
        namespace = context["context"].get("namespace")
        server = _server(configuration)
    except OSError as error:
        raise _unreadable("the kubeconfig", error) from error
    except yaml.MarkedYAMLError as error:
        line = f": line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise Permanent(f"the kubeconfig is not YAML{line}", "config") from error
    except (ConfigException, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Permanent(f"{UNUSABLE} ({type(error).__name__})", "config") from error
    return _Session(_client(configuration), namespace or "default", server, None, files, marks, expires)


def _server(configuration: Configuration) -> str:
    """Raises OSError: the CA bundle cannot be read."""
    authorities = Path(configuration.ssl_ca_cert).read_bytes() if configuration.ssl_ca_cert else b""
    return sha256(b"\0".join((configuration.host.encode(), authorities))).hexdigest()


def _client(configuration: Configuration) -> ApiClient:
    # By default urllib3 retries four times regardless of our timeouts, and honours a Retry-After of hours.
    configuration.retries = False
    configuration.keep_alive = True
    if not configuration.proxy and configuration.host.startswith("https://"):
        configuration.proxy = Configuration(host=configuration.host).proxy
    return ApiClient(configuration)


def _authorization(session: _Session) -> Credential | None:
    """The Authorization header; None if the kubeconfig's user has no token (but a client certificate, say)."""
    if session.token_file is not None:
        return Credential(f"Bearer {_read_token(session.token_file).reveal()}")
    settings = session.api.configuration.auth_settings().get("BearerToken")
    value = (settings["value"] or "").strip() if settings else ""
    if not value:
        return None
    if not (value.isascii() and value.isprintable()):
        raise Permanent("the token of the kubeconfig has characters that no header can carry", "auth")
    return Credential(value)


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
