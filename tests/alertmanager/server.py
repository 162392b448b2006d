"""A real Alertmanager for tests: Debian's binaries, what they answer, and what stands between them and the daemon."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.ports import lasting_port
from tests.process.program import PATIENCE, eventually

if TYPE_CHECKING:
    from typing import Self

CACHE = Path(__file__).parents[2] / ".cache"
UNPACKED = CACHE / "alertmanager/usr"
"""Alertmanager of Debian 12: 0.25."""
NEWER = CACHE / "alertmanager-newer/usr"
"""Alertmanager of Debian 13: 0.28."""
TEMPLATES = "/usr/share/prometheus/alertmanager"
"""Where Debian's programs look for their templates, whatever they are told."""
CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


def command(unpacked: Path = UNPACKED) -> list[str]:
    """How the program of a package is started; skips the test where there is none.

    An unpacked one has its templates in place, seen by no other process.
    """
    installed = shutil.which("prometheus-alertmanager")
    if installed and Path(TEMPLATES).exists() and unpacked == UNPACKED:
        return [installed]
    inside = ["unshare", "--map-root-user", "--mount"]
    if not unpacked.exists() or subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("Alertmanager is not here")
    in_place = f"""
        mount -t tmpfs none /usr/share
        mkdir -p {TEMPLATES}
        cp {unpacked}/share/prometheus/alertmanager/*.tmpl {TEMPLATES}
        exec {unpacked}/bin/prometheus-alertmanager "$@"
    """
    return [*inside, "sh", "-ec", in_place, "sh"]


class Alertmanager:
    """A server of its own on a free port, without peers; its file is `folder / "alertmanager.yml"`.

    After `stop` or `kill` it may be started again, on another port. `url` is where it is now.
    """

    def __init__(self, folder: Path, unpacked: Path = UNPACKED) -> None:
        self.folder = folder
        self._unpacked = unpacked
        self.file = folder / "alertmanager.yml"
        if not self.file.exists():
            self.file.write_text(CONFIG)
        self._log = folder / "alertmanager.log"
        self.start()

    def start(self) -> None:
        """Start it with what is in the file."""
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *command(self._unpacked),
                    f"--config.file={self.file}",
                    f"--storage.path={self.folder / 'data'}",
                    "--web.listen-address=127.0.0.1:0",
                    "--cluster.listen-address=",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        assert eventually(lambda: self._address() is not None), self._log.read_text()
        self.url = f"http://{self._address()}"

    def stop(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(PATIENCE)

    def reset(self) -> None:
        """Run the plain configuration again, from a file that is alone in its folder."""
        if self.process.poll() is not None:
            self.start()
        for one in self.folder.glob("*.previous"):
            one.unlink()
        self.file.unlink(missing_ok=True)
        self.file.write_text(CONFIG)
        self.file.chmod(0o600)
        urlopen(Request(f"{self.url}/-/reload", method="POST"), timeout=PATIENCE).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that fire now."""
        with urlopen(f"{self.url}/api/v2/alerts", timeout=PATIENCE) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def send(self, **labels: str) -> None:
        """An alert with these labels fires."""
        body = json.dumps([{"labels": labels}]).encode()
        request = Request(f"{self.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
        urlopen(request, timeout=PATIENCE).close()

    def metric(self, name: str) -> str | None:
        """The value of a metric, as text."""
        with urlopen(f"{self.url}/metrics", timeout=PATIENCE) as answer:
            found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
        return found and found[1]

    def receivers(self) -> list[str]:
        """The names of the receivers that it runs."""
        with urlopen(f"{self.url}/api/v2/receivers", timeout=PATIENCE) as answer:
            return [one["name"] for one in json.load(answer)]

    def _address(self) -> str | None:
        found = re.search(r'"?Listening on"? address=(\S+)', self._log.read_text())
        return found and found[1]


class _Handler(BaseHTTPRequestHandler):
    """Answers of a `Server`."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Answer as the server is told to."""
        server = self.server
        assert isinstance(server, Server)
        length = int(self.headers.get("Content-Length") or 0)
        status, body = server.handle_one(self.command, self.path, self.rfile.read(length), dict(self.headers))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    do_GET = do_POST = answer  # noqa: N815 - the names that the library calls

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """An HTTP server on a free loopback port, in threads."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def handle_one(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no news."""


class Webhook(Server):
    """Receives notifications. `got` are their paths and bodies, with the time (monotonic) at which each arrived;
    `headers` are those of each.
    """

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any], float]] = []
        self.headers: list[dict[str, str]] = []
        super().__init__()

    def handle_one(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        self.headers.append(headers)
        self.got.append((path, json.loads(body), time.monotonic()))
        return 200, b""

    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [path for path, _, _ in self.got]


class Between(Server):
    """Between the daemon and Alertmanager, on an address that stays. `asked` are the requests so far.

    `answers` maps a path to the status and the body that it answers with instead; `delay` holds back each answer to
    POSTs for so many seconds. Without an Alertmanager the connection ends.
    """

    def __init__(self, alertmanager: Alertmanager) -> None:
        self.alertmanager = alertmanager
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.tokens: list[str | None] = []
        self.delay = 0.0
        self.let_go = threading.Event()
        super().__init__()

    def handle_one(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        self.asked.append((method, path))
        self.tokens.append(headers.get("Authorization"))
        if method == "POST" and self.delay:
            self.let_go.wait(self.delay)
        if (told := self.answers.get(path, self.answers.get("*"))) is not None:
            return told
        connection = HTTPConnection(urlsplit(self.alertmanager.url).netloc, timeout=PATIENCE)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def count(self, method: str, path: str) -> int:
        """How often that was asked for."""
        return self.asked.count((method, path))

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        super().__exit__()


def closed_port() -> int:
    """A loopback port on which nobody listens, nor begins to."""
    return lasting_port()
