"""One page of a list of Secrets, decoded: just the fields that count, `data` left as it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from alert_refresh.engine import Permanent, Transient

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING = msgspec.Raw(b"null")


class Metadata(msgspec.Struct, gc=False):
    """Of one Secret; `creationTimestamp` is RFC 3339."""

    name: str
    uid: str
    resourceVersion: str  # noqa: N815
    namespace: str = ""
    creationTimestamp: str | None = None  # noqa: N815


class Secret(msgspec.Struct, gc=False):
    """A Secret whose `data` has not been looked at."""

    metadata: Metadata
    data: msgspec.Raw = NOTHING


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
_values = msgspec.json.Decoder(dict[str, object] | None)


def decode(body: bytes | bytearray) -> SecretList:
    """Read a page from the bytes of an answer.

    Raises:
        Permanent: it is JSON, but not a list of Secrets (error type `parse`).
        Transient: it is not JSON, or ends early (error type `parse`).
    """
    try:
        page = _page.decode(body)
    except msgspec.ValidationError as error:
        raise Permanent("the API server's answer is not a list of Secrets", "parse") from error
    except (msgspec.DecodeError, RecursionError) as error:
        begins = bytes(memoryview(body)[:64]).lstrip()[:1]
        what = "ends early" if begins == b"{" else "is not JSON"
        raise Transient(f"the API server's answer {what}", "parse") from error
    if not page.metadata.resourceVersion:
        raise Permanent("the API server's list has no resourceVersion", "parse")
    return page


def values(data: msgspec.Raw) -> Mapping[str, object] | None:
    """The `data` of a Secret, values still in base64.

    Raises:
        ValueError: it is not a mapping.
    """
    found: Mapping[str, object] | None = _values.decode(data)
    return found
