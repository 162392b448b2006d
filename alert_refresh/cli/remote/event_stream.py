"""Server-sent events (HTML standard, section 9.2) read from a daemon, across lost connections too."""

from __future__ import annotations

import http.client
import json
import math
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from alert_refresh.cli import exits
from alert_refresh.cli.remote.client import Failed, pause

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from alert_refresh.cli.remote.client import Client

PATH = "/api/v2/events"
SILENCE = 45.0
"""Seconds without a byte, a heartbeat included, after which a connection counts as lost: three heartbeats."""
UP_TO_NOW = 60.0
"""Seconds that reading the events up to now may take."""
LONGEST_LINE = 16 * 1024 * 1024
FIRST_WAIT, LONGEST_WAIT = 2.0, 30.0
"""Seconds before connecting again; each next one is twice as long. The stream may name another first one."""


class Event(NamedTuple):
    """An event: its id, its name (`sync`, `published`, `refresh`), its data."""

    id: str
    name: str
    data: dict[str, Any]


class Lines:
    """Lines to events. `last_id` is the position to resume from, `retry` the seconds before connecting again."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = self._id = last_id
        self.retry = FIRST_WAIT
        self._name = ""
        self._data: list[str] = []

    def feed(self, line: bytes) -> Event | None:
        """Take one line; an empty one ends an event, which is returned unless it has no data.

        Raises:
            ValueError: the data is not a JSON object.
        """
        text = line.rstrip(b"\r\n").decode(errors="replace")
        if not text:
            return self._end()
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if field == "id" and value.isascii() and value.isprintable():  # it goes back in a header
            self._id = value
        elif field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry = min(int(value[:9]) / 1000, LONGEST_WAIT)
        return None

    def reset(self) -> None:
        """Forget an event that had not ended: it will come again."""
        self._name, self._data, self._id = "", [], self.last_id

    def _end(self) -> Event | None:
        name, data, self.last_id = self._name or "message", self._data, self._id
        self.reset()
        if not data:
            return None
        fields = json.loads("\n".join(data))
        if not isinstance(fields, dict):
            raise ValueError("the data of an event is not a JSON object")
        return Event(self.last_id, name, fields)


def follow(client: Client, query: Mapping[str, str], after: str, tell: Callable[[str], None]) -> Iterator[Event]:
    """Every event from now on, or after the one with that id. Lost connections are made again, and told.

    Raises:
        Failed: there was no connection at all, or the daemon refuses one for good.
    """
    lines, wait, reached = Lines(after), FIRST_WAIT, False
    while True:
        try:
            for event in read(client, query, lines):
                reached, wait = True, lines.retry
                yield event
            said, pause_for = "The stream has ended", wait
        except Failed as error:
            passing = error.exit_code in (exits.NO_ANSWER, exits.NOT_NOW) and not isinstance(error, Malformed)
            if not passing or not (reached or isinstance(error, Lost)):
                raise
            said, pause_for = error.format_message(), max(wait, error.retry_after or 0.0)
        reached = True
        tell(f"{said}; connecting again in {pause_for:g} s, after event {lines.last_id or 'none'}")
        pause(pause_for)
        wait = min(LONGEST_WAIT, max(wait, FIRST_WAIT) * 2)


def until_now(client: Client, after: str) -> Iterator[Event]:
    """The events after the one with that id, up to now; without an id one `sync`, which says what is served now.

    A `sync` is also the answer where events after that id are gone.

    Raises:
        Failed: there is no answer, or it ended before its time.
    """
    with closing(read(client, {}, Lines(), UP_TO_NOW)) as stream:
        now = next(stream, None)
    if now is None or now.name != "sync":
        raise Failed(f"{client.url} sent no position at the begin of its stream")
    if not after:
        yield now
        return
    if after == now.id:
        return
    for event in read(client, {}, Lines(after), UP_TO_NOW):
        yield event
        if event.name == "sync" or _number(event.id) >= _number(now.id):
            return
    raise Failed(f"The stream of {client.url} ended before it was read up to now")


class Lost(Failed):
    """Raised when a stream that had begun was lost."""


class Malformed(Failed):
    """Raised when an event is none of alert-refresh; it would come again."""

    def __init__(self, client: Client) -> None:
        super().__init__(f"{client.url} sent a malformed event, and is not alert-refresh")


def read(
    client: Client, query: Mapping[str, str], lines: Lines, limit: float = math.inf
) -> Generator[Event, None, None]:
    """The events of one stream, until it ends, or for `limit` seconds.

    Raises:
        Failed: there is none, or it is lost.
    """
    headers = {"Last-Event-ID": lines.last_id} if lines.last_id else {}
    lines.reset()
    with closing(client.stream(PATH, query, headers, SILENCE, limit)) as opened:
        while True:
            try:
                line = opened.response.readline(LONGEST_LINE)
                if not line:
                    return
                event = lines.feed(line)
            except (OSError, http.client.HTTPException):
                raise Lost(f"The connection to {client.url} was lost") from None
            except (ValueError, RecursionError):
                raise Malformed(client) from None
            if event is not None:
                yield event


def _number(position: str) -> int:
    """The number in an id such as `1764119223123.42`; -1 without one."""
    number = position.rpartition(".")[2]
    return int(number[:18]) if number.isascii() and number.isdigit() else -1
