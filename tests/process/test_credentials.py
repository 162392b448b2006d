"""The drop-in of docs/install.md: systemd finds it valid, and the program takes every credential that it hands over."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.kube import KubeServer, fill, kubeconfig
from tests.observe.notify.hooks import Hook
from tests.postgres import hierarchy
from tests.process.program import ROOT, Program

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = (ROOT / "docs" / "install.md").read_text()
DROP_IN, SERVICE = re.findall(r"```ini\n(.+?)```", INSTALL, re.DOTALL)
UNIT = ROOT / "systemd" / "alert-refresh.service"
CANARY = "c4n4ry-of-a-credential"
TARGETS = "/api/v2/publishing/targets"


def environment(credentials: Path) -> dict[str, str]:
    """The variables that the drop-in sets, with the folder that systemd would put in the place of `%d`."""
    lines = re.findall(r"^Environment=([A-Z_]+)=(.+)$", DROP_IN, re.MULTILINE)
    return {name: value.replace("%d", str(credentials)) for name, value in lines}


def test_every_credential_that_is_loaded_is_used_and_every_setting_for_a_file_is_there() -> None:
    loaded = dict(re.findall(r"^LoadCredential=(\S+?):(/etc/alert-refresh/\S+)$", DROP_IN, re.MULTILINE))
    assert all(path.endswith(f"/{name}") for name, path in loaded.items())
    used = {
        value.removeprefix("%d/"): name for name, value in re.findall(r"^Environment=(\w+)=(%d/.+)$", DROP_IN, re.M)
    }
    assert set(used) == set(loaded)
    settings = (ROOT / "config" / "alert-refresh.env").read_text()
    files = set(re.findall(r"^#?([A-Z_]+_(?:TOKEN|URL|KEY)_FILE)=", settings, re.MULTILINE))
    files.discard("ALERT_REFRESH_CLIENT_TOKEN_FILE")  # for commands, not for the service
    assert len(files) >= 4 and files <= set(used.values())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_with_the_drop_in_is_valid_and_no_more_exposed(tmp_path: Path) -> None:
    folder = tmp_path / f"{UNIT.name}.d"
    folder.mkdir()
    (folder / "credentials.conf").write_text(DROP_IN)
    text = UNIT.read_text().replace("/opt/alert-refresh/bin/alert-refresh", "/bin/true")
    (tmp_path / UNIT.name).write_text(text)
    verify = subprocess.run(["systemd-analyze", "verify", tmp_path / UNIT.name], capture_output=True, text=True)
    assert [line for line in verify.stderr.splitlines() if UNIT.name in line] == []
    (folder / "credentials.conf").write_text(DROP_IN + "LoadCredentials=x:/y\n")
    verify = subprocess.run(["systemd-analyze", "verify", tmp_path / UNIT.name], capture_output=True, text=True)
    assert "LoadCredentials" in verify.stderr, "a mistake in the drop-in would be found"


@pytest.mark.parametrize("mode", [0o400, 0o440], ids=["owner", "access-control-list"])
def test_the_program_takes_its_credentials_as_systemd_hands_them_over(mode: int, tmp_path: Path) -> None:
    """With an access control list, as some versions set it, the mode shows the group too."""
    credentials, state = tmp_path / "credentials", tmp_path / "state"
    credentials.mkdir()
    state.mkdir(mode=0o700)
    database = hierarchy()
    service = SERVICE.replace("db.example.org", str(database.server.folder)).replace("owners", database.name)
    service = service.replace("refresher", "postgres").replace("...", CANARY)
    with KubeServer() as kube, Hook(200) as hook:
        fill(kube.store, 2)
        kubeconfig(credentials / "kubeconfig", kube.url)
        (credentials / "admin-token").write_text(f"{CANARY}-admin\n")
        (credentials / "read-token").write_text(f"{CANARY}-read\n")
        (credentials / "snapshot.key").write_bytes(os.urandom(32))
        (credentials / "notify-url").write_text(f"{hook.url}\n")
        (credentials / "pg_service.conf").write_text(service)
        for one in credentials.iterdir():
            one.chmod(mode)
        environ = environment(credentials) | {"STATE_DIRECTORY": str(state)}
        try:
            with Program(env=environ) as program:
                program.wait_for("Views refreshed successfully")
                program.wait_for("Targets refreshed successfully")
                assert program.get(f"{TARGETS}/refresh", "POST")[0] == 401
                admin = f"Bearer {CANARY}-admin"
                assert program.get(f"{TARGETS}/refresh?wait=60s", "POST", Authorization=admin)[0] == 200
                assert program.get(f"{TARGETS}?reveal=true", Authorization=f"Bearer {CANARY}-read")[0] == 200
                program.stop()
            assert CANARY not in "\n".join(program.lines)
            assert b"https://" not in (state / "snapshot-targets").read_bytes(), "it is encrypted"
        finally:
            database.drop()
