"""The file of a kept snapshot: what was packed comes back whole, and anything else is refused."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.keep.folder import Refused
from alert_refresh.keep.key import Key
from alert_refresh.keep.snapshot_file import HEADER, MAGIC, Kept, pack, unpack

KEY = Key(bytes(range(32)))
KEPT = Kept(b"content of the kind " * 300, 1_700_000_000.0, 1_699_999_990.5, ("one", "two"))
FILES = {key: pack("fake", 1, KEPT, key) for key in (None, KEY)}
HEAD = struct.Struct(">8sHHI32s12sQ")

keys = pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])


def refused(data: bytes, key: Key | None = None, *, kind: str = "fake", schema: int = 1) -> str:
    with pytest.raises(Refused) as raised:
        unpack(kind, schema, data, key)
    return str(raised.value)


def forged(data: bytes, **changes: Any) -> bytes:
    """The file with other fields in its head, and the checksum that belongs to it."""
    names = ("magic", "version", "sealed", "schema", "kind", "nonce", "length")
    fields: dict[str, Any] = dict(zip(names, HEAD.unpack_from(data), strict=True)) | changes
    body: bytes = fields.pop("body", data[HEADER:])
    head = HEAD.pack(*fields.values())
    return head + hashlib.sha256(head + body).digest() + body


@keys
def test_what_was_packed_comes_back(key: Key | None) -> None:
    assert unpack("fake", 1, FILES[key], key) == KEPT


@given(
    st.builds(
        Kept,
        content=st.binary(),
        written_at=st.floats(allow_nan=False),
        last_success_at=st.none() | st.floats(allow_nan=False),
        held=st.lists(st.text(st.characters(codec="utf-8"))).map(tuple),
        held_since=st.floats(allow_nan=False),
        rejected=st.booleans(),
    )
)
def test_anything_kept_comes_back(kept: Kept) -> None:
    for key in (None, KEY):
        assert unpack("other", 7, pack("other", 7, kept, key), key) == kept


def test_an_encrypted_file_shows_nothing_and_is_never_the_same_twice() -> None:
    assert b"content" in FILES[None]
    assert b"content" not in FILES[KEY] and b"one" not in FILES[KEY]
    assert pack("fake", 1, KEPT, KEY) != FILES[KEY]


@keys
@given(at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_p10_one_flipped_bit_anywhere_is_refused(key: Key | None, at: int, bit: int) -> None:
    data = bytearray(FILES[key])
    data[at % len(data)] ^= 1 << bit
    refused(bytes(data), key)


@keys
def test_p10_one_flipped_bit_in_each_byte_of_the_header_is_refused(key: Key | None) -> None:
    for at in range(HEADER):
        data = bytearray(FILES[key])
        data[at] ^= 1
        refused(bytes(data), key)


@keys
def test_p10_every_truncation_is_refused(key: Key | None) -> None:
    for length in range(len(FILES[key])):
        refused(FILES[key][:length], key)


@keys
@given(junk=st.binary(min_size=1))
def test_p10_what_follows_is_refused(key: Key | None, junk: bytes) -> None:
    assert "bytes instead of" in refused(FILES[key] + junk, key)


@given(st.binary(max_size=400))
def test_p10_any_bytes_are_refused(data: bytes) -> None:
    refused(data)
    refused(MAGIC + data, KEY)


def test_p10_each_refusal_says_why() -> None:
    plain, sealed = FILES[None], FILES[KEY]
    assert "truncated" in refused(b"")
    assert refused(forged(plain, version=2)) == "its format has version 2; this program reads 1"
    assert refused(plain, schema=2) == "its content has version 1; this program reads 2"
    assert refused(plain, kind="other") == refused(sealed, KEY, kind="other") == "it is of another kind"
    assert refused(forged(plain, magic=b"ARRULES\0")) == "it is not a kept snapshot"
    assert "instead of" in refused(forged(plain, length=2**63))
    assert refused(sealed, Key(bytes(32))) == "it was encrypted with another key"
    assert refused(sealed) == "it is encrypted, and no key is set"
    assert refused(plain, KEY) == "it is not encrypted, although a key is set"
    assert refused(forged(plain, body=b"\xc1" * (len(plain) - HEADER))) == "it does not decode"


@pytest.mark.parametrize(
    "body", [["a list"], {"content": 1}, {"content": b"", "written_at": "now"}, {"written_at": 1.0}, None]
)
def test_p10_a_body_of_other_types_is_refused(body: object) -> None:
    data = msgspec.msgpack.encode(body)
    assert refused(forged(FILES[None], body=data, length=len(data))) == "it does not decode"


@pytest.mark.parametrize("change", [{"kind": b"other"}, {"schema": 2}, {"nonce": bytes(12)}])
def test_the_head_is_authenticated_with_the_body(change: dict[str, Any]) -> None:
    """Whoever has no key cannot pass one file off as another, though the checksum is not secret."""
    data = forged(FILES[KEY], **change)
    kind = change.get("kind", b"fake").decode()
    assert refused(data, KEY, kind=kind, schema=change.get("schema", 1)) == "it was encrypted with another key"


def test_a_key_is_never_shown() -> None:
    assert f"{Key(b'k' * 32)} {[Key(b'k' * 32)]}" == "Key() [Key()]"
