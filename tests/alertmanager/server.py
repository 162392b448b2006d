"""A real Alertmanager for tests: Debian's binary, and what it answers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from tests.process.program import PATIENCE, eventually

if TYPE_CHECKING:
    from typing import Self

UNPACKED = Path(__file__).parents[2] / ".cache/alertmanager/usr"
TEMPLATES = "/usr/share/prometheus/alertmanager"
"""Where Debian's program looks for its templates, whatever it is told."""
IN_PLACE = f"""
mount -t tmpfs none /usr/share
mkdir -p {TEMPLATES}
cp {UNPACKED}/share/prometheus/alertmanager/*.tmpl {TEMPLATES}
exec {UNPACKED}/bin/prometheus-alertmanager "$@"
"""
"""Starts the unpacked program with its templates in place, seen by no other process."""
CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


def command() -> list[str]:
    """How the program of Debian's package is started; skips the test where there is none."""
    if installed := shutil.which("prometheus-alertmanager"):
        return [installed]
    inside = ["unshare", "--map-root-user", "--mount"]
    if not UNPACKED.exists() or subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("Alertmanager is not here")
    return [*inside, "sh", "-ec", IN_PLACE, "sh"]


class Alertmanager:
    """A server of its own on a free port, without peers."""

    def __init__(self, folder: Path) -> None:
        (folder / "alertmanager.yml").write_text(CONFIG)
        self._log = folder / "alertmanager.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *command(),
                    f"--config.file={folder / 'alertmanager.yml'}",
                    f"--storage.path={folder / 'data'}",
                    "--web.listen-address=127.0.0.1:0",
                    "--cluster.listen-address=",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        assert eventually(lambda: self._address() is not None), self._log.read_text()
        self.url = f"http://{self._address()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that fire now."""
        with urlopen(f"{self.url}/api/v2/alerts", timeout=PATIENCE) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def _address(self) -> str | None:
        found = re.search(r'"?Listening on"? address=(\S+)', self._log.read_text())
        return found and found[1]
