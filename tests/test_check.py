"""`alert-refresh check` against the API stand-in: rights that are missing are named, with what grants them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from alert_refresh.cli import main
from tests.kube import KubeServer, faults, fill, kubeconfig

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


def test_with_all_rights_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kube: KubeServer) -> None:
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


def test_scripts_get_it_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kube: KubeServer) -> None:
    kube.denied = {("list", ""), ("watch", "")}
    result = check(monkeypatch, tmp_path, kube, "--json", K8S_NAMESPACE="*")
    assert result.exit_code == 1
    (source,) = [one for one in json.loads(result.stdout)["sources"] if one["kind"] == "targets"]
    assert source["error"] == "the API server answered 403"
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
def test_a_server_that_does_not_tell_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kube: KubeServer, action: Any
) -> None:
    rule = kube.fault(action, "/apis/authorization")
    result = check(monkeypatch, tmp_path, kube, "--json")
    assert result.exit_code == 0 and rule.fired
    assert "missing_rights" not in json.loads(result.stdout)["sources"][0]
