"""Decodes the lines of a watch; anything that is not a valid event requires a relist."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alert_refresh.targets.kubernetes.encoding.json_list import NOTHING, Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINE = 2 << 20
"""Bytes; the API server stores no object of this size."""
TOO_LONG = "the watch sent a line that is too long"

BOOKMARK = "BOOKMARK"
DELETED = "DELETED"
CHANGES = ("ADDED", "MODIFIED", DELETED)


class RelistNeeded(Exception):
    """Raised when a watch sent something that cannot be used, or lost events: the store may be out of date."""


class _Line(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw = NOTHING


class _Version(msgspec.Struct, gc=False):
    resourceVersion: str  # noqa: N815


class _Bookmark(msgspec.Struct, gc=False):
    metadata: _Version


class _Status(msgspec.Struct, gc=False):
    code: int = 0


_line = msgspec.json.Decoder(_Line).decode
_secret = msgspec.json.Decoder(Secret).decode
_bookmark = msgspec.json.Decoder(_Bookmark).decode
_status = msgspec.json.Decoder(_Status).decode


class WatchEvent(msgspec.Struct, frozen=True, gc=False):
    """An event: its type, one of `CHANGES` or `BOOKMARK`, the resourceVersion, and the Secret but for a bookmark."""

    type: str
    version: str
    secret: Secret | None = None


def decode(line: bytes | bytearray) -> WatchEvent:
    """Decode one line.

    Raises:
        RelistNeeded: it is not an event, or it is an ERROR event, which ends the watch.
    """
    try:
        event = _line(line)
        if event.type in CHANGES:
            secret = _secret(event.object)
            if not secret.metadata.resourceVersion or not secret.metadata.uid:
                raise RelistNeeded("an event has no resourceVersion")
            return WatchEvent(event.type, secret.metadata.resourceVersion, secret)
        if event.type == BOOKMARK:
            return WatchEvent(BOOKMARK, _bookmark(event.object).metadata.resourceVersion)
        if event.type == "ERROR":
            raise RelistNeeded(f"the API server ended the watch with code {_status(event.object).code}")
    except (ValueError, RecursionError) as error:
        raise RelistNeeded("the watch sent something that is not an event") from error
    raise RelistNeeded("the watch sent an event of unknown type")


class Lines:
    """Splits a stream into lines."""

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def torn(self) -> bool:
        """Whether the last line is incomplete."""
        return bool(self._rest.strip())

    def feed(self, piece: bytes) -> Iterator[bytearray]:
        """The lines that `piece` completes, without empty ones.

        Raises:
            RelistNeeded: one is too long.
        """
        *complete, rest = piece.split(b"\n")
        for end in complete:
            line, self._rest = self._rest + end, bytearray()
            if len(line) > MAX_LINE:
                raise RelistNeeded(TOO_LONG)
            if line.strip():
                yield line
        self._rest += rest
        if len(self._rest) > MAX_LINE:
            raise RelistNeeded(TOO_LONG)
