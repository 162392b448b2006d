"""Every method of authentication, for lists and for watches: tokens, exec plugins, certificates, CA bundles."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import stat
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import AttemptError, Backoff, Deadline, Partial, Request, Trigger
from alert_refresh.targets.kubernetes import client as kube_client
from alert_refresh.targets.kubernetes.source import KubernetesSource
from alert_refresh.targets.kubernetes.timings import WatchTimings
from tests.fakes import FakeClock
from tests.faults.kubernetes import TOKEN, target_settings, watches_are_gone, world
from tests.kube import Authority, KubeServer, faults, fill, kubeconfig, service_account
from tests.kube.api import is_watch
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMINGS = WatchTimings(lifetimes=(0.6, 0.6), margin=30.0, broken=Backoff(0.02, 0.2), refused=Backoff(0.05, 0.5))


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


def test_a_watch_over_tls_is_served_and_stopped_immediately(
    secure: KubeServer, tmp_path: Path, authority: Authority
) -> None:
    with world(tmp_path, secure, ca=authority.ca, watch=True, timings=WatchTimings()) as it:
        it.connected().serves(it.change())
        it.worker.stop(30)
        eventually(watches_are_gone)


def test_in_a_pod_a_rotated_token_is_used_by_list_and_watch(
    secure: KubeServer, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = service_account(tmp_path / "account", token=TOKEN, ca=authority.ca)
    monkeypatch.setattr(kube_client, "SERVICE_ACCOUNT", folder)
    with world(tmp_path, secure, pod_server=secure.url, watch=True, timings=TIMINGS) as it:
        it.connected()
        secure.tokens = {"rotated"}
        (folder / "token").write_text("rotated")
        it.heals()
        eventually(lambda: True in bearer(secure, "rotated"))
        it.connected().serves(it.change())
        assert False in bearer(secure, "rotated")


class Plugin:
    """An exec plugin that counts how often it runs, and gives out `token` until `expires` (RFC 3339)."""

    def __init__(self, folder: Path) -> None:
        self.file, self._status, self._runs = folder / "plugin", folder / "status.json", folder / "runs"
        self._runs.touch()
        self.file.write_text(
            f"""#!{sys.executable}
import json
with open({str(self._runs)!r}, "a") as file:
    file.write("x")
status = json.load(open({str(self._status)!r}))
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""
        )
        self.file.chmod(self.file.stat().st_mode | stat.S_IXUSR)

    @property
    def runs(self) -> int:
        return len(self._runs.read_text())

    def gives(self, token: str, expires: float | None = None) -> None:
        """`expires` is Unix seconds."""
        status = {"token": token}
        if expires is not None:
            status["expirationTimestamp"] = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._status.write_text(json.dumps(status))

    def user(self) -> dict[str, Any]:
        """As a kubeconfig has it."""
        execute = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(self.file),
            "interactiveMode": "Never",
        }
        return {"exec": execute}


def test_an_exec_plugin_is_asked_and_asked_again_when_its_token_is_refused(kube: KubeServer, tmp_path: Path) -> None:
    plugin = Plugin(tmp_path)
    plugin.gives(TOKEN)
    file = kubeconfig(tmp_path / "k", kube.url, user=plugin.user())
    with world(tmp_path, kube, file=file, watch=True, timings=TIMINGS) as it:
        it.connected()
        assert plugin.runs == 1
        plugin.gives("newer")
        kube.tokens = {"newer"}
        it.heals()
        eventually(lambda: set(bearer(kube, "newer")) == {True, False})
        it.connected().serves(it.change())
        assert plugin.runs >= 2


class Session:
    """A source with an exec plugin, refreshed by the test."""

    def __init__(self, kube: KubeServer, folder: Path, **settings: Any) -> None:
        self.clock = FakeClock()
        self.plugin = Plugin(folder)
        self.file = kubeconfig(folder / "k", kube.url, user=self.plugin.user())
        self.source = KubernetesSource(target_settings(self.file, **settings), self.clock)
        self.last: Any = None

    def refresh(self, times: int = 1) -> None:
        for _ in range(times):
            with contextlib.suppress(AttemptError, Partial):
                self.last = self.source.refresh(self.last, Request(Trigger.MANUAL), Deadline(self.clock, 30.0))


