"""The file of a kept snapshot.

    offset  bytes  field (big-endian)
         0      8  magic, `ARKEPT` and two zero bytes
         8      2  version of this format, 1
        10      2  1 if the body is encrypted (AES-256-GCM, bytes 0 to 67 authenticated with it), else 0
        12      4  version of what the kind wrote
        16     32  the kind, filled up with zero bytes
        48     12  nonce of the encryption, else zero
        60      8  length of the body
        68     32  SHA-256 of bytes 0 to 67 and the body
       100         body: `Kept` in MessagePack, encrypted or not

The body holds credentials: the file belongs to us alone, with mode 0600.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from typing import TYPE_CHECKING

import msgspec

from alert_refresh.engine import Hold
from alert_refresh.keep.codec import decoded
from alert_refresh.keep.folder import Refused
from alert_refresh.keep.sealing import WrongKey, seal, unseal

if TYPE_CHECKING:
    from alert_refresh.keep.key import Key

MAGIC = b"ARKEPT\0\0"
VERSION = 1
LARGEST = 512 * 1024 * 1024
NONCE = 12
_HEAD = struct.Struct(">8sHHI32s12sQ")
HEADER = _HEAD.size + hashlib.sha256().digest_size


class Kept(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a kind: what its codec made of the snapshot, and what the engine knows beside it.

    Times are Unix seconds. `held` are the names whose removal is held, since `held_since`; `rejected` tells whether a
    user rejected it.
    """

    content: bytes
    written_at: float
    last_success_at: float | None = None
    held: tuple[str, ...] = ()
    held_since: float = 0.0
    rejected: bool = False

    @property
    def hold(self) -> Hold | None:
        """The removals that were held."""
        return Hold(self.held, self.held_since, self.rejected) if self.held else None


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Kept)


def name_of(kind: str) -> str:
    """The file's name in the state folder."""
    return f"snapshot-{kind}"


def pack(kind: str, schema: int, kept: Kept, key: Key | None) -> bytes:
    """The content of the file."""
    body = _encode(kept)
    if key is None:
        head = _head(kind, schema, sealed=False, nonce=b"", length=len(body))
    else:
        nonce = secrets.token_bytes(NONCE)
        head = _head(kind, schema, sealed=True, nonce=nonce, length=len(body) + TAG)
        body = seal(key, nonce, body, head)
    return head + _checksum(head, body) + body


TAG = 16
"""Bytes that the encryption adds."""


def unpack(kind: str, schema: int, data: bytes, key: Key | None) -> Kept:
    """What was packed for this kind, all of it.

    Raises:
        Refused: it is damaged, of another kind, version or key, or encrypted where it should not be, or the reverse.
    """
    if len(data) < HEADER:
        raise Refused(f"it is truncated: {len(data)} bytes are less than its header")
    magic, version, sealed, written_schema, name, nonce, length = _HEAD.unpack_from(data)
    head, checksum, body = data[: _HEAD.size], data[_HEAD.size : HEADER], memoryview(data)[HEADER:]
    if magic != MAGIC:
        raise Refused("it is not a kept snapshot")
    if version != VERSION:
        raise Refused(f"its format has version {version}; this program reads {VERSION}")
    if len(body) != length:
        raise Refused(f"it is damaged: its body has {len(body)} bytes instead of {length}")
    if _checksum(head, body) != checksum:
        raise Refused("it is damaged: the checksum differs")
    if name.rstrip(b"\0") != kind.encode():
        raise Refused("it is of another kind")
    if written_schema != schema:
        raise Refused(f"its content has version {written_schema}; this program reads {schema}")
    plain = _opened(bytes(body), nonce, head, key, sealed=bool(sealed))
    try:
        return decoded(_decoder, plain)
    except ValueError as error:
        raise Refused(str(error)) from error


def _opened(body: bytes, nonce: bytes, head: bytes, key: Key | None, *, sealed: bool) -> bytes:
    """The body, decrypted."""
    if key is None:
        if sealed:
            raise Refused("it is encrypted, and no key is set")
        return body
    if not sealed:
        raise Refused("it is not encrypted, although a key is set")
    try:
        return unseal(key, nonce, body, head)
    except WrongKey as error:
        raise Refused("it was encrypted with another key") from error


def _head(kind: str, schema: int, *, sealed: bool, nonce: bytes, length: int) -> bytes:
    return _HEAD.pack(MAGIC, VERSION, sealed, schema, kind.encode(), nonce, length)


def _checksum(head: bytes, body: bytes | memoryview) -> bytes:
    summed = hashlib.sha256(head)
    summed.update(body)
    return summed.digest()
