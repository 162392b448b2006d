from __future__ import annotations

import hashlib
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import Permanent
from alert_refresh.rules.forms import warm_file
from alert_refresh.rules.rule import Rule
from tests.rules.examples import packed, rule, rules


def unpack(data: bytes) -> list[Rule] | list[object]:
    """The rules of a warm file, verified."""
    warm_file.verify(data)
    return warm_file.unpack(data)


def test_what_is_packed_is_unpacked() -> None:
    found = rules(100)
    assert unpack(warm_file.pack(reversed(found))) == found


def test_the_same_rules_make_the_same_bytes_in_any_order() -> None:
    found = rules(10)
    assert warm_file.pack(found) == warm_file.pack(found[::-1])


def test_other_rules_have_another_digest() -> None:
    assert warm_file.verify(packed(5)) == warm_file.verify(packed(5)) != warm_file.verify(packed(5, word="two"))


def test_no_rules_are_a_file_too() -> None:
    assert unpack(warm_file.pack([])) == []


@pytest.mark.parametrize("length", [*range(8), 30, 55])
def test_a_file_shorter_than_its_header_is_truncated(length: int) -> None:
    data = packed(3)[:length]
    assert warm_file.is_warm(data) == (length > 0)
    with pytest.raises(Permanent, match="truncated"):
        unpack(data)


def test_a_file_cut_at_any_byte_is_truncated() -> None:
    data = packed(3)
    for length in range(56, len(data)):
        with pytest.raises(Permanent, match="truncated") as raised:
            unpack(data[:length])
        assert raised.value.error_type == "parse"


def test_any_flipped_bit_is_found() -> None:
    data = packed(2)
    for at in range(8, len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            with pytest.raises(Permanent):
                unpack(bytes(damaged))


def test_bytes_after_the_end_are_damage() -> None:
    with pytest.raises(Permanent, match="3 bytes follow"):
        unpack(packed(2) + b"abc")


def test_rf05_an_unknown_version_is_named() -> None:
    data = bytearray(packed(2))
    struct.pack_into(">H", data, 8, 7)
    with pytest.raises(Permanent, match="unknown version 7; this program reads 1"):
        unpack(bytes(data))


def sealed(body: bytes, count: int) -> bytes:
    """A complete file with a body that `pack` would not make."""
    head = struct.pack(">8sHHIQ", b"ARRULES\0", 1, 0, count, len(body))
    return head + hashlib.sha256(head + body).digest() + body


@pytest.mark.parametrize("body", [b"", b"\xc1", msgspec.msgpack.encode([{"id": "x"}])[:-1], b"\x91\xc1"])
def test_a_whole_file_that_is_not_messagepack_is_damaged(body: bytes) -> None:
    with pytest.raises(Permanent, match="not MessagePack"):
        unpack(sealed(body, 1))


def test_a_whole_file_that_holds_no_list_is_damaged() -> None:
    with pytest.raises(Permanent, match="not a list of rules"):
        unpack(sealed(msgspec.msgpack.encode({"id": "x"}), 1))


def test_a_count_that_is_wrong_is_damage() -> None:
    with pytest.raises(Permanent, match="as many rules"):
        unpack(sealed(msgspec.msgpack.encode([{"id": "x"}]), 2))


def test_rules_of_a_wrong_shape_come_back_as_plain_data() -> None:
    body = [{"id": "x"}, {"id": 5}]
    assert unpack(sealed(msgspec.msgpack.encode(body), 2)) == body


def test_text_is_not_warm() -> None:
    assert not any(map(warm_file.is_warm, (b"", b"rules:", b"[]", b"{", b"ARRULES_", b"AX")))


@given(st.binary(max_size=200))
def test_any_bytes_are_rules_or_refused(data: bytes) -> None:
    for candidate in (data, warm_file.MAGIC + data, sealed(data, 1)):
        try:
            found = unpack(candidate)
        except Permanent as error:
            if error.error_type != "parse":
                raise
        else:
            assert isinstance(found, list)


def test_every_field_survives() -> None:
    full = rule(
        "x", 'a!~"b"', family="f", enabled=False, priority=-1, targets=("t",), description="d", annotations={"k": "v"}
    )
    assert unpack(warm_file.pack([full])) == [full]
    assert set(msgspec.structs.asdict(full)) == set(Rule.__struct_fields__)
