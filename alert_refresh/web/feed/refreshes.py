"""`GET /api/v2/refreshes`: what became of the last refreshes, and of those that are queued or running."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask import Blueprint

from alert_refresh import daemon as kinds
from alert_refresh.engine import Trigger
from alert_refresh.web import query
from alert_refresh.web.answers import answer
from alert_refresh.web.errors import ApiError, bad_request
from alert_refresh.web.feed import follow
from alert_refresh.web.feed.rows import RESULTS, described, find, is_over, rows

if TYPE_CHECKING:
    from alert_refresh.daemon import Daemon
    from alert_refresh.web.answers import JsonResponse

PREFIX = "/api/v2/refreshes"
LIMIT, MOST = 100, 1000
"""Refreshes in one answer: by default, and at most."""
UNIX = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
CURSOR = re.compile(r"([0-9]{1,16})\.([0-9]{1,12})")


def build(daemon: Daemon) -> Blueprint:
    """The blueprint of everything below `/api/v2/refreshes`."""
    blueprint = Blueprint("refreshes", __name__, url_prefix=PREFIX)

    @blueprint.get("")
    def listing() -> JsonResponse:
        """The last refreshes, newest first; ?kind=, ?result=, ?trigger=, ?since=TIME, ?limit=100, ?cursor=."""
        return answer(_page(daemon))

    @blueprint.get("/<request_id>")
    def one(request_id: str) -> JsonResponse:
        """One refresh, with the difference that it made; ?wait=30s answers when it is over."""
        query.only("wait")
        seconds = query.duration("wait", follow.WAIT_LIMIT)
        if seconds is not None:
            follow.wait_until(daemon, lambda: is_over(find(daemon, request_id)), seconds)
        row = find(daemon, request_id)
        if row is None:
            raise ApiError(404, "There is no refresh with this id among those that are remembered")
        return answer(described(row))

    return blueprint


def _page(daemon: Daemon) -> dict[str, Any]:
    """The refreshes that the query asks for, and the cursor of those after them.

    Raises:
        ApiError: 400, a parameter is invalid.
    """
    query.only("kind", "result", "trigger", "since", "limit", "cursor")
    wanted = {
        "kind": query.choice("kind", [kind.name for kind in kinds.KINDS]),
        "result": query.choice("result", RESULTS),
        "trigger": query.choice("trigger", [trigger.value for trigger in Trigger]),
    }
    since, below = _since(), _below(daemon)
    limit = query.number("limit", 1, MOST) or LIMIT
    found = [
        row
        for row in rows(daemon)
        if (below is None or row.number < below)
        and row.at >= since
        and all(value in (None, row.fields[name]) for name, value in wanted.items())
    ]
    # One that has no record yet has no place in later pages: it is newer than all that have one.
    rest = [row.number for row in found[limit:] if math.isfinite(row.number)]
    cursor = daemon.feed.id_of(int(rest[0]) + 1) if rest else None
    return {"refreshes": [row.fields for row in found[:limit]], "next_cursor": cursor}


def _since() -> float:
    """The query parameter `since` in Unix seconds: an RFC 3339 time, or Unix seconds as Prometheus takes them.

    Raises:
        ApiError: 400, it is neither.
    """
    text = query.one("since")
    if text is None:
        return -math.inf
    if UNIX.fullmatch(text):
        return float(text)
    try:
        if RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError):
        pass
    raise bad_request("Query parameter since must be a time such as 2025-11-08T10:30:45Z, or Unix seconds")


def _below(daemon: Daemon) -> int | None:
    """The number of which the query parameter `cursor` says that the page has the refreshes before it.

    Raises:
        ApiError: 400, it is none of this process.
    """
    cursor = query.one("cursor")
    if cursor is None:
        return None
    found = CURSOR.fullmatch(cursor)
    if found is None or daemon.feed.id_of(int(found[2])) != cursor:
        raise bad_request("Query parameter cursor is none that this process gave; begin again without it")
    return int(found[2])
