"""JSON answers, and how times are written in them."""

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
    """A response that is JSON unless it says otherwise."""

    default_mimetype = "application/json; charset=utf-8"


def _plain(value: Any) -> Any:
    """What an encoder does not know by itself. Anything but these two is refused, credentials too."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    raise NotImplementedError(type(value).__name__)


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def answer(fields: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> JsonResponse:
    """An answer with these fields as its JSON body."""
    try:
        body = _encoder.encode(fields)
    except UnicodeEncodeError:
        # Something in it is no proper text, such as the name of a file in another encoding: escape it.
        body = json.dumps(fields, default=_plain).encode()
    return JsonResponse(body, status, headers)


def rfc3339(unix: float | None) -> str | None:
    """Unix seconds as `2025-11-08T10:30:45Z`; None stays None."""
    return None if unix is None else _second(math.floor(unix))


@lru_cache(maxsize=64)
def _second(unix: int) -> str:
    """Remembered, since most answers repeat the times of the one before."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix))


def wall(clock: Clock, monotonic: float | None) -> float | None:
    """A time on the monotonic clock as Unix seconds, for display.

    Rounded to milliseconds, so that a time that does not move does not seem to between two questions.
    """
    return None if monotonic is None else round(monotonic + clock.time() - clock.monotonic(), 3)
