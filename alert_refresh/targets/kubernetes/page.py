"""A page of a list of Secrets, decoded: just the fields that count, `data` left as it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from alert_refresh.engine import AttemptError, Permanent, Transient

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING = msgspec.Raw(b"null")

CHUNK = 64 * 1024
"""Bytes of a list decoded at once, about; no other thread runs meanwhile."""
LAST = 4 * CHUNK
"""Bytes that may be left at the end of a list. If it is more, then it is not one that API servers write, or has a very
large Secret, and is decoded whole instead of copied."""
ITEMS = b',"items":['
BETWEEN = b'},{"metadata":{'
"""Before the Secrets of a list and between two of them, as API servers write it (encoding/json of Go, fields in the
order of k8s.io/api/core/v1). Neither is ever found inside a string: there its quotation mark would be escaped, or would
end the string and leave no JSON."""


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
_secrets = msgspec.json.Decoder(list[Secret])
_values = msgspec.json.Decoder(dict[str, bytes] | None)
_any_values = msgspec.json.Decoder(dict[str, object] | None)


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
    except (ValueError, RecursionError) as error:
        begins = bytes(memoryview(body)[:64]).lstrip()[:1]
        what = "ends early" if begins == b"{" else "is not JSON"
        raise Transient(f"the API server's answer {what}", "parse") from error
    if not page.metadata.resourceVersion:
        raise Permanent("the API server's list has no resourceVersion", "parse")
    return page


class Page:
    """A page that is decoded bit by bit, while it arrives.

    What comes of it is what `decode` makes of the whole. A list that is not written as API servers write it is decoded
    whole once it has arrived; one that then is another than what it began as, since a key is repeated, is refused.
    `metadata` is what the page says of itself, as soon as Secrets are returned before its end.
    """

    def __init__(self) -> None:
        self.metadata: ListMetadata | None = None
        self._decoded = 0
        self._searched = 0
        self._returned: list[Metadata] = []
        self._odd = False

    def some(self, body: bytearray) -> list[Secret]:
        """The next Secrets of what has arrived; none if all were returned of which it is sure where they end."""
        if self._odd or not self._begun(body):
            return []
        end = self._find(BETWEEN, body, self._decoded + CHUNK)
        if end < 0:
            return []
        found = self._list(body[self._decoded : end + 1])
        self._decoded = end + 2
        self._returned += [one.metadata for one in found]
        return found

    def rest(self, body: bytearray) -> tuple[ListMetadata, list[Secret]]:
        """What the page says of itself and the Secrets not returned yet, now that all has arrived.

        Raises:
            Permanent, Transient: as `decode`.
        """
        before, found = len(self._returned), list[Secret]()
        while some := self.some(body):
            found += some
        if self.metadata is not None and not self._odd and len(body) - self._decoded <= LAST:
            last = body[self._decoded :].rstrip(b" \t\r\n")
            if last.endswith(b"]}"):
                found += self._list(last[:-2])
                if not self._odd:
                    return self.metadata, found
        page = decode(body)
        if [one.metadata for one in page.items[:before]] != self._returned[:before]:
            raise Permanent("the API server's answer is not a list of Secrets", "parse")
        return page.metadata, page.items[before:]

    def _begun(self, body: bytearray) -> bool:
        if self.metadata is None and (place := self._find(ITEMS, body, 0)) >= 0:
            self._decoded = place + len(ITEMS)
            try:
                self.metadata = decode(body[: self._decoded] + b"]}").metadata
            except AttemptError:
                self._odd = True
        return self.metadata is not None

    def _find(self, text: bytes, body: bytearray, begin: int) -> int:
        """As `body.find`, but what was searched in vain is not searched again."""
        place = body.find(text, max(begin, self._searched - len(text)))
        self._searched = len(body) if place < 0 else place
        return place

    def _list(self, text: bytes | bytearray) -> list[Secret]:
        try:
            return _secrets.decode(b"".join((b"[", text, b"]")))
        except (ValueError, RecursionError):
            self._odd = True
            return []


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
