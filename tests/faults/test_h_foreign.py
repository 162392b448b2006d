"""Output of a credential plugin or a library never reaches this program's log."""

from __future__ import annotations

import os
import pty
import stat
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.kube import KubeServer, fill, kubeconfig
from tests.process.program import PATIENCE, Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "canary-refresh-token-7"

PLUGINS = {
    "fails": f'print("refresh_token={CANARY}", file=sys.stderr); sys.exit(1)',
    "succeeds and is loud": f'print("refresh_token={CANARY}", file=sys.stderr); print(json.dumps({{"apiVersion":'
    ' "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "good"}}))',
    "answers no JSON": f'print("{CANARY}")',
    "answers of another version": f'print(json.dumps({{"apiVersion": "{CANARY}", "kind": "x", "status": {{}}}}))',
    "dies": f'raise RuntimeError("{CANARY}")',
}


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        fill(server.store, 3)
        server.tokens = {"good"}
        yield server


def settings(folder: Path, kube: KubeServer, body: str) -> dict[str, str]:
    """Settings of a daemon whose kubeconfig has a credential plugin that does this and says that it ran."""
    plugin = folder / "plugin"
    plugin.write_text(f"#!{sys.executable}\nimport json, sys\nopen({str(folder / 'ran')!r}, 'w').close()\n{body}\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    execute = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(plugin),
        "interactiveMode": "IfAvailable",
    }
    file = kubeconfig(folder / "kubeconfig", kube.url, user={"exec": execute})
    return {"KUBECONFIG": str(file), "ALERT_REFRESH_LOG_LEVEL": "DEBUG", "ALERT_REFRESH_DEBUG_SAMPLE": "1"}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_h31_what_a_credential_plugin_prints_is_not_in_the_log(kube: KubeServer, tmp_path: Path, plugin: str) -> None:
    with Program(env=settings(tmp_path, kube, PLUGINS[plugin])) as program:
        program.wait_for("Targets refreshed" if "loud" in plugin else "Refresh failed")
        status = program.get("/api/v2/publishing/targets/status")[2]
        program.stop()
    assert (tmp_path / "ran").exists()
    assert status["error_type"] == (None if "loud" in plugin else "auth")
    assert CANARY not in "".join(program.lines) + program.stderr + str(status)
    if plugin == "fails":
        line = next(line for line in program.log if line["logger"] == "root")
        assert (line["level"], line["place"].partition(":")[0]) == ("ERROR", "kube_config.py")


def test_h31_a_credential_plugin_of_a_daemon_on_a_terminal_is_not_given_that_terminal(
    kube: KubeServer, tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    shown = bytearray()
    failed = threading.Event()

    def read() -> None:
        # The terminal is closed when the program has ended.
        with suppress(OSError):
            while part := os.read(ours, 65536):
                shown.extend(part)
                if b"Refresh failed" in shown:
                    failed.set()

    reader = threading.Thread(target=read)
    with Program(env=settings(tmp_path, kube, PLUGINS["fails"]), stdout=theirs) as program:
        os.close(theirs)
        reader.start()
        assert failed.wait(PATIENCE), bytes(shown)
        program.stop()
    reader.join(PATIENCE)
    os.close(ours)
    assert (tmp_path / "ran").exists()
    assert CANARY not in shown.decode() + program.stderr


@pytest.mark.parametrize("plugin", ["fails", "answers of another version"])
def test_h31_check_shows_nothing_of_it_either(kube: KubeServer, tmp_path: Path, plugin: str) -> None:
    with Program("alert_refresh", "check", env=settings(tmp_path, kube, PLUGINS[plugin])) as program:
        assert program.wait() == 1
    assert (tmp_path / "ran").exists()
    assert "targets from kubernetes: failed (auth)" in "".join(program.lines)
    assert "Logged by root; its text is not shown" in program.stderr
    assert CANARY not in "".join(program.lines) + program.stderr
