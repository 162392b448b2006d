"""`config/kubernetes` is valid, and grants no more than is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from alert_refresh.targets.kubernetes.rights import Right, manifests

FOLDER = Path(__file__).parent.parent / "config" / "kubernetes"
VERSIONS = ("1.30", "1.34")


def documents() -> list[dict[str, Any]]:
    return [one for file in sorted(FOLDER.glob("*.yaml")) for one in yaml.safe_load_all(file.read_text())]


def of(kind: str) -> dict[str, Any]:
    (found,) = [one for one in documents() if one["kind"] == kind]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_strictly_valid(version: str) -> None:
    found = documents()
    assert {one["kind"] for one in found} == {
        "ServiceAccount", "Role", "RoleBinding", "Deployment", "Service", "NetworkPolicy"
    }  # fmt: skip
    for one in found:
        kubernetes_validate.validate(one, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    broken = of("Deployment")
    broken["spec"]["template"]["spec"]["securityContext"]["runAsNonroot"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


def test_the_role_reads_secrets_and_nothing_else() -> None:
    assert of("Role")["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}]
    assert "namespace" not in of("Role")["metadata"]
    binding = of("RoleBinding")
    assert binding["roleRef"]["name"] == of("Role")["metadata"]["name"]
    assert [one["name"] for one in binding["subjects"]] == [of("ServiceAccount")["metadata"]["name"]]


def test_the_pod_keeps_to_the_restricted_standard() -> None:
    pod = of("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False and security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert not any("hostPort" in port for port in container["ports"])
        for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz"), ("startupProbe", "/healthz")):
            assert container[probe]["httpGet"]["path"] == path
    assert pod["serviceAccountName"] == of("ServiceAccount")["metadata"]["name"]
    assert {kind for one in pod["volumes"] for kind in one.keys() - {"name"}} == {"secret", "emptyDir"}


def test_service_and_policy_mean_the_pods_of_the_deployment() -> None:
    labels = of("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert of("Service")["spec"]["selector"].items() <= labels.items()
    assert of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert set(of("NetworkPolicy")["spec"]["policyTypes"]) == {"Ingress", "Egress"}


@pytest.mark.parametrize(
    "to",
    [
        {"kind": "ServiceAccount", "name": "x", "namespace": "y"},
        {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane@example.com"},
    ],
    ids=["service-account", "user"],
)
def test_what_check_prints_is_valid_too(to: dict[str, str]) -> None:
    text = manifests([Right("a", "watch"), Right("a", "get"), Right("*", "list")], to)
    found = list(yaml.safe_load_all(text))
    assert [one["kind"] for one in found] == ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]
    for one in found:
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
