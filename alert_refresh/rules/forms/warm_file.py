"""The warm file: all rules as MessagePack, after a header with length and checksum.

    offset  bytes  field (big-endian)
         0      8  magic, `ARRULES` and a zero byte
         8      2  version of the format, 1
        10      2  zero
        12      4  count of rules
        16      8  length of the body
        24     32  SHA-256 of bytes 0 to 23 and the body
        56         body: a MessagePack array of maps, sorted by id, defaults left out

The same rules always give the same bytes, so the checksum identifies the content.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

import msgspec

from alert_refresh.engine import Permanent
from alert_refresh.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

MAGIC = b"ARRULES\0"
VERSION = 1
ANEW = "; write it anew with alert-refresh rules pack"
"""The end of every message: nobody mends a binary file."""
_HEAD = struct.Struct(">8sHHIQ")
_HEADER = _HEAD.size + hashlib.sha256().digest_size

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError)
"""Errors of msgspec for invalid MessagePack or UTF-8, too deep nesting, and unhashable keys."""

_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(list[Rule])


def pack(rules: Iterable[Rule]) -> bytes:
    """The warm file of these rules."""
    ordered = sorted(rules, key=lambda rule: rule.id)
    body = _encoder.encode(ordered)
    head = _HEAD.pack(MAGIC, VERSION, 0, len(ordered), len(body))
    return head + _checksum(head, body) + body


def digest(rules: Iterable[Rule]) -> str:
    """The checksum of the warm file of these rules, which identifies them."""
    return pack(rules)[_HEAD.size : _HEADER].hex()


def is_warm(data: bytes) -> bool:
    """Whether this begins like a warm file, even if it is shorter than the magic."""
    return data.startswith(MAGIC) or (0 < len(data) < len(MAGIC) and MAGIC.startswith(data))


def has_full_length(data: bytes) -> bool:
    """Whether this is a warm file with the length in its header; a shorter one may still be being written."""
    return is_warm(data) and len(data) >= _HEADER and len(data) - _HEADER == _HEAD.unpack_from(data)[4]


def verify(data: bytes) -> str:
    """The checksum of a warm file, which identifies its content.

    Raises:
        Permanent: truncated, of an unknown version, or damaged (error type `parse`).
    """
    if len(data) < _HEADER:
        raise Permanent(f"the rules file is truncated: {len(data)} bytes, less than its header{ANEW}", "parse")
    _, version, _, _, length = _HEAD.unpack_from(data)
    body = memoryview(data)[_HEADER:]
    if version != VERSION:
        raise Permanent(f"the rules file has unknown version {version}; this program reads {VERSION}{ANEW}", "parse")
    if len(body) < length:
        raise Permanent(f"the rules file is truncated: {len(body)} of {length} bytes of its body{ANEW}", "parse")
    if len(body) > length:
        raise Permanent(f"the rules file is damaged: {len(body) - length} bytes follow its body{ANEW}", "parse")
    checksum = data[_HEAD.size : _HEADER]
    if _checksum(data[: _HEAD.size], body) != checksum:
        raise Permanent(f"the rules file is damaged: checksum mismatch{ANEW}", "parse")
    return checksum.hex()


def unpack(data: bytes) -> list[Rule] | list[object]:
    """The rules of a verified warm file; plain data if not all of them have the types of a rule.

    Raises:
        Permanent: its body is not a list with the count in the header (error type `parse`).
    """
    body = memoryview(data)[_HEADER:]
    try:
        rules: list[Rule] | list[object] = _decoder.decode(body)
    except msgspec.ValidationError:
        rules = _plain(body)
    except _UNREADABLE as error:
        raise Permanent(f"the rules file is damaged: its body is not MessagePack{ANEW}", "parse") from error
    if len(rules) != _HEAD.unpack_from(data)[3]:
        raise Permanent(f"the rules file is damaged: it does not hold as many rules as its header says{ANEW}", "parse")
    return rules


def _plain(body: memoryview) -> list[object]:
    try:
        found = msgspec.msgpack.decode(body)
    except _UNREADABLE as error:
        raise Permanent(f"the rules file is damaged: its body is not MessagePack{ANEW}", "parse") from error
    if not isinstance(found, list):
        raise Permanent(f"the rules file is damaged: its body is not a list of rules{ANEW}", "parse")
    return found


def _checksum(head: bytes, body: bytes | memoryview) -> bytes:
    summed = hashlib.sha256(head)
    summed.update(body)
    return summed.digest()
