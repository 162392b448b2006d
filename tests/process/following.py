"""A client of the change feed, over TCP or a Unix socket: reads events one by one, and comes again where it was."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.process.program import PATIENCE

EVENTS = "/api/v2/events"


class Event(NamedTuple):
    """An event as it was received; a comment has no name."""

    name: str
    data: Any
    id: str


class UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self._path))


def connection_to(address: int | Path) -> HTTPConnection:
    """A connection to a port of this machine, or to a Unix socket."""
    if isinstance(address, Path):
        return UnixConnection(address)
    return HTTPConnection("127.0.0.1", address, timeout=PATIENCE)


class Reader:
    """One stream. As a context manager it disconnects in the end."""

    def __init__(self, address: int | Path, *, prefix: str = "", query: str = "", after: str = "") -> None:
        self.id = after
        self._connection = connection_to(address)
        headers = {"Last-Event-ID": after} if after else {}
        self._connection.request("GET", prefix + EVENTS + query, headers=headers)
        self.response = self._connection.getresponse()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()
        self._connection.close()

    def read(self) -> Event | None:
        """The next event or comment; None at the end of the stream."""
        fields: dict[str, str] = {}
        while line := self.response.readline().decode():
            if line == "\n":
                self.id = fields.get("id", self.id)
                return Event(fields.get("event", ""), json.loads(fields.get("data", "null")), self.id)
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value
        return None

    def read_until(self, name: str) -> Event:
        """The next event of this name."""
        while (event := self.read()) is not None:
            if event.name == name:
                return event
        raise AssertionError(f"the stream ended without {name}")
