"""Decodes the lines of a watch; anything that is not a valid event requires a relist."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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


class _Version(msgspec.Struct, gc=False, rename="camel"):
    resource_version: str


class _Bookmark(msgspec.Struct, gc=False):
    metadata: _Version


class _Status(msgspec.Struct, gc=False):
    code: int = 0


_line = msgspec.json.Decoder(_Line).decode
_secret = msgspec.json.Decoder(Secret).decode
_bookmark = msgspec.json.Decoder(_Bookmark).decode
_status = msgspec.json.Decoder(_Status).decode


def watch_query(version: int, seconds: float, label_selector: str) -> dict[str, str]:
    """The query of a watch from `version` that the server ends after so many seconds."""
    return {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "labelSelector": label_selector,
        "resourceVersion": str(version),
        "timeoutSeconds": str(max(1, round(seconds))),
    }


class WatchEvent(NamedTuple):
    """A change of a Secret that is not parsed yet; `secret` is its last version if it was deleted.

    `namespace` is the one that is watched (`*` for all), `epoch` that of the list from which the watch started, and
    `seen_at` when the event was read (monotonic). For example `WatchEvent(namespace="default", epoch=1,
    secret=Secret(metadata=Metadata(name="team-a", uid="9f0c", resourceVersion="1042", namespace="default"),
    data=Raw(b'{"config":"..."}')), deleted=False, seen_at=73.2)`.
    """

    namespace: str
    epoch: int
    secret: Secret
    deleted: bool
    seen_at: float

    @property
    def uid(self) -> str:
        return self.secret.metadata.uid

    @property
    def version(self) -> str:
        return self.secret.metadata.resourceVersion


def decode(line: bytes | bytearray) -> tuple[str, str, Secret | None]:
    """Decode one line to its type (one of `CHANGES`, or `BOOKMARK`), its resourceVersion, and its Secret, which is None
    for a bookmark.
    Raises:
        RelistNeeded: it is not an event, or it is an ERROR event, which ends the watch.
    """
    try:
        event = _line(line)
        if event.type in CHANGES:
            secret = _secret(event.object)
            if not secret.metadata.resourceVersion or not secret.metadata.uid:
                raise RelistNeeded("an event has no resourceVersion")
            return event.type, secret.metadata.resourceVersion, secret
        if event.type == BOOKMARK:
            return BOOKMARK, _bookmark(event.object).metadata.resource_version, None
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
