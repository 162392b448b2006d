"""JSON responses, and the format of times in them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from flask import Response

if TYPE_CHECKING:
    from alert_refresh.engine import Clock


class JsonResponse(Response):
    """A response whose default content type is JSON."""

    default_mimetype = "application/json; charset=utf-8"


def _plain(value: Any) -> Any:
    """Encode mappings and raw JSON; any other type is refused, such as a `Credential`."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    raise NotImplementedError(type(value).__name__)


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def answer(fields: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> JsonResponse:
    """A response with these fields as its JSON body."""
    try:
        body = _encoder.encode(fields)
    except UnicodeEncodeError:
        # A string is not valid Unicode, such as a file name in another encoding: escape it.
        body = json.dumps(fields, default=_plain).encode()
    return JsonResponse(body, status, headers)


def rfc3339(unix: float | None) -> str | None:
    """Unix seconds as `2025-11-08T10:30:45Z`; None stays None."""
    return None if unix is None else _second(math.floor(unix))


@lru_cache(maxsize=64)
def _second(unix: int) -> str:
    """Cached, since most responses repeat the times of the previous one."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix))


def wall(clock: Clock, monotonic: float | None) -> float | None:
    """A monotonic time as Unix seconds, for display.

    Rounded to milliseconds, so that a constant time has the same value in each response.
    """
    return None if monotonic is None else round(monotonic + clock.time() - clock.monotonic(), 3)
