"""The program on every Python of this machine, installed by the Makefile while every dependency has a newer release.

    python tests/smoke.py

For each `python3.N` from 3.11 on: a copy of the tree's tracked files, the run-time lock, `check`, `serve`, two
requests, SIGTERM. Then, with the first of them, the complete lock. The newer releases are empty wheels of version 9999,
one for each locked name, in a folder that pip looks into as well. Exit status 1: something does not work.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

ROOT = Path(__file__).parent.parent
OLDEST = 11
PATIENCE = 60.0
"""Seconds for the program to serve, and to end."""
NEWER = "9999.0"
STATUS = "/api/v2/publishing/targets/status"
EXAMPLES = {
    "ALERT_REFRESH_BIND": "127.0.0.1:0",
    "TARGET_DIRECTORY": "config/examples/targets",
    "RULES_FILE": "config/examples/rules.yaml",
}


def interpreters() -> dict[str, Path]:
    """Each Python 3 from 3.11 on that can make a virtual environment, by its version such as `3.12`."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders += sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.*/bin"))
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.glob("python3.*")):
            minor = re.fullmatch(r"python3\.(\d+)", file.name)
            if minor and int(minor[1]) >= OLDEST and f"3.{minor[1]}" not in found and _works(file):
                found[f"3.{minor[1]}"] = file
    return dict(sorted(found.items(), key=lambda item: int(item[0].removeprefix("3."))))


def _works(python: Path) -> bool:
    """Whether it runs (a shim of pyenv may not) and has what `venv` needs (Debian packages that apart)."""
    return subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True).returncode == 0


def newer_releases(folder: Path) -> int:
    """Put an empty wheel of a newer version of every locked package into the folder; returns how many."""
    lock = (ROOT / "requirements-dev.lock").read_text()
    names = re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)
    for name in names:
        escaped = re.sub(r"[-_.]+", "_", name).lower()
        info = f"{escaped}-{NEWER}.dist-info"
        with zipfile.ZipFile(folder / f"{escaped}-{NEWER}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {NEWER}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return len(names)


def copy(folder: Path) -> None:
    """The tracked files of the tree, as a clone has them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)  # the pages of docs/ are a link in the package


def make(tree: Path, target: str, python: Path, wheels: Path) -> None:
    """Run a target of the Makefile where pip also finds what is in `wheels`."""
    links = " ".join(filter(None, (os.environ.get("PIP_FIND_LINKS", ""), str(wheels))))
    subprocess.run(
        ["make", "-s", target, f"PYTHON={python}"],
        cwd=tree,
        env=os.environ | {"PIP_FIND_LINKS": links},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def serve(tree: Path) -> None:
    """Check, serve, ask, stop."""
    environ = {"PATH": os.environ["PATH"], **EXAMPLES}
    program = str(tree / ".venv/bin/alert-refresh")
    subprocess.run([program, "check"], cwd=tree, env=environ, stdout=subprocess.DEVNULL, check=True)
    with subprocess.Popen([program, "serve"], cwd=tree, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        guard = threading.Timer(PATIENCE, process.kill)
        guard.start()
        try:
            address = _address(process.stdout)
            threading.Thread(target=process.stdout.read, daemon=True).start()
            assert _get(address, "/healthz")["status"] == "ok"
            while (status := _get(address, STATUS))["status"] != "success":
                time.sleep(0.05)
            assert status["targets_valid"] == 4, status
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0, process.returncode
        finally:
            guard.cancel()
            process.kill()


def _address(log: IO[str]) -> str:
    for line in log:
        if (fields := json.loads(line))["message"] == "Serving":
            return str(fields["address"][0])
    raise RuntimeError("the program ended before it served")


def _get(address: str, path: str) -> Any:
    with urlopen(f"http://{address}{path}", timeout=PATIENCE) as answer:
        return json.load(answer)


def main() -> None:
    """Try every interpreter, and say for each that it works."""
    found = interpreters()
    assert found, "no Python 3.11 or newer with venv on this machine"
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder) / "wheels"
        wheels.mkdir()
        print(f"{newer_releases(wheels)} packages have a release {NEWER} in this index", flush=True)
        for version, python in found.items():
            tree = Path(folder) / version
            copy(tree)
            make(tree, ".venv/run", python, wheels)
            serve(tree)
            print(f"Python {version}: installed, checked, served, stopped", flush=True)
        first, python = next(iter(found.items()))
        make(Path(folder) / first, "install", python, wheels)
        print(f"Python {first}: the complete lock is installed", flush=True)


if __name__ == "__main__":
    main()
