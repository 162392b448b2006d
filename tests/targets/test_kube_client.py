"""Every way in which a cluster knows its clients, for lists and for watches: tokens, plugins, certificates, bundles."""

from __future__ import annotations

import base64
import json
import ssl
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.targets import kube_client
from alert_refresh.targets.pace import Pace
from tests.faults.kubernetes import TOKEN, watches_are_gone, world
from tests.kube import Authority, KubeServer, fill, kubeconfig, pod_environment, service_account
from tests.kube.api import is_watch
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACE = Pace(lasts=(0.6, 0.6), margin=5.0, broken=(0.02, 0.2), refused=(0.05, 0.5))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("tls") / "trusted")


@pytest.fixture
def secure(authority: Authority) -> Iterator[KubeServer]:
    with KubeServer(tls=authority.server(), bookmark_interval=0.1) as server:
        yield server


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer(bookmark_interval=0.1) as server:
        yield server


def bearer(kube: KubeServer, token: str) -> list[bool]:
    """Of each request with that token, whether it is a watch."""
    return [is_watch(one) for one in kube.requests if one.headers.get("authorization", "").endswith(f" {token}")]


def test_a_watch_over_tls_is_served_and_stopped_at_once(
    secure: KubeServer, tmp_path: Path, authority: Authority
) -> None:
    with world(tmp_path, secure, ca=authority.ca, watch=True, pace=Pace()) as it:
        it.connected().serves(it.change())
        it.worker.stop(5)
        eventually(watches_are_gone)


def test_in_a_pod_a_rotated_token_is_used_by_list_and_watch(
    secure: KubeServer, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = service_account(tmp_path / "account", token=TOKEN, ca=authority.ca)
    monkeypatch.setattr(kube_client, "SERVICE_ACCOUNT", folder)
    for name, value in pod_environment(secure.url).items():
        monkeypatch.setenv(name, value)
    with world(tmp_path, secure, in_pod=True, watch=True, pace=PACE) as it:
        it.connected()
        secure.tokens = {"rotated"}
        (folder / "token").write_text("rotated")
        it.heals()
        eventually(lambda: True in bearer(secure, "rotated"))
        it.connected().serves(it.change())
        assert False in bearer(secure, "rotated")


def test_an_exec_plugin_is_asked_and_asked_again_when_its_token_is_refused(kube: KubeServer, tmp_path: Path) -> None:
    token, asked, plugin = tmp_path / "token", tmp_path / "asked", tmp_path / "plugin"
    plugin.write_text(
        f"""#!{sys.executable}
import json
with open({str(asked)!r}, "a") as file:
    file.write("x")
token = open({str(token)!r}).read()
status = {{"token": token}}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""
    )
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    token.write_text(TOKEN)
    execute = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(plugin),
        "interactiveMode": "Never",
    }
    file = kubeconfig(tmp_path / "k", kube.url, user={"exec": execute})
    with world(tmp_path, kube, file=file, watch=True, pace=PACE) as it:
        it.connected()
        assert asked.read_text() == "x"
        token.write_text("newer")
        kube.tokens = {"newer"}
        it.heals()
        eventually(lambda: set(bearer(kube, "newer")) == {True, False})
        it.connected().serves(it.change())
        assert len(asked.read_text()) >= 2


@pytest.mark.parametrize("inline", [False, True], ids=["files", "data"])
def test_a_client_certificate_is_shown(tmp_path: Path, authority: Authority, inline: bool) -> None:
    context = authority.server("strict")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca)
    certificate, key = authority.issue("client")
    files = {"client-certificate": certificate, "client-key": key}
    user: dict[str, Any] = {name: str(path) for name, path in files.items()}
    if inline:
        user = {f"{name}-data": base64.b64encode(path.read_bytes()).decode() for name, path in files.items()}
    with KubeServer(tls=context) as server:
        fill(server.store, 10)
        file = kubeconfig(tmp_path / "k", server.url, ca=authority.ca, user=user)
        with world(tmp_path, _open(server), file=file, watch=True, pace=PACE) as it:
            it.connected().serves(it.change())
        assert all("authorization" not in one.headers for one in server.requests)
        stranger = kubeconfig(tmp_path / "stranger", server.url, ca=authority.ca)
        with pytest.raises(AssertionError), world(tmp_path, _open(server), file=stranger):
            pass
        # With TLS 1.3 the client hears of it with its first read, or finds the connection cut.
        assert server.handshakes_failed or len(server.requests)


def _open(server: KubeServer) -> KubeServer:
    """The same server for a world that would give it tokens."""

    class Open:
        def __getattr__(self, name: str) -> Any:
            return getattr(server, name)

        def __setattr__(self, name: str, value: Any) -> None:
            if name != "tokens":
                setattr(server, name, value)

    return Open()  # type: ignore[return-value]


def test_a_bundle_of_authorities_is_trusted(secure: KubeServer, tmp_path: Path, authority: Authority) -> None:
    other = Authority.create(tmp_path / "other")
    bundle = tmp_path / "bundle.crt"
    bundle.write_bytes(other.ca.read_bytes() + authority.ca.read_bytes())
    with world(tmp_path, secure, ca=bundle, watch=True, pace=PACE) as it:
        it.connected().serves(it.change())


def test_an_authority_may_be_in_the_kubeconfig_itself(secure: KubeServer, tmp_path: Path, authority: Authority) -> None:
    data = base64.b64encode(authority.ca.read_bytes()).decode()
    cluster = {"certificate-authority-data": data}
    file = kubeconfig(tmp_path / "k", secure.url, cluster=cluster, user={"token": TOKEN})
    assert "certificate-authority" not in json.loads(file.read_text())["clusters"][0]["cluster"]
    with world(tmp_path, secure, file=file, watch=True, pace=PACE) as it:
        it.connected().serves(it.change())
