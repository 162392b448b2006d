"""Decodes a page of a list of Secrets in JSON, or one Secret: only the needed fields, with `data` left undecoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from alert_refresh.engine import Permanent, Transient

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

CONTENT_TYPE = "application/json"

NOTHING = msgspec.Raw(b"null")


class Metadata(msgspec.Struct, gc=False):
    """The metadata of one Secret; `creationTimestamp` is RFC 3339.

    For example `Metadata(name="team-a", uid="9f0c", resourceVersion="1042", namespace="default",
    creationTimestamp="2026-01-02T03:04:05Z")`.
    """

    name: str
    uid: str
    resourceVersion: str  # noqa: N815 - as the protobuf message has it
    namespace: str = ""
    creationTimestamp: str | None = None  # noqa: N815 - as the protobuf message has it


class Secret(msgspec.Struct, gc=False):
    """A Secret with undecoded `data`, for example `Secret(metadata=Metadata(...), data=Raw(b'{"config":"..."}'))`."""

    metadata: Metadata
    data: msgspec.Raw = NOTHING


class LabelledMetadata(Metadata, gc=False):
    """The same with the labels."""

    labels: dict[str, str] | None = None


class Single(Secret, kw_only=True, gc=False):
    """A Secret that was read alone, with its labels."""

    kind: Literal["Secret"]
    metadata: LabelledMetadata


class ListMetadata(msgspec.Struct):
    """The metadata of the list: its resourceVersion, and the continue token if there is a next page."""

    resourceVersion: str  # noqa: N815 - as the protobuf message has it
    next_page: str = msgspec.field(name="continue", default="")


class SecretList(msgspec.Struct):
    """A page."""

    kind: Literal["SecretList"]
    metadata: ListMetadata
    items: list[Secret]


_page = msgspec.json.Decoder(SecretList)
_single = msgspec.json.Decoder(Single)
_values = msgspec.json.Decoder(dict[str, bytes] | None)
_any_values = msgspec.json.Decoder(dict[str, object] | None)


def decode(body: bytes | bytearray) -> SecretList:
    """Decode a page from the body of a response.

    Raises:
        Permanent: it is JSON, but not a list of Secrets (error type `parse`).
        Transient: it is not JSON, or incomplete (error type `parse`).
    """
    page = _decode(_page, body, "a list of Secrets")
    if not page.metadata.resourceVersion:
        raise Permanent("the API server's list has no resourceVersion", "parse")
    return page


def decode_single(body: bytes | bytearray) -> Single:
    """Read a Secret from the bytes of an answer; raises as `decode`."""
    return _decode(_single, body, "a Secret")


def _decode(decoder: msgspec.json.Decoder[T], body: bytes | bytearray, expected: str) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Permanent(f"the API server's answer is not {expected}", "parse") from error
    except (ValueError, RecursionError) as error:
        begins = bytes(memoryview(body)[:64]).lstrip()[:1]
        what = "ends early" if begins == b"{" else "is not JSON"
        raise Transient(f"the API server's answer {what}", "parse") from error


def values(data: msgspec.Raw) -> Mapping[str, bytes] | None:
    """The `data` of a Secret, decoded from base64; None if it has none.

    Raises:
        ValueError: it is not a mapping of base64 strings without whitespace, as the API server writes them.
    """
    found: Mapping[str, bytes] | None = _values.decode(data)
    return found


def any_values(data: msgspec.Raw) -> Mapping[str, object] | None:
    """The `data` of a Secret without decoding base64 or checking the values.

    Raises:
        ValueError: it is not a mapping.
    """
    found: Mapping[str, object] | None = _any_values.decode(data)
    return found
