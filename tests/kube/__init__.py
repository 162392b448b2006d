"""A Kubernetes API server for tests: Secrets with the real protocol, and every fault on demand.

    with KubeServer() as kube:
        fill(kube.store, 10)
        rule = kube.fault(faults.status(503), times=2)
        ...
        assert rule.fired == 2

As a process: `python -m tests.kube --port 0 --fill 1000`.
"""

from tests.kube import faults
from tests.kube.access import kubeconfig, service_account
from tests.kube.certs import Authority, only_tls_1_0
from tests.kube.faults import Rule
from tests.kube.samples import fill, raw_secret, secret
from tests.kube.server import Exchange, KubeServer
from tests.kube.wire import Request

__all__ = [
    "Authority",
    "Exchange",
    "KubeServer",
    "Request",
    "Rule",
    "faults",
    "fill",
    "kubeconfig",
    "only_tls_1_0",
    "raw_secret",
    "secret",
    "service_account",
]
