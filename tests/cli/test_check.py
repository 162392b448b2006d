"""`alert-refresh check` against the API stand-in: missing rights are reported, with manifests that grant them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from alert_refresh.cli.main import main
from alert_refresh.targets.kubernetes.errors import HINTS
from tests.alertmanager.server import closed_port
from tests.kube import KubeServer, faults, fill, kubeconfig
from tests.targets.folder.folders import CANARY, secret, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        fill(server.store, 3)
        yield server


def check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kube: KubeServer, *more: str, **env: str) -> Any:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "k", kube.url)))
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return CliRunner().invoke(main, ["check", *more])


def test_with_all_rights_there_is_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kube: KubeServer) -> None:
    result = check(monkeypatch, tmp_path, kube)
    assert result.exit_code == 0, result.output
    assert "targets from kubernetes: 3 read" in result.output and "missing" not in result.output
    reviews = [json.loads(one.body)["spec"]["resourceAttributes"] for one in kube.requests if one.method == "POST"]
    assert [(one["verb"], one["namespace"], one["resource"]) for one in reviews] == [
        (verb, "default", "secrets") for verb in ("get", "list", "watch")
    ]


def test_a_missing_right_is_named_with_the_role_that_grants_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kube: KubeServer
) -> None:
    kube.denied = {("watch", "default")}
    result = check(monkeypatch, tmp_path, kube)
    assert result.exit_code == 1
    assert "the right to watch secrets in namespace default is missing" in result.output
    role = result.output.split("apply:\n", 1)[1]
    assert [one["kind"] for one in yaml.safe_load_all(role)] == ["Role", "RoleBinding"]


def subjects(result: Any) -> list[dict[str, Any]]:
    """The subject of each printed binding."""
    documents = yaml.safe_load_all(result.output.split("apply:\n", 1)[1])
    return [subject for one in documents for subject in one.get("subjects", ())]


@pytest.mark.parametrize("namespaces", ["default", "monitoring,team-a", "*"])
@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("system:serviceaccount:alerting:refresher", ("ServiceAccount", "refresher", "alerting")),
        ("system:serviceaccount:default:alert-refresh", ("ServiceAccount", "alert-refresh", "default")),
        ("jane@example.com", ("User", "jane@example.com", None)),
        ("system:serviceaccount:", ("User", "system:serviceaccount:", None)),
        ("kubernetes-admin\n- kind: Group", ("User", "kubernetes-admin\n- kind: Group", None)),
    ],
)
def test_the_rights_are_granted_to_who_asked_wherever_the_secrets_are(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kube: KubeServer,
    user: str,
    expected: tuple[str, str, str | None],
    namespaces: str,
) -> None:
    kube.user = user
    named = ["" if one == "*" else one for one in namespaces.split(",")]
    kube.denied = {("watch", one) for one in named}
    found = subjects(check(monkeypatch, tmp_path, kube, K8S_NAMESPACE=namespaces))
    assert [(one["kind"], one["name"], one.get("namespace")) for one in found] == [expected] * len(named)
    assert all(one.get("apiGroup") == ("rbac.authorization.k8s.io" if one["kind"] == "User" else None) for one in found)


def token_of(sub: str) -> str:
    """A token like those of Kubernetes, in the parts that are read."""
    payload = base64.urlsafe_b64encode(json.dumps({"sub": sub, "iat": 1}).encode()).decode().rstrip("=")
    return f"aGVhZA.{payload}.c2lnbmF0dXJl"


@pytest.mark.parametrize("code", [403, 404, 500])
@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (token_of("system:serviceaccount:alerting:refresher"), ("ServiceAccount", "refresher", "alerting")),
        (token_of("jane"), ("User", "jane", None)),
        ("opaque", ("ServiceAccount", "alert-refresh", "mine")),
        ("a.b.c", ("ServiceAccount", "alert-refresh", "mine")),
        (None, ("ServiceAccount", "alert-refresh", "mine")),
    ],
)
def test_a_server_that_does_not_say_who_asked_leaves_it_to_the_token(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kube: KubeServer,
    token: str | None,
    expected: tuple[str, str, str | None],
    code: int,
) -> None:
    rule = kube.fault(faults.status(code), "/apis/authentication.k8s.io/")
    kube.denied = {("watch", "other")}
    file = kubeconfig(tmp_path / "k", kube.url, namespace="mine", user={"token": token} if token else None)
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setenv("K8S_NAMESPACE", "other")
    (found,) = subjects(CliRunner().invoke(main, ["check"]))
    assert (found["kind"], found["name"], found.get("namespace")) == expected
    assert rule.fired == 1


def test_scripts_get_it_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kube: KubeServer) -> None:
    kube.denied = {("list", ""), ("watch", "")}
    result = check(monkeypatch, tmp_path, kube, "--json", K8S_NAMESPACE="*")
    assert result.exit_code == 1
    (source,) = [one for one in json.loads(result.stdout)["sources"] if one["kind"] == "targets"]
    assert source["error"] == "the API server answered 403" + HINTS[403]
    assert source["missing_rights"] == [
        {"namespace": "*", "verb": verb, "resource": "secrets"} for verb in ("list", "watch")
    ]
    assert "kind: ClusterRole\n" in source["role"]


def test_without_a_watch_the_right_is_not_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kube: KubeServer
) -> None:
    kube.denied = {("watch", "default")}
    assert check(monkeypatch, tmp_path, kube, TARGET_WATCH="false").exit_code == 0


@pytest.mark.parametrize("action", [faults.status(403), faults.page(b"[]"), faults.truncated("length")])
def test_a_server_that_does_not_answer_is_not_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kube: KubeServer, action: Any
) -> None:
    rule = kube.fault(action, "/apis/authorization")
    result = check(monkeypatch, tmp_path, kube, "--json")
    assert result.exit_code == 0 and rule.fired
    assert "missing_rights" not in json.loads(result.stdout)["sources"][0]


def test_an_object_that_is_not_a_target_is_listed_with_its_reason_and_is_not_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    documents = [{"kind": "SealedSecret", "metadata": {"name": "a"}}, *({"kind": f"K{n}"} for n in range(104))]
    (tmp_path / "a.yaml").write_text("\n---\n".join(map(json.dumps, documents)))
    monkeypatch.setenv("TARGET_DIRECTORY", str(tmp_path))
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 0, result.output
    assert "  a.yaml/1/default/a: skipped: is a SealedSecret; only its controller" in result.output
    assert "  and 5 more skipped\n" in result.output
    [targets, *_] = json.loads(CliRunner().invoke(main, ["check", "--json"]).stdout)["sources"]
    assert (len(targets["skipped"]), targets["skipped_count"]) == (100, 105)


def test_a_state_directory_that_is_missing_is_a_warning(tmp_path: Path) -> None:
    env = {"ALERT_REFRESH_STATE_DIR": str(tmp_path / "none")}
    result = CliRunner().invoke(main, ["check"], env=env)
    assert "Warning: ALERT_REFRESH_STATE_DIR names no folder" in result.stderr and result.exit_code == 0
    (tmp_path / "none").mkdir()
    assert "Warning" not in CliRunner().invoke(main, ["check"], env=env).stderr


class TestAlertmanager:
    @pytest.fixture
    def env(self, tmp_path: Path) -> dict[str, str]:
        (tmp_path / "targets").mkdir()
        write(tmp_path / "targets/a.yaml", secret("a"))
        template = "route: {receiver: d, routes: [{receiver: alert-refresh/b}]}\nreceivers: [{name: d}]\n"
        (tmp_path / "template.yml").write_text(template)
        return {
            "TARGET_DIRECTORY": str(tmp_path / "targets"),
            "ALERTMANAGER_CONFIG_TEMPLATE": str(tmp_path / "template.yml"),
            "ALERTMANAGER_CONFIG_FILE": str(tmp_path / "alertmanager.yml"),
        }

    def test_each_is_a_line_and_one_that_does_not_answer_is_a_fault(self, env: dict[str, str]) -> None:
        host = f"127.0.0.1:{closed_port()}"
        result = CliRunner().invoke(main, ["check"], env=env | {"ALERTMANAGER_URL": f"http://{host}"})
        assert result.exit_code == 1
        assert "alertmanager from daemon: failed (network): " in result.stdout
        assert f"\n  Alertmanager {host}: " in result.stdout and CANARY not in result.output

    def test_a_route_that_leads_to_no_target_is_a_fault_if_it_is_strict(self, env: dict[str, str]) -> None:
        result = CliRunner().invoke(main, ["check"], env=env)
        assert result.exit_code == 0 and "alertmanager from daemon: 1 read" in result.stdout
        assert 'names "alert-refresh/b", which delivers nothing' in result.stdout
        assert CliRunner().invoke(main, ["check", "--strict"], env=env).exit_code == 1

    def test_it_is_not_written(self, env: dict[str, str], tmp_path: Path) -> None:
        CliRunner().invoke(main, ["check"], env=env)
        assert sorted(one.name for one in tmp_path.iterdir()) == ["targets", "template.yml"]
