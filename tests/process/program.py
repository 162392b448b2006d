"""Runs the program as a process: its log lines, its port, its signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

from tests import openapi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds a test waits for what should happen immediately: the machine may be busy."""
SOON = 20.0
"""Seconds within which a program stops that waits for nothing; the shutdown timeout is longer by default."""
SLOW_MACHINE = 12.0
"""Seconds added to a bound; the shutdown timeout, which is the next thing to end a program, is longer by default."""
KEPT = ("PATH", "HOME", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE", "LATE", "LD_LIBRARY_PATH")

Line = dict[str, Any]


class Program:
    """A running program; as a context manager it is stopped at the end if it is still running.

    `arguments` are what follows `python -m`. Standard output is read by a thread, or is `stdout` if given.
    A `bare` one runs without what measures test coverage. `root` is the checkout that it is run from.
    """

    def __init__(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        stdout: int | None = None,
        bare: bool = False,
        root: Path = ROOT,
    ) -> None:
        kept = [name for name in KEPT if not (bare and name.startswith("COVERAGE"))]
        environ = {name: os.environ[name] for name in kept if name in os.environ}
        path = os.pathsep.join([str(root), *([str(ROOT / "tests/late")] if "LATE" in environ else [])])
        environ |= {"ALERT_REFRESH_BIND": "127.0.0.1:0", "PYTHONPATH": path} | dict(env or {})
        self.process = subprocess.Popen(
            [sys.executable, "-m", *(arguments or ("alert_refresh",))],
            env=environ,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._has_more_routes = bool(arguments) and arguments[0] != "alert_refresh"
        self.fixed_port: int | None = None
        self.lines: list[str] = []
        self.stderr = ""
        self._news = threading.Condition()
        self._ended = stdout is not None
        self._readers = [threading.Thread(target=self._read_errors, daemon=True)]
        if stdout is None:
            self._readers.append(threading.Thread(target=self._read, daemon=True))
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
        if self.process.poll() is None:
            self.process.kill()
        self.wait()

    # Log lines

    @property
    def log(self) -> list[Line]:
        """The lines so far, each of them one JSON object."""
        return [json.loads(line) for line in list(self.lines)]

    def find(self, message: str) -> list[Line]:
        """The lines so far whose message begins like this."""
        return [line for line in self.log if line["message"].startswith(message)]

    def wait_for(self, message: str, count: int = 1) -> Line:
        """The `count`-th line whose message begins like this, once it was logged."""
        with self._news:
            self._news.wait_for(lambda: self._ended or len(self.find(message)) >= count, PATIENCE)
        found = self.find(message)
        assert len(found) >= count, f"no {message!r} in {self.lines} {self.stderr}"
        return found[count - 1]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.stderr = self.process.stderr.read()

    # HTTP

    @property
    def port(self) -> int:
        """The port it serves on, once it does."""
        if self.fixed_port is not None:
            return self.fixed_port
        return int(self.wait_for("Serving")["address"][0].rpartition(":")[2])

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of a request on a connection of its own; `openapi.json` must describe the answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            asked = unquote(path.partition("?")[0])
            if not self._has_more_routes or openapi.template_of(asked):
                openapi.check(method, asked, answer.status, answer.getheaders(), body)
            is_json = answer.headers["Content-Type"].startswith("application/json")
            return answer.status, dict(answer.headers), json.loads(body) if is_json and body else body
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether `/healthz` answers 200."""
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def connect(self) -> socket.socket:
        """A plain connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    # Processes and signals

    def send(self, number: signal.Signals) -> float:
        """Send a signal; returns the time just before."""
        now = time.monotonic()
        self.process.send_signal(number)
        return now

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal and wait for the end; returns the seconds it took."""
        began = self.send(number)
        self.wait()
        return time.monotonic() - began

    def wait(self) -> int:
        """The exit status, once the process and its output have ended."""
        try:
            status = self.process.wait(PATIENCE * 2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        for reader in self._readers:
            reader.join(PATIENCE)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return status

    def proc(self, name: str) -> str:
        """A file of the process in /proc."""
        return Path(f"/proc/{self.process.pid}/{name}").read_text()

    def fds(self) -> int:
        """How many files it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def sockets(self) -> int:
        """How many sockets it has open, the listening one among them; others may be closed while one counts."""
        found = 0
        for one in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                found += str(one.readlink()).startswith("socket:")
        return found

    def threads(self) -> int:
        """How many threads it has."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))


def eventually(true: Callable[[], bool], seconds: float = PATIENCE, every: float = 0.02) -> bool:
    """Poll until a condition in another process is true; there is no event to wait for."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        threading.Event().wait(every)
    return True


def raw(program: Program, data: bytes) -> bytes:
    """Everything the server answers to these bytes, until it closes."""
    with program.connect() as client:
        client.sendall(data)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    """The bytes received until the server closes."""
    found = bytearray()
    with suppress(ConnectionResetError):
        while part := client.recv(65536):
            found += part
    return bytes(found)
