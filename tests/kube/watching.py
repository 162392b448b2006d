"""Watches: a stream of events from exactly one resourceVersion on, with bookmarks, as the API server sends it.

As a real one (1.36, with its watch cache) it tells nothing that is not newer than the version that was asked for, also
no bookmark: an idle watch is silent until its time is over, and so is one from a version that is still to come.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tests.kube.api import query_of
from tests.kube.wire import chunked, failure

if TYPE_CHECKING:
    from tests.kube.server import Exchange
    from tests.kube.store import Query

DEFAULT_TIMEOUT = 1800


def serve(exchange: Exchange) -> bool:
    """Serve a watch until its time is over, the client leaves or the server closes."""
    request, wire = exchange.request, exchange.wire
    try:
        query = query_of(request)
        version = int(request.query.get("resourceVersion") or 0)
        until = time.monotonic() + float(request.query.get("timeoutSeconds") or DEFAULT_TIMEOUT)
    except ValueError as error:
        return wire.respond(failure(400, "BadRequest", str(error)))
    return _stream(exchange, query, version, until)


def _stream(exchange: Exchange, query: Query, version: int, until: float) -> bool:
    """Send the events after `version`, and bookmarks if they are requested."""
    store, wire = exchange.server.store, exchange.wire
    restored = store.restored
    wire.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
    bookmarks = exchange.request.query.get("allowWatchBookmarks") in ("1", "true")
    begun = version
    if version == 0:
        begun = _send_all(exchange, query)
    position, bookmark_at = min(begun, store.version), time.monotonic() + exchange.server.bookmark_interval
    while not wire.closing.is_set():
        with store.changed:
            if restored != store.restored:
                return False
            if position < store.oldest:
                expired = failure(410, "Expired", f"too old resource version: {position} ({store.oldest})")
                wire.send(chunked(b'{"type":"ERROR","object":' + expired.body().strip() + b"}\n"))
                break
            changes = store.since(position)
            if not changes:
                now = time.monotonic()
                if now >= until:
                    break
                next_at = min(until, bookmark_at) if bookmarks else until
                store.changed.wait(max(0.0, min(next_at - now, 1.0)))
        events = [change.event(query) for change in changes if change.version > begun]
        if changes:
            position = changes[-1].version
        lines = [b'{"type":"%b","object":%b}\n' % (event[0].encode(), event[1].whole()) for event in events if event]
        if lines:
            wire.send(b"".join(chunked(line) for line in lines))
        if bookmarks and time.monotonic() >= bookmark_at:
            bookmark_at = time.monotonic() + exchange.server.bookmark_interval
            if position > begun:
                wire.send(chunked(bookmark(position)))
    wire.send(b"0\r\n\r\n")
    return True


def bookmark(version: int) -> bytes:
    """A BOOKMARK event."""
    metadata = {"resourceVersion": str(version), "creationTimestamp": None}
    event = {"type": "BOOKMARK", "object": {"kind": "Secret", "apiVersion": "v1", "metadata": metadata}}
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def _send_all(exchange: Exchange, query: Query) -> int:
    """What a watch without a resourceVersion gets first: everything there is, as ADDED."""
    known = exchange.server.store.at()
    assert known is not None
    version, everything = known
    for stored in everything:
        if stored.matches(query):
            exchange.wire.send(chunked(b'{"type":"ADDED","object":' + stored.whole() + b"}\n"))
    return version
