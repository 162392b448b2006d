"""What a kind does to be kept: its snapshot as bytes and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from alert_refresh.engine import Snapshot

T = TypeVar("T")


class Codec(Protocol):
    """Made by `Kind.keep` for a source. `schema` is the version of what `dump` makes; a file of another is refused."""

    schema: int

    def mark(self, snapshot: Snapshot[Any]) -> object:
        """Equal for two snapshots of which the later one need not be written."""

    def dump(self, snapshot: Snapshot[Any]) -> bytes:
        """The snapshot as bytes, with credentials in the clear."""

    def load(self, content: bytes) -> Snapshot[Any]:
        """The snapshot that was dumped, with its generation and digest.

        Raises:
            ValueError: that is not what `dump` made.
        """


def decoded(decoder: msgspec.msgpack.Decoder[T], content: bytes) -> T:
    """What MessagePack of the decoder's type holds.

    Raises:
        ValueError: it is something else.
    """
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError) as error:
        raise ValueError("it does not decode") from error
