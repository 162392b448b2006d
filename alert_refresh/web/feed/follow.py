"""Requests that wait until something changes: blocking queries, and streams of events. Each holds a thread."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flask import request

from alert_refresh.engine import Deadline
from alert_refresh.observe.feed import TooManyFollowers
from alert_refresh.web import query
from alert_refresh.web.errors import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import Worker
    from alert_refresh.observe.feed import Follower

WAIT_LIMIT = 60.0
"""The maximum of `?wait=`, in seconds."""
FULL_RETRY = 5.0
"""Seconds to stay away while as many wait as may."""
WHEN_GONE = "alert_refresh.when_gone"
"""What the server puts into the environment of a request: called with what to call when the client disconnects."""
BLOCKING = ("generation", "wait")
"""The query parameters of a blocking query."""


def begin(daemon: Daemon, after: str = "", *, streams: bool = False) -> Follower:
    """A follower for the current request, from the event after the one with that id; close it in the end.

    `streams` says that it sends its response bit by bit.

    Raises:
        ApiError: 503, as many follow as may.
    """
    try:
        follower = daemon.feed.follow(after)
    except TooManyFollowers:
        most = daemon.config.max_streams
        message = f"As many requests wait for changes already as ALERT_REFRESH_MAX_STREAMS allows: {most}"
        raise ApiError(503, message, error="too_many_streams", retry_after=FULL_RETRY) from None
    when_gone = request.environ.get(WHEN_GONE)
    if when_gone is not None:
        when_gone(follower.leave, streams=streams)
    return follower


@contextmanager
def following(daemon: Daemon) -> Iterator[Follower]:
    """As `begin`, and closes the follower."""
    follower = begin(daemon)
    try:
        yield follower
    finally:
        follower.close()


def wait_until(daemon: Daemon, over: Callable[[], bool], seconds: float) -> None:
    """Wait for `over`, which an event brings about, at most so many seconds; also until a stop, or the client is gone.

    Raises:
        ApiError: 503, as many follow as may.
    """
    if over():
        return
    with following(daemon) as follower:
        until = Deadline(daemon.clock, seconds)
        while not over() and not follower.over and until.remaining() > 0:
            daemon.clock.wait(follower.news, until.remaining())
            follower.news.clear()


def wait_for_change(daemon: Daemon, kind: str) -> None:
    """Wait as `?generation=N&wait=30s` asks: until the generation that is served is not N. Without them do not wait.

    Raises:
        ApiError: 400, a parameter is invalid; 503, as many wait as may.
    """
    generation, seconds = query.number("generation"), query.duration("wait", WAIT_LIMIT)
    if seconds is not None and generation is None:
        raise bad_request("Query parameter wait needs generation")
    worker = daemon.workers.get(kind)
    if generation is not None and seconds is not None and worker is not None:
        wait_until(daemon, lambda: generation_of(worker) != generation, seconds)


def generation_of(worker: Worker[Any]) -> int:
    """The generation that is served; 0 before the first, so that a client can wait for that one too."""
    snapshot = worker.get_status().snapshot
    return 0 if snapshot is None else snapshot.generation
