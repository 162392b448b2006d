"""Encodes Secrets and lists in protobuf as the API server does: with empty strings, unlike protoc's code."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC = b"k8s\0"


class Encoded(NamedTuple):
    """A Secret: the fields of its metadata, and its own but for that."""

    metadata: bytes
    rest: bytes

    def secret(self, padding: int = 0) -> bytes:
        """All of it, with so many bytes in an annotation."""
        return self.partial(padding) + self.rest

    def partial(self, padding: int = 0) -> bytes:
        """As a PartialObjectMetadata."""
        annotation = field(12, field(1, b"padding") + field(2, b"x" * padding)) if padding else b""
        return field(1, self.metadata + annotation)


def varint(value: int) -> bytes:
    """A number, seven bits a byte."""
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def field(number: int, value: bytes | str | int) -> bytes:
    """One field: bytes and text with their length, a number as it is."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def encode(document: Mapping[str, Any]) -> Encoded | None:
    """A Secret; None if a real API server could not store it."""
    try:
        return Encoded(_metadata(document["metadata"]), _content(document))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _metadata(about: Mapping[str, Any]) -> bytes:
    created = datetime.fromisoformat(about["creationTimestamp"]) if about.get("creationTimestamp") else None
    return b"".join(
        [
            field(1, about["name"]),
            field(2, ""),
            field(3, about["namespace"]),
            field(4, ""),
            field(5, about["uid"]),
            field(6, about["resourceVersion"]),
            field(7, 0),
            field(8, field(1, int(created.timestamp())) if created else b""),
            *(field(11, field(1, key) + field(2, value)) for key, value in (about.get("labels") or {}).items()),
            *(
                field(12, field(1, key) + field(2, value))
                for key, value in (about.get("annotations") or {}).items()
                if value
            ),
        ]
    )


def _content(document: Mapping[str, Any]) -> bytes:
    data = {key: base64.b64decode(value, validate=True) for key, value in (document.get("data") or {}).items()}
    return b"".join(
        [
            *(field(2, field(1, key) + field(2, value)) for key, value in sorted(data.items())),
            field(3, document.get("type", "")),
            field(5, 1) if document.get("immutable") else b"",
        ]
    )


def begin(api_version: str, kind: str, size: int) -> bytes:
    """What stands before an object of `size` bytes."""
    about = field(1, field(1, api_version) + field(2, kind))
    return MAGIC + about + varint(2 << 3 | 2) + varint(size)


END = field(3, "") + field(4, "")
"""What stands behind it."""


def wrap(api_version: str, kind: str, content: bytes) -> bytes:
    """An object as the body of an answer."""
    return begin(api_version, kind, len(content)) + content + END


def list_metadata(metadata: Mapping[str, Any]) -> bytes:
    """The first field of a list."""
    text = field(1, "") + field(2, metadata["resourceVersion"]) + field(3, metadata.get("continue", ""))
    if "remainingItemCount" in metadata:
        text += field(4, metadata["remainingItemCount"])
    return field(1, text)


def status(about: Mapping[str, Any]) -> bytes:
    """What went wrong as the body of an answer: a Status without its details."""
    listed = about["metadata"]
    content = field(1, field(1, "") + field(2, "") + field(3, listed.get("continue", "")))
    content += field(2, about["status"]) + field(3, about["message"]) + field(4, about["reason"])
    return wrap("v1", "Status", content + field(6, about["code"]))


def document(*items: bytes, version: str = "7", kind: tuple[str, str] = ("v1", "SecretList"), token: str = "") -> bytes:
    """A list of these items as the body of an answer."""
    listed = b"".join(field(2, one) for one in items)
    return wrap(*kind, list_metadata({"resourceVersion": version, "continue": token}) + listed)