@pytest.mark.parametrize("lasts", [None, 30, 290, 86_400], ids=["for-ever", "30s", "290s", "1d"])
def test_an_exec_plugin_runs_once_as_long_as_its_credential_lasts(
    kube: KubeServer, tmp_path: Path, lasts: int | None
) -> None:
    it = Session(kube, tmp_path)
    kube.tokens = {"one", "two"}
    it.plugin.gives("one", None if lasts is None else it.clock.time() + lasts)
    it.refresh(3)
    it.clock.advance((lasts or 1e6) - 1)
    it.refresh(3)
    assert it.plugin.runs == 1 and bearer(kube, "one") == [False] * 6
    it.plugin.gives("two", None if lasts is None else it.clock.time() + 1000)
    it.clock.advance(2)
    it.refresh(3)
    assert it.plugin.runs == (1 if lasts is None else 2)
    assert len(bearer(kube, "two")) == (0 if lasts is None else 3)


def test_an_exec_plugin_does_not_run_for_a_failure_that_a_new_token_would_not_fix(
    kube: KubeServer, tmp_path: Path
) -> None:
    it = Session(kube, tmp_path, namespaces=("default", "a"))
    kube.tokens = {"one"}
    it.plugin.gives("one", it.clock.time() + 86_400)
    kube.denied = {("list", "a")}
    it.refresh(5)
    kube.fault(faults.status(404), times=4)
    kube.fault(faults.status(503), times=4)
    it.refresh(5)
    assert it.plugin.runs == 1


def test_an_exec_plugin_runs_once_a_refresh_while_its_token_is_refused(kube: KubeServer, tmp_path: Path) -> None:
    it = Session(kube, tmp_path)
    kube.tokens = {"another"}
    it.plugin.gives("one", it.clock.time() + 86_400)
    it.refresh(5)
    assert it.plugin.runs == 6


def test_a_certificate_of_an_exec_plugin_is_asked_for_again_when_tls_fails(
    tmp_path: Path, authority: Authority, secure: KubeServer
) -> None:
    it = Session(secure, tmp_path)
    fill(secure.store, 2)
    wrong = Authority.create(tmp_path / "wrong")
    kubeconfig(it.file, secure.url, ca=wrong.ca, user=it.plugin.user())
    it.plugin.gives("one")
    it.refresh(2)
    assert it.plugin.runs == 2 and it.last is None


@pytest.mark.parametrize("what", ["token", "ca"])
def test_a_file_that_the_kubeconfig_names_is_read_again_when_it_changes(
    tmp_path: Path, authority: Authority, secure: KubeServer, what: str
) -> None:
    fill(secure.store, 2)
    secure.tokens = {"one", "second"}
    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("one")
    ca.write_bytes(authority.ca.read_bytes())
    file = kubeconfig(tmp_path / "k", secure.url, ca=ca, user={"tokenFile": str(token)})
    clock = FakeClock()
    source = KubernetesSource(target_settings(file), clock)

    def refresh() -> int:
        return len(source.refresh(None, Request(Trigger.MANUAL), Deadline(clock, 30.0)).items)

    assert refresh() == 2
    if what == "token":
        token.write_text("second")
        assert refresh() == 2 and bearer(secure, "second") == [False]
    else:
        ca.write_bytes(Authority.create(tmp_path / "wrong").ca.read_bytes())
        with pytest.raises(AttemptError) as raised:
            refresh()
        assert raised.value.error_type == "tls"
        ca.write_bytes(authority.ca.read_bytes())
        assert refresh() == 2
    source.close()


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
        with world(tmp_path, _open(server), file=file, watch=True, timings=TIMINGS) as it:
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

    return Open()  # type: ignore[return-value]  # a stand-in


def test_a_bundle_of_authorities_is_trusted(secure: KubeServer, tmp_path: Path, authority: Authority) -> None:
    other = Authority.create(tmp_path / "other")
    bundle = tmp_path / "bundle.crt"
    bundle.write_bytes(other.ca.read_bytes() + authority.ca.read_bytes())
    with world(tmp_path, secure, ca=bundle, watch=True, timings=TIMINGS) as it:
        it.connected().serves(it.change())


def test_an_authority_may_be_in_the_kubeconfig_itself(secure: KubeServer, tmp_path: Path, authority: Authority) -> None:
    data = base64.b64encode(authority.ca.read_bytes()).decode()
    cluster = {"certificate-authority-data": data}
    file = kubeconfig(tmp_path / "k", secure.url, cluster=cluster, user={"token": TOKEN})
    assert "certificate-authority" not in json.loads(file.read_text())["clusters"][0]["cluster"]
    with world(tmp_path, secure, file=file, watch=True, timings=TIMINGS) as it:
        it.connected().serves(it.change())
