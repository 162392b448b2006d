"""The RBAC rights to read and watch Secrets: which of them are missing, and manifests that grant them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
import yaml
from urllib3.exceptions import HTTPError

from alert_refresh.engine import AttemptError, Transient
from alert_refresh.targets.kubernetes.errors import unreachable
from alert_refresh.targets.kubernetes.list import EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alert_refresh.engine import Deadline
    from alert_refresh.targets.kubernetes.client import KubeClient

VERBS = ("get", "list", "watch")
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
SERVICE_ACCOUNT = "system:serviceaccount:"
RBAC = "rbac.authorization.k8s.io"
NAME = "alert-refresh"
MAX_BODY = 1 << 20

T = TypeVar("T")


class Right(NamedTuple):
    """A verb on the Secrets of a namespace; `*` means all namespaces."""

    namespace: str
    verb: str


class _Status(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _Status


class _User(msgspec.Struct):
    username: str


class _UserStatus(msgspec.Struct, rename="camel"):
    user_info: _User


class _SelfReview(msgspec.Struct):
    status: _UserStatus


class _Claims(msgspec.Struct):
    sub: str


def missing(client: KubeClient, needed: Iterable[Right], deadline: Deadline) -> list[Right]:
    """Ask the API server which of these rights we do not have.

    Raises:
        Transient, Permanent: it could not be asked.
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
    return _ask(client, REVIEWS, review, _Review, deadline).status.allowed


def _ask(client: KubeClient, path: str, review: object, kind: type[T], deadline: Deadline) -> T:
    left = deadline.check()
    response = client.post(path, review, connect=left, read=left)
    try:
        return msgspec.json.decode(response.read(MAX_BODY), type=kind)
    except HTTPError as error:
        raise unreachable(error) from error
    except (ValueError, RecursionError) as error:
        raise Transient("the API server's answer is not a review", "parse") from error
    finally:
        response.close()


def subject(client: KubeClient, deadline: Deadline) -> dict[str, str]:
    """Our identity as the subject of a binding: from a SelfSubjectReview, else from the token, else the service account
    of `config/kubernetes` in our own namespace.

    Raises:
        Transient, Permanent: the configuration cannot be read.
    """
    name = _username(client, deadline)
    if not name:
        return {"kind": "ServiceAccount", "name": NAME, "namespace": client.namespace()}
    namespace, _, account = name.removeprefix(SERVICE_ACCOUNT).partition(":")
    if name.startswith(SERVICE_ACCOUNT) and account:
        return {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    return {"apiGroup": RBAC, "kind": "User", "name": name}


def _username(client: KubeClient, deadline: Deadline) -> str:
    """Our user name by a SelfSubjectReview, else by the token's claims; empty if neither is available."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        return _ask(client, WHO, review, _SelfReview, deadline).status.user_info.username
    except AttemptError:
        # API servers before 1.28 do not support a SelfSubjectReview.
        token = client.token()
    payload = token.reveal().split(".")[1:2] if token is not None else []
    try:
        claims = base64.urlsafe_b64decode("".join(payload) + "===")
        return msgspec.json.decode(claims, type=_Claims).sub
    except ValueError:
        return ""


def manifests(rights: Sequence[Right], to: dict[str, str]) -> str:
    """YAML that grants these rights (all of `VERBS`, since a single one is of no use) to a `subject`."""
    documents: list[dict[str, Any]] = []
    for namespace in dict.fromkeys(right.namespace for right in rights):
        cluster = namespace == EVERYWHERE
        kind = "ClusterRole" if cluster else "Role"
        metadata = {"name": NAME} if cluster else {"name": NAME, "namespace": namespace}
        head = {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata}
        binding = {"apiVersion": f"{RBAC}/v1", "kind": f"{kind}Binding", "metadata": metadata}
        rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": list(VERBS)}
        reference = {"apiGroup": RBAC, "kind": kind, "name": NAME}
        documents += [head | {"rules": [rule]}, binding | {"roleRef": reference, "subjects": [to]}]
    return yaml.safe_dump_all(documents, sort_keys=False)
