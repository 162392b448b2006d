"""`config/kubernetes` is valid in every overlay, and grants no more than is needed."""

from __future__ import annotations

import re
import runpy
from typing import TYPE_CHECKING, Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from alert_refresh.targets import KIND
from alert_refresh.targets.kubernetes.rights import Right, manifests
from tests.kustomize import by_kubectl, render
from tests.prometheus import ROOT, RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = ROOT / "config" / "kubernetes"
OVERLAYS = sorted(one.name for one in (FOLDER / "overlays").iterdir())
VERSIONS = ("1.30", "1.34")
BASE = {"ServiceAccount", "Deployment", "Service", "NetworkPolicy"}
KINDS = {
    "one-namespace": BASE | {"Role", "RoleBinding"},
    "one-namespace-monitored": BASE | {"Role", "RoleBinding", "ServiceMonitor", "PrometheusRule"},
    "three-namespaces": BASE | {"Role", "RoleBinding"},
    "cluster-wide": BASE | {"ClusterRole", "ClusterRoleBinding"},
}
READ_SECRETS = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}]

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}


def exactly(required: Mapping[str, Any], **optional: Any) -> dict[str, Any]:
    """The schema of an object with these fields and no others."""
    properties = {**required, **optional}
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


DURATION = {"type": "string", "pattern": r"^\d+[smh]$"}
METADATA = exactly({"name": {"const": "alert-refresh"}, "namespace": {"type": "string"}}, labels=TEXTS)
ALERT = exactly(
    {"alert": {"type": "string"}, "expr": {"type": "string"}, "labels": TEXTS, "annotations": TEXTS},
    **{"for": DURATION},
)
GROUP = exactly({"name": {"type": "string"}, "rules": {"type": "array", "items": ALERT, "minItems": 1}})
ENDPOINT = exactly(
    {"port": {"const": "http"}, "path": {"const": "/metrics"}, "honorLabels": {"const": True}, "interval": DURATION}
)
OPERATOR = {
    "ServiceMonitor": exactly(
        {
            "selector": exactly({"matchLabels": TEXTS}),
            "endpoints": {"type": "array", "items": ENDPOINT, "minItems": 1},
        }
    ),
    "PrometheusRule": exactly({"groups": {"type": "array", "items": GROUP, "minItems": 1}}),
}
"""The fields that we use of the Prometheus operator's kinds, with the types that its definitions of them have."""


def validate(manifest: dict[str, Any], version: str) -> None:
    """Raise if there is an unknown field, or a wrong type."""
    if manifest["kind"] in OPERATOR:
        head = {"apiVersion": {"const": "monitoring.coreos.com/v1"}, "kind": {"type": "string"}, "metadata": METADATA}
        jsonschema.validate(manifest, exactly(head | {"spec": OPERATOR[manifest["kind"]]}))
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


def of(kind: str, overlay: str = "one-namespace") -> dict[str, Any]:
    (found,) = [one for one in render(FOLDER / "overlays" / overlay) if one["kind"] == kind]
    return found


def environment(overlay: str) -> dict[str, str]:
    (container,) = of("Deployment", overlay)["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_rendering_is_strictly_valid(overlay: str, version: str) -> None:
    found = render(FOLDER / "overlays" / overlay)
    assert {one["kind"] for one in found} == KINDS[overlay]
    for one in found:
        validate(one, version)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_renders_the_same(overlay: str) -> None:
    def place(one: dict[str, Any]) -> tuple[str, str]:
        return one["kind"], one["metadata"].get("namespace", "")

    folder = FOLDER / "overlays" / overlay
    assert sorted(by_kubectl(folder), key=place) == sorted(render(folder), key=place)


@pytest.mark.parametrize("kind", ["Deployment", "ServiceMonitor", "PrometheusRule"])
def test_a_misspelt_field_would_be_found(kind: str) -> None:
    broken = of(kind, "one-namespace-monitored")
    broken["spec"]["selektor"] = {}
    with pytest.raises((kubernetes_validate.ValidationError, jsonschema.ValidationError)):
        validate(broken, VERSIONS[-1])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_name_is_given_twice_and_everything_has_the_namespace_of_the_account_or_is_a_right(overlay: str) -> None:
    found = render(FOLDER / "overlays" / overlay)
    places = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in found]
    assert len(places) == len(set(places))
    home = of("ServiceAccount", overlay)["metadata"]["namespace"]
    elsewhere = {kind for kind, namespace, _ in places if namespace != home}
    assert elsewhere <= {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_rights_are_to_read_secrets_where_they_are_read_and_no_other(overlay: str) -> None:
    found = render(FOLDER / "overlays" / overlay)
    account = of("ServiceAccount", overlay)["metadata"]
    roles = [one for one in found if one["kind"] in ("Role", "ClusterRole")]
    bindings = [one for one in found if one["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    assert len(roles) == len(bindings)
    for role, binding in zip(roles, bindings, strict=True):
        assert role["rules"] == READ_SECRETS
        assert binding["roleRef"] == {
            "apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": role["metadata"]["name"]
        }  # fmt: skip
        assert binding["metadata"] == role["metadata"]
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
        ]
    granted = {one["metadata"].get("namespace", "*") for one in roles}
    assert set(environment(overlay).get("K8S_NAMESPACE", account["namespace"]).split(",")) == granted


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_environment_of_the_pod_is_accepted_with_the_account_of_the_pod(overlay: str) -> None:
    from alert_refresh.daemon import read_config

    environ = {name: value for name, value in environment(overlay).items() if not name.endswith("_FILE")}
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "ALERT_REFRESH_ADMIN_TOKEN": "a-token-of-an-operator"}
    namespaces = read_config(environ | pod).kinds[KIND.name].namespaces
    assert ",".join(namespaces) == environ.get("K8S_NAMESPACE", "")


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


def test_service_policy_and_monitor_mean_the_pods_of_the_deployment() -> None:
    labels = of("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert of("Service")["spec"]["selector"].items() <= labels.items()
    assert of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert set(of("NetworkPolicy")["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    monitor = of("ServiceMonitor", "one-namespace-monitored")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= of("Service")["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in [port["name"] for port in of("Service")["spec"]["ports"]]


def test_the_job_that_the_operator_names_is_the_one_that_the_alerts_look_for() -> None:
    (job,) = set(re.findall(r'up\{job="([^"]+)"', RULES.read_text()))
    assert of("Service")["metadata"]["name"] == job


def test_the_alerts_of_the_prometheusrule_are_those_of_prometheus() -> None:
    made = runpy.run_path(str(ROOT / "config" / "generate.py"))
    assert made["PROMETHEUSRULE"].read_text() == made["prometheusrule"](), "run `make generated`"
    assert of("PrometheusRule", "one-namespace-monitored")["spec"] == yaml.safe_load(RULES.read_text())


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
