"""A page of a list of Secrets in JSON, or one Secret, decoded: the fields that are needed, `data` left undecoded."""

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
    """Of one Secret; `creationTimestamp` is RFC 3339."""

    name: str
    uid: str
    resourceVersion: str  # noqa: N815
    namespace: str = ""
    creationTimestamp: str | None = None  # noqa: N815


class Secret(msgspec.Struct, gc=False):
    """A Secret whose `data` is not decoded."""

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
    """Of the list: the version it shows, and the token of its next page if there is one."""

    resourceVersion: str  # noqa: N815
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
    """Read a page from the bytes of an answer.

    Raises:
        Permanent: it is JSON, but not a list of Secrets (error type `parse`).
        Transient: it is not JSON, or ends early (error type `parse`).
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
    """The `data` of a Secret, out of base64; None if it has none.

    Raises:
        ValueError: it is not a mapping of what the API writes, which is base64 without blanks.
    """
    found: Mapping[str, bytes] | None = _values.decode(data)
    return found


def any_values(data: msgspec.Raw) -> Mapping[str, object] | None:
    """The same as it stands there, whatever it is.

    Raises:
        ValueError: it is not a mapping.
    """
    found: Mapping[str, object] | None = _any_values.decode(data)
    return found
