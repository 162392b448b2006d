"""A list of Secrets in protobuf, decoded as a stream: the body is split at the boundaries of its items.

A body is `k8s\\0` and a runtime.Unknown, whose field `raw` holds the list. A sequence of complete fields of a message
is a message too, so each chunk is decoded separately, and only one is kept in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message

from alert_refresh.engine import Permanent, Transient
from alert_refresh.targets.kubernetes.encoding import secrets_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

M = TypeVar("M", bound=Message)
Secret = secrets_pb2.Secret
Metadata = secrets_pb2.Metadata

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"

TYPE_META, RAW = 1, 2
"""Fields of runtime.Unknown."""
VARINT, LENGTH_DELIMITED = 0, 2
ITEM = 2 << 3 | LENGTH_DELIMITED
"""The tag of an item of a list."""
FIXED = {1: 8, 5: 4}
"""Bytes of a value, by wire type."""
MAX_VARINT = 10
"""Bytes."""

SECRETS = ("v1", "SecretList")
METADATA = ("meta.k8s.io/v1", "PartialObjectMetadataList")
"""apiVersion and kind of a list."""
SECRET = ("v1", "Secret")


class MalformedProtobuf(Transient):
    """Raised when a body with protobuf's content type is malformed or incomplete."""


class Field(NamedTuple):
    """The number of a field, and where its value begins and ends."""

    number: int
    begin: int
    end: int


class ProtobufList:
    """One list of one of these `kinds`, whose body arrives in `pieces`.

    `version`, `next_page` and `partial` (metadata only) are set before the first Secrets are yielded.
    """

    def __init__(self, pieces: Iterable[bytes], *kinds: tuple[str, str]) -> None:
        self.version = ""
        self.next_page = ""
        self.partial = False
        self._pieces = iter(pieces)
        self._kinds = kinds or (SECRETS,)
        self._body = bytearray()

    def secrets(self) -> Iterator[Sequence[Secret]]:
        """The Secrets in batches, to the end of the body.

        Raises:
            MalformedProtobuf: it is not protobuf, or incomplete (error type `parse`).
            Permanent: it is an object of another kind, or a list without a resourceVersion (error type `parse`).
        """
        left = self._read_header()
        while left:
            part = parse(secrets_pb2.SecretList, self._take_fields(left))
            left -= self._taken
            if part.HasField("metadata"):
                self.version, self.next_page = part.metadata.resourceVersion, part.metadata.next_page
            if part.items:
                self._require_version()
                yield part.items
        self._read_trailer()
        self._require_version()

    def single(self) -> Secret:
        """The one Secret in a body that is not a list; raises as `secrets`."""
        left = self._read_header()
        while len(self._body) < left:
            self._require_more()
        found = parse(Secret, self._take(left))
        self._read_trailer()
        return found

    def _read_header(self) -> int:
        """Read the envelope up to the list; returns the length of the list in bytes."""
        while len(self._body) < len(MAGIC):
            self._require_more()
        if not self._body.startswith(MAGIC):
            raise malformed()
        del self._body[: len(MAGIC)]
        found = None
        while (field := self._next_field()).number != RAW:
            value = self._take_value(field)
            if field.number == TYPE_META:
                about = parse(secrets_pb2.TypeMeta, value)
                found = about.apiVersion, about.kind
        if found not in self._kinds:
            raise not_a_list()
        self.partial = found == METADATA
        del self._body[: field.begin]
        return field.end - field.begin

    def _read_trailer(self) -> None:
        """Read the rest of the envelope after the list."""
        while self._body or self._more():
            field = self._next_field()
            if field.number == RAW:
                raise malformed()
            self._take_value(field)

    def _take_fields(self, left: int) -> bytes:
        """The complete fields that have arrived, at least one, of a message of which `left` bytes remain."""
        while not (end := whole_fields(self._body, left)):
            self._require_more()
        self._taken = end
        return self._take(end)

    def _next_field(self) -> Field:
        while (field := field_at(self._body, 0)) is None:
            self._require_more()
        return field

    def _take_value(self, field: Field) -> bytes:
        while len(self._body) < field.end:
            self._require_more()
        return self._take(field.end)[field.begin :]

    def _take(self, end: int) -> bytes:
        taken = bytes(memoryview(self._body)[:end])
        del self._body[:end]
        return taken

    def _more(self) -> bool:
        piece = next(self._pieces, b"")
        self._body += piece
        return bool(piece)

    def _require_more(self) -> None:
        if not self._more():
            raise MalformedProtobuf("the API server's answer ends early", "parse")

    def _require_version(self) -> None:
        if not self.version:
            raise Permanent("the API server's list has no resourceVersion", "parse")


def whole_fields(body: bytearray, left: int) -> int:
    """The end of the last complete field in `body`, whose first `left` bytes are a message; 0 without one."""
    place, size = 0, len(body)
    while place < left:
        # Nearly every field is an item whose length has two bytes: `field_at` takes five times as long.
        if place + 3 <= size and body[place] == ITEM and body[place + 1] > 127 > body[place + 2]:
            end = place + 3 + (body[place + 1] & 127 | body[place + 2] << 7)
        elif (field := field_at(body, place)) is not None:
            end = field.end
        else:
            break
        if end > left:
            raise malformed()
        if end > size:
            break
        place = end
    return place


def field_at(body: bytearray, place: int) -> Field | None:
    """The field at `place`; None if its tag or length is incomplete. Its value may be incomplete in any case.

    Raises:
        MalformedProtobuf: the tag or length is invalid.
    """
    tag, begin = varint_at(body, place)
    if not begin:
        return None
    wire = tag & 7
    if wire == LENGTH_DELIMITED:
        length, begin = varint_at(body, begin)
        return Field(tag >> 3, begin, begin + length) if begin else None
    if wire == VARINT:
        _, end = varint_at(body, begin)
        return Field(tag >> 3, begin, end) if end else None
    if wire not in FIXED:
        raise malformed()
    return Field(tag >> 3, begin, begin + FIXED[wire])


def varint_at(body: bytearray, place: int) -> tuple[int, int]:
    """The varint at `place` and its end, which is 0 if the varint is incomplete."""
    value = 0
    for index, byte in enumerate(body[place : place + MAX_VARINT]):
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, place + index + 1
    if len(body) >= place + MAX_VARINT:
        raise malformed()
    return 0, 0


def parse(kind: type[M], text: bytes) -> M:
    """Decode a message.

    Raises:
        MalformedProtobuf: it is not one.
    """
    try:
        made: M = kind.FromString(text)
    except DecodeError as error:
        raise malformed() from error
    return made


def malformed() -> MalformedProtobuf:
    return MalformedProtobuf("the API server's answer is not protobuf", "parse")


def not_a_list() -> Permanent:
    return Permanent("the API server's answer is not a list of Secrets", "parse")
