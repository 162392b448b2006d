"""The rights that reading and watching Secrets needs: which of them are missing, and what to apply to have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import yaml
from urllib3.exceptions import HTTPError

from alert_refresh.engine import Transient
from alert_refresh.targets.kube_errors import unreachable
from alert_refresh.targets.kube_list import EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alert_refresh.engine import Deadline
    from alert_refresh.targets.kube_client import KubeClient

VERBS = ("get", "list", "watch")
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RBAC = "rbac.authorization.k8s.io"
NAME = "alert-refresh"
MAX_BODY = 1 << 20


class Right(NamedTuple):
    """To do something with the Secrets of a namespace; `*` is all of them."""

    namespace: str
    verb: str


class _Status(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _Status


def missing(client: KubeClient, needed: Iterable[Right], deadline: Deadline) -> list[Right]:
    """Ask the API server which of these rights we lack.

    Raises:
        Transient, Permanent: it does not tell.
    """
    return [right for right in needed if not _allowed(client, right, deadline)]


def _allowed(client: KubeClient, right: Right, deadline: Deadline) -> bool:
    about = {"verb": right.verb, "version": "v1", "resource": "secrets"}
    if right.namespace != EVERYWHERE:
        about["namespace"] = right.namespace
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": about},
    }
    left = deadline.check()
    response = client.post(REVIEWS, review, connect=left, read=left)
    try:
        return msgspec.json.decode(response.read(MAX_BODY), type=_Review).status.allowed
    except HTTPError as error:
        raise unreachable(error) from error
    except (ValueError, RecursionError) as error:
        raise Transient("the API server's answer is not a review of rights", "parse") from error
    finally:
        response.close()


def manifests(rights: Sequence[Right]) -> str:
    """YAML that grants these rights (all of `VERBS`, since one without the others is of no use) to the service account
    that `config/kubernetes` makes.
    """
    documents: list[dict[str, Any]] = []
    for namespace in dict.fromkeys(right.namespace for right in rights):
        cluster = namespace == EVERYWHERE
        kind = "ClusterRole" if cluster else "Role"
        metadata = {"name": NAME} if cluster else {"name": NAME, "namespace": namespace}
        head = {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata}
        binding = {"apiVersion": f"{RBAC}/v1", "kind": f"{kind}Binding", "metadata": metadata}
        subject = {"kind": "ServiceAccount", "name": NAME, "namespace": "default" if cluster else namespace}
        rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": list(VERBS)}
        reference = {"apiGroup": RBAC, "kind": kind, "name": NAME}
        documents += [head | {"rules": [rule]}, binding | {"roleRef": reference, "subjects": [subject]}]
    return yaml.safe_dump_all(documents, sort_keys=False)
