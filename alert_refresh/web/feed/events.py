"""`GET /api/v2/events`: the change feed as a stream of server-sent events (HTML standard, 9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from flask import Blueprint, g, request

from alert_refresh import daemon as kinds
from alert_refresh.engine import Deadline
from alert_refresh.web import query
from alert_refresh.web.answers import JsonResponse
from alert_refresh.web.errors import bad_request
from alert_refresh.web.feed import follow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from alert_refresh.daemon import Daemon
    from alert_refresh.observe.feed import Follower

HEARTBEAT = 15.0
"""Seconds of silence after which a comment shows that the connection is alive."""
RETRY = b"retry: 2000\n\n"
"""Milliseconds after which a browser connects again."""
CONTENT_TYPE = "text/event-stream; charset=utf-8"
UNBUFFERED = {"X-Accel-Buffering": "no"}
"""Makes nginx pass each event on at once."""


def build(daemon: Daemon) -> Blueprint:
    """The blueprint of the stream."""
    blueprint = Blueprint("events", __name__)

    @blueprint.get("/api/v2/events")
    def events() -> JsonResponse:
        """The change feed as server-sent events; ?kinds=targets,rules restricts it, Last-Event-ID resumes it."""
        query.only("kinds")
        wanted = _kinds()
        after = request.headers.get("Last-Event-ID", "").strip()
        if request.method == "HEAD":
            return JsonResponse(iter(()), content_type=CONTENT_TYPE, headers=UNBUFFERED)
        follower = follow.begin(daemon, after, streams=True)
        streamed = _stream(daemon, follower, wanted, resumed=bool(after))
        response = JsonResponse(streamed, content_type=CONTENT_TYPE, headers=UNBUFFERED)
        response.call_on_close(follower.close)
        g.follower = follower
        return response

    @blueprint.teardown_request
    def give_back(error: BaseException | None) -> None:
        """The response is not sent, and so not closed, if something raised after it was made."""
        follower = g.pop("follower", None)
        if error is not None and follower is not None:
            follower.close()

    return blueprint


def _stream(daemon: Daemon, follower: Follower, wanted: Collection[str], *, resumed: bool) -> Iterator[bytes]:
    """The stream, until the client is gone or the daemon stops."""
    yield RETRY
    if not resumed:
        yield _sync(daemon, follower)
    silence = Deadline(daemon.clock, HEARTBEAT)
    while not follower.over:
        follower.news.clear()
        events = follower.take()
        text = b"".join(event.text for event in events if event.kind in wanted)
        if follower.missed:
            text = _sync(daemon, follower)
            follower.missed = False
        elif not text and silence.remaining() <= 0:
            # The id is that of the last event, also if that one was not wanted.
            text = b": ping\nid: %s\n\n" % follower.id.encode()
        if text:
            yield text
            silence = Deadline(daemon.clock, HEARTBEAT)
        elif not events:
            daemon.clock.wait(follower.news, silence.remaining())


def _sync(daemon: Daemon, follower: Follower) -> bytes:
    """An event that says from where the stream goes on: the generations that are served now, or later ones."""
    at = follower.id.encode()
    data = msgspec.json.encode({"generations": daemon.feed.generations(), "missed": follower.missed})
    return b"id: %s\nevent: sync\ndata: %s\n\n" % (at, data)


def _kinds() -> Collection[str]:
    """The query parameter `kinds`: names of kinds, separated by commas.

    Raises:
        ApiError: 400, one of them is no kind.
    """
    known = [kind.name for kind in kinds.KINDS]
    given = query.one("kinds")
    if given is None:
        return known
    wanted = given.split(",")
    if not set(wanted) <= set(known):
        raise bad_request(f"Query parameter kinds must be some of {', '.join(known)}, separated by commas")
    return wanted
