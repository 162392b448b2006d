"""An Alertmanager, a webhook that prints what arrives, the daemon between them, and what comes of a changed Secret.

Run it with `make demo-alertmanager`. Everything is on loopback, and gone when it ends.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
UNPACKED = ROOT / ".cache/alertmanager/usr"
TEMPLATES = "/usr/share/prometheus/alertmanager"
"""Where Debian's Alertmanager looks for its templates, whatever it is told."""
IN_PLACE = f"""
mount -t tmpfs none /usr/share
mkdir -p {TEMPLATES}
cp {UNPACKED}/share/prometheus/alertmanager/*.tmpl {TEMPLATES}
exec {UNPACKED}/bin/prometheus-alertmanager "$@"
"""
"""Starts the unpacked program with its templates in place, in a mount namespace that no other process sees."""
RULES = """\
rules:
- {id: critical, match: ['severity="critical"'], targets: [team-a, team-b]}
"""
PATIENCE = 30.0

arrived: list[tuple[str, list[str]]] = []
"""The path that was asked for, and the names of the alerts."""


class Webhook(BaseHTTPRequestHandler):
    """Prints each notification."""

    def do_POST(self) -> None:
        """Take it."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        names = [one["labels"]["alertname"] for one in body["alerts"]]
        arrived.append((self.path, names))
        print(f"  webhook: {', '.join(names)} arrived at {self.path}", flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def say(words: str) -> None:
    """A heading."""
    print(f"\n\033[1m# {words}\033[0m", flush=True)


def command() -> list[str]:
    """How Alertmanager is started: installed, or the package that `make tools` unpacked."""
    installed = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if installed and (Path(TEMPLATES).exists() or Path(installed).name == "alertmanager"):
        return [installed]
    inside = ["unshare", "--map-root-user", "--mount"]
    if not UNPACKED.exists() or subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        sys.exit("no Alertmanager here: install one (apt install prometheus-alertmanager), or run `make tools`")
    return [*inside, "sh", "-ec", IN_PLACE, "sh"]


def until(done: Any, what: str) -> None:
    """Wait for something that another process is about to do."""
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            sys.exit(f"{what} did not happen")
        time.sleep(0.02)


def get(path: str) -> Any:
    """What the daemon answers; None while it does not."""
    try:
        with urlopen(f"http://127.0.0.1:{HTTP}{path}") as answer:
            return json.load(answer)
    except OSError:
        return None


def curl(path: str, *fields: str) -> None:
    """Show a request as one would type it, and some fields of its answer."""
    print(f"$ curl -s http://127.0.0.1:{HTTP}{path}", flush=True)
    found = get(path)
    print(json.dumps({name: found[name] for name in fields}, indent=2), flush=True)


def secret(name: str, **changes: Any) -> None:
    """Apply the Secret of a target: write its manifest."""
    config = {"name": name, "type": "webhook", "format": "alertmanager", "url": f"{HOOK}/{name}"} | changes
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "monitoring", "labels": {"publishing-target": "true"}},
        "stringData": {"config": json.dumps(config)},
    }
    temporary = FOLDER / "targets" / f".{name}.tmp"
    temporary.write_text(json.dumps(manifest))
    temporary.rename(FOLDER / "targets" / f"{name}.yaml")
    print(f"$ kubectl apply -f {name}.yaml   # config: {json.dumps(config)}", flush=True)


def deliveries() -> dict[str, str]:
    """The delivery of each target."""
    found = get("/api/v2/publishing/targets") or {"targets": []}
    return {one["name"]: one["delivery"] for one in found["targets"]}


def settled(**wanted: str) -> None:
    """Wait until these targets are delivered so, and nothing is on its way."""
    until(lambda: all(deliveries().get(name) == one for name, one in wanted.items()), f"delivery {wanted}")
    until(lambda: get("/api/v2/alertmanager/status")["status"] == "success", "the refresh")


def alert(name: str, *paths: str) -> None:
    """An alert fires, and arrives at these paths."""
    print(f"$ amtool alert add {name} severity=critical", flush=True)
    body = json.dumps([{"labels": {"alertname": name, "severity": "critical"}}]).encode()
    began = time.monotonic()
    urlopen(Request(f"{SERVER}/api/v2/alerts", body, {"Content-Type": "application/json"})).close()
    until(lambda: {path for path, names in arrived if name in names} >= set(paths), f"{name} at {paths}")
    print(f"  after {time.monotonic() - began:.2f} s", flush=True)


def show() -> None:
    """The tour."""
    say("What was rendered from the template, two targets and one rule; credentials are masked")
    print("$ alert-refresh render", flush=True)
    subprocess.run([sys.executable, "-m", "alert_refresh", "render"], env=ENVIRON, check=True)
    say("An alert arrives at both targets of the rule")
    alert("DiskFull", "/team-a", "/team-b")
    say("The Secret of team-a gets another address: the next alert arrives there, without a restart or an edit")
    began = time.monotonic()
    secret("team-a", url=f"{HOOK}/team-a-moved")
    until(lambda: b"/team-a-moved" in (FOLDER / "alertmanager.yml").read_bytes(), "the new configuration")
    settled(**{"team-a": "ok"})
    print(
        f"  Alertmanager runs it, verified, {time.monotonic() - began:.2f} s after the Secret was applied", flush=True
    )
    alert("HighLatency", "/team-a-moved", "/team-b")
    say("The Secret of team-b is broken (not a URL): its last valid version goes on, and nothing stops")
    secret("team-b", url="not a url")
    until(lambda: get("/api/v2/publishing/targets/team-b")["state"] == "stale", "team-b being stale")
    curl("/api/v2/publishing/targets/team-b", "name", "state", "faults", "delivery")
    alert("NodeDown", "/team-a-moved", "/team-b")
    say("A target that this Alertmanager cannot deliver to is named, and left out; the others go on")
    secret("team-b", headers={"X-Team": "b"})
    settled(**{"team-b": "undeliverable"})
    curl("/api/v2/alertmanager/status", "status", "receivers", "undeliverable", "instances")
    alert("QueueFull", "/team-a-moved")
    say("Somebody edits the file that is written: it is written again")
    (FOLDER / "alertmanager.yml").write_text("route: {receiver: oops}\nreceivers: [{name: oops}]\n")
    until(lambda: b"team-a-moved" in (FOLDER / "alertmanager.yml").read_bytes(), "the file being written again")
    print("  done", flush=True)


def start_alertmanager() -> subprocess.Popen[bytes]:
    """Start it, and wait until it answers."""
    process = subprocess.Popen(
        [
            *command(),
            f"--config.file={FOLDER / 'alertmanager.yml'}",
            f"--storage.path={FOLDER / 'data'}",
            f"--web.listen-address={SERVER.removeprefix('http://')}",
            "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(answers, "Alertmanager's start")
    return process


def answers() -> bool:
    """Whether Alertmanager is ready."""
    try:
        urlopen(f"{SERVER}/-/ready").close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    HTTP, SERVER = port(), f"http://127.0.0.1:{port()}"
    hook = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    HOOK = f"http://127.0.0.1:{hook.server_port}"
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="alert-refresh-demo-") as folder:
        FOLDER = Path(folder)
        (FOLDER / "targets").mkdir()
        (FOLDER / "rules.yaml").write_text(RULES)
        template = (HERE / "alertmanager.yml").read_text()
        for slow, quick in (("group_wait: 30s", "group_wait: 0s"), ("group_interval: 5m", "group_interval: 1s")):
            template = template.replace(slow, quick)
        (FOLDER / "template.yml").write_text(template)
        ENVIRON = os.environ | {
            "TARGET_DIRECTORY": str(FOLDER / "targets"),
            "RULES_FILE": str(FOLDER / "rules.yaml"),
            "ALERTMANAGER_CONFIG_TEMPLATE": str(FOLDER / "template.yml"),
            "ALERTMANAGER_CONFIG_FILE": str(FOLDER / "alertmanager.yml"),
            "ALERTMANAGER_URL": SERVER,
            "ALERT_REFRESH_BIND": f"127.0.0.1:{HTTP}",
            "ALERT_REFRESH_LOG_LEVEL": "WARNING",
            "ALERT_REFRESH_LOG_FORMAT": "console",
            "PATH": f"{UNPACKED / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        say("Two targets; config/examples/alertmanager.yml is the template, with short timers for this demo")
        secret("team-a")
        secret("team-b")
        first = subprocess.run(
            [sys.executable, "-m", "alert_refresh", "render", "--reveal"],
            env=ENVIRON,
            capture_output=True,
            check=True,
        )
        (FOLDER / "alertmanager.yml").write_bytes(first.stdout)
        (FOLDER / "alertmanager.yml").chmod(0o600)
        server = start_alertmanager()
        daemon = subprocess.Popen([sys.executable, "-m", "alert_refresh", "serve"], env=ENVIRON)
        try:
            until(lambda: get("/api/v2/alertmanager/status"), "the daemon's start")
            settled(**{"team-a": "ok", "team-b": "ok"})
            show()
        finally:
            daemon.terminate()
            daemon.wait(30)
            server.terminate()
            server.wait(30)
