"""A daemon for tests of the commands: a server that answers as its script says, byte by byte if need be."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from click.testing import CliRunner

from alert_refresh.cli.main import main

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from click.testing import Result

    Script = Callable[["Asked"], "bytes | Iterable[bytes]"]

PATIENCE = 60.0
REQUEST_ID = "49bbf8ac-2e49-4dc6-b2d0-8cdb8d8c1e9b"
TLS = b"\x16"
"""The first byte of a client that speaks TLS; servers that do not answer it so."""
DATE = "Thu, 26 Nov 2026 01:02:03 GMT"
"""What the clock of the daemon shows."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that arrived; `path` has the query."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def answer(fields: Any, status: int = 200, **headers: str) -> bytes:
    """An answer in JSON."""
    return raw(json.dumps(fields).encode(), status, **{"Content_Type": "application/json; charset=utf-8"} | headers)


def refusal(status: int, error: str, message: str = "No", **headers: str) -> bytes:
    """An error as the daemon answers it."""
    return answer({"error": error, "message": message, "request_id": REQUEST_ID}, status, **headers)


def raw(body: bytes, status: int = 200, **headers: str) -> bytes:
    """An answer with any body; `_` in the names of headers is `-`."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", f"Date: {DATE}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"


def event(number: int, name: str, **data: Any) -> bytes:
    """An event of the stream of process 1764119223123."""
    return f"id: 1764119223123.{number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()


class Stub:
    """A server at a free port, or at `path`. `script` makes the answer to a request: one piece, or several in turn.

    Each connection carries one request, as those of the commands do.
    """

    def __init__(
        self, script: Script, *, tls: ssl.SSLContext | None = None, path: Path | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.asked: list[Asked] = []
        self._script = script
        self._tls = tls
        if path is not None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(str(path))
            self.url = f"unix:{path}"
        else:
            self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            self._socket.bind((host, 0))
            shown = f"[{host}]" if ":" in host else host
            self.url = f"{'https' if tls else 'http'}://{shown}:{self._socket.getsockname()[1]}"
        self._socket.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(PATIENCE)

    @property
    def paths(self) -> list[str]:
        """The requests so far, as `GET /path`."""
        return list(map(str, self.asked))

    def run(self, *arguments: str, **env: str) -> Result:
        """Run a command that asks this server."""
        return run(*arguments, ALERT_REFRESH_URL=self.url, **env)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            elif connection.recv(1, socket.MSG_PEEK) == TLS:
                connection.recv(65536)
                connection.sendall(raw(b"", 400))
            with connection:
                asked = read(connection)
                if asked is None:
                    return
                self.asked.append(asked)
                found = self._script(asked)
                for part in (found,) if isinstance(found, bytes) else found:
                    connection.sendall(part)
        connection.close()


def read(connection: socket.socket) -> Asked | None:
    """The request that a client sends, whole; None if it ends before."""
    with connection.makefile("rb") as stream:
        first = stream.readline().decode(errors="replace").split()
        if len(first) != 3:
            return None
        headers = {}
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.decode(errors="replace").partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
    return Asked(first[0], first[1], headers, body)


def run(*arguments: str, **env: str) -> Result:
    """Run a command in this process, with no variable of ours but these."""
    ours = (
        "ALERT_REFRESH_URL",
        "ALERT_REFRESH_BIND",
        "ALERT_REFRESH_CLIENT_TOKEN_FILE",
        "ALERT_REFRESH_ADMIN_TOKEN_FILE",
    )
    unset: dict[str, str | None] = dict.fromkeys(ours)
    return CliRunner(env=unset | env).invoke(main, arguments, prog_name="alert-refresh")


def by_path(answers: Mapping[str, bytes]) -> Script:
    """A script that answers `GET /path`, whatever its query; anything else is a 404."""

    def script(asked: Asked) -> bytes:
        found = answers.get(str(asked)) or answers.get(f"{asked.method} {asked.path.partition('?')[0]}")
        return found or refusal(404, "not_found", "There is nothing at this address")

    return script
