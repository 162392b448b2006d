"""What the official client library is needed for: kubeconfigs and proxies. `kubernetes` is imported here only.

`proxy-url` of a kubeconfig is used as given. `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are honoured for an https API
server, where the proxy sees an encrypted tunnel only. For plain http the environment's proxies are ignored: they would
see the token in clear text.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

from alert_refresh.credential import Credential
from alert_refresh.engine import Permanent
from alert_refresh.targets.kubernetes.client import Access

if TYPE_CHECKING:
    from urllib3 import PoolManager


UNUSABLE = (
    "the kubeconfig cannot be used: its current-context must name a cluster and a user, and a plugin must print a"
    " credential"
)


def read_kubeconfig(paths: str) -> Access:
    """How the server of the current context is reached; runs its plugin. `paths` are as in KUBECONFIG.

    Raises:
        Permanent: it cannot be used (error type `config`).
        OSError: a file cannot be read.
    """
    configuration = Configuration(proxy="")
    try:
        loader = KubeConfigLoader(KubeConfigMerger(paths).config, config_base_path=None)
        loader.load_and_set(configuration)
        # The client would run a plugin for every request in the last five minutes of its credential.
        configuration.refresh_api_key_hook = None
        expiry = getattr(loader, "expiry", None)
        context: dict[str, Any] = loader.current_context
        settings = configuration.auth_settings().get("BearerToken")
        token = (settings["value"] or "").strip() if settings else ""
        return Access(
            configuration.host,
            Path(configuration.ssl_ca_cert).read_bytes() if configuration.ssl_ca_cert else b"",
            _connections(configuration),
            context["context"].get("namespace") or "default",
            Credential(token) if token else None,
            expires=math.inf if expiry is None else expiry.timestamp(),
        )
    except yaml.MarkedYAMLError as error:
        line = f": line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise Permanent(f"the kubeconfig is not YAML{line}", "config") from error
    except (ConfigException, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Permanent(f"{UNUSABLE} ({type(error).__name__})", "config") from error


def connections(host: str, authorities: Path) -> PoolManager:
    """To the API server of a pod, through the proxy that the environment names."""
    configuration = Configuration(host=host, proxy="")
    configuration.ssl_ca_cert = str(authorities)
    return _connections(configuration)


def _connections(configuration: Configuration) -> PoolManager:
    # By default urllib3 retries four times, beyond every timeout, and obeys a Retry-After of hours.
    configuration.retries = False
    configuration.keep_alive = True
    if not configuration.proxy and configuration.host.startswith("https://"):
        configuration.proxy = Configuration(host=configuration.host).proxy
    made: PoolManager = RESTClientObject(configuration).pool_manager
    return made
