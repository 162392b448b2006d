"""A list of Secrets in protobuf is decoded while it arrives, and whatever is not one is an error of the attempt."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alert_refresh.engine import AttemptError, Permanent
from alert_refresh.targets.bulkhead import Bulkhead
from alert_refresh.targets.kubernetes import list as kube_list
from alert_refresh.targets.kubernetes.encoding import json_list, protobuf_list, secrets_pb2
from alert_refresh.targets.kubernetes.encoding.protobuf_list import MalformedProtobuf, ProtobufList
from tests.kube import protobuf, raw_secret, secret
from tests.kube.protobuf import document, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GOOD: str = secret("good")["data"]["config"]


def one(number: int, padding: int = 0, **config: Any) -> bytes:
    """A Secret as a list has it."""
    made = secret(f"n{number}", **config)
    made["metadata"] |= {"uid": f"u{number}", "resourceVersion": str(number)}
    encoded = protobuf.encode(made)
    assert encoded is not None
    return encoded.secret(padding)


def cut(body: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """The body in pieces; none is empty, since that is the end of a body."""
    begin = 0
    for end in sorted({*cuts, len(body)}):
        if body[begin:end]:
            yield body[begin:end]
        begin = end


def decoded(body: bytes, cuts: Iterable[int] = (), *kinds: tuple[str, str]) -> tuple[str, str, list[str]]:
    """What comes of a body that arrives in pieces: version, token, and the uids."""
    page = ProtobufList(cut(body, cuts), *kinds)
    uids = [found.metadata.uid for some in page.secrets() for found in some]
    return page.version, page.next_page, uids


BODY = document(*map(one, range(5)), version="41", token="more")


class TestArriving:
    @given(st.lists(st.integers(0, len(BODY)), max_size=9))
    @example(range(len(BODY)))
    def test_it_is_the_same_however_it_arrives(self, cuts: list[int]) -> None:
        assert decoded(BODY, cuts) == ("41", "more", ["u0", "u1", "u2", "u3", "u4"])

    def test_secrets_are_returned_before_the_end_has_arrived(self) -> None:
        def pieces() -> Iterator[bytes]:
            yield BODY[: len(BODY) // 2]
            raise ZeroDivisionError

        page = ProtobufList(pieces())
        found = page.secrets()
        assert [one.metadata.uid for one in next(found)] == ["u0", "u1"] and page.version == "41"
        with pytest.raises(ZeroDivisionError):
            next(found)

    def test_only_undecoded_bytes_are_kept(self) -> None:
        body = document(*(one(number) for number in range(1000)))
        page = ProtobufList(cut(body, range(0, len(body), 1000)))
        longest = max(len(page._body) for _ in page.secrets())
        assert len(body) > 300_000 and longest < 2000

    @pytest.mark.parametrize("size", [0, 100, 127, 128, 16_383, 16_384, 1 << 20])
    def test_a_secret_of_any_size_is_read(self, size: int) -> None:
        body = document(one(1), one(2, size), one(3))
        assert decoded(body, range(0, len(body), 5000))[2] == ["u1", "u2", "u3"]

    def test_an_empty_list_is_a_list(self) -> None:
        assert decoded(document(version="9")) == ("9", "", [])

    def test_a_list_of_metadata_is_read_when_it_is_asked_for(self) -> None:
        body = document(one(1), kind=protobuf_list.METADATA)
        assert decoded(body, (), protobuf_list.METADATA)[2] == ["u1"]
        with pytest.raises(Permanent):
            decoded(body)


UNKNOWN = field(99, "x" * 300) + field(98, 1 << 40) + b"\xd9\x06" + b"8bytes.." + b"\xdd\x06" + b"4by."


class TestUnknownFields:
    def test_unknown_fields_are_skipped_everywhere(self) -> None:
        item = field(1, field(1, "n") + field(5, "u") + field(6, "3") + UNKNOWN) + UNKNOWN
        listed = field(1, field(2, "8") + UNKNOWN) + UNKNOWN + field(2, item) + UNKNOWN
        about = field(1, field(1, "v1") + field(2, "SecretList") + UNKNOWN)
        body = protobuf.MAGIC + UNKNOWN + about + UNKNOWN + field(2, listed) + UNKNOWN
        for cuts in ((), range(len(body))):
            assert decoded(body, cuts) == ("8", "", ["u"])


ENVELOPE = field(1, field(1, "v1") + field(2, "SecretList"))
LISTED = field(1, field(2, "7")) + field(2, one(1))


class TestFaults:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"k8",
            protobuf.MAGIC,
            protobuf.MAGIC + ENVELOPE,
            protobuf.MAGIC + ENVELOPE + field(2, LISTED)[:-1],
            BODY[:-1],
            BODY[:-3],
            BODY[: len(BODY) // 2],
        ],
    )
    def test_an_incomplete_body_is_reported(self, body: bytes) -> None:
        with pytest.raises(MalformedProtobuf, match="ends early") as raised:
            decoded(body)
        assert raised.value.error_type == "parse"

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"K8s\0" + BODY[4:], id="magic"),
            pytest.param(json.dumps({"kind": "SecretList"}).encode(), id="json"),
            pytest.param(b"<html>", id="html"),
            pytest.param(protobuf.MAGIC + b"\xff" * 20, id="endless-number"),
            pytest.param(protobuf.MAGIC + b"\x0b", id="a-group"),
            pytest.param(protobuf.MAGIC + b"\x0f", id="no-wire-type"),
            pytest.param(protobuf.MAGIC + field(1, b"\x0a\xff"), id="envelope"),
            pytest.param(protobuf.MAGIC + ENVELOPE + field(2, LISTED + b"\x12\x05abc"), id="item-beyond-the-list"),
            pytest.param(protobuf.MAGIC + ENVELOPE + field(2, LISTED + field(2, b"\x0a\xff")), id="item"),
            pytest.param(protobuf.MAGIC + ENVELOPE + field(2, LISTED + field(2, field(1, b"\x0a\x01\xff"))), id="utf8"),
            pytest.param(protobuf.MAGIC + ENVELOPE + field(2, LISTED) * 2, id="two-lists"),
            pytest.param(protobuf.MAGIC + ENVELOPE + field(2, LISTED) + b"\x0b", id="behind"),
        ],
    )
    def test_a_body_that_is_not_protobuf_is_reported(self, body: bytes) -> None:
        for cuts in ((), range(len(body))):
            with pytest.raises(MalformedProtobuf, match="is not protobuf") as raised:
                decoded(body, cuts)
            assert raised.value.error_type == "parse"

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(protobuf.wrap("v1", "Status", field(2, "Failure")), id="status"),
            pytest.param(document(kind=("v1", "PodList")), id="pods"),
            pytest.param(document(kind=("v2", "SecretList")), id="version-of-the-api"),
            pytest.param(protobuf.MAGIC + field(2, LISTED), id="no-kind"),
            pytest.param(document(one(1), version=""), id="no-version"),
            pytest.param(document(version=""), id="empty-without-version"),
            pytest.param(protobuf.MAGIC + ENVELOPE + field(2, b""), id="nothing"),
            pytest.param(protobuf.MAGIC + ENVELOPE + field(2, field(2, one(1)) + LISTED), id="items-first"),
        ],
    )
    def test_what_is_not_a_list_of_secrets_is_not_retried(self, body: bytes) -> None:
        with pytest.raises(Permanent) as raised:
            decoded(body, range(len(body)))
        assert raised.value.error_type == "parse"

    def test_truncated_at_any_byte_it_is_complete_or_an_error(self) -> None:
        whole = len(BODY) - len(protobuf.END)
        for end in range(len(BODY)):
            if end in (whole, whole + 2):
                # The list is complete, and the missing part has no content.
                assert len(decoded(BODY[:end])[2]) == 5
                continue
            with pytest.raises(MalformedProtobuf):
                decoded(BODY[:end])

    @given(st.binary(max_size=200), st.booleans())
    def test_any_bytes_are_a_parse_error(self, body: bytes, magic: bool) -> None:
        with pytest.raises(AttemptError) as raised:
            decoded(protobuf.MAGIC * magic + body, range(len(body)))
        assert raised.value.error_type == "parse"

    @given(st.lists(st.tuples(st.integers(0, len(BODY) - 1), st.integers(0, 255)), min_size=1, max_size=4), st.data())
    def test_a_mutated_body_is_an_error_of_the_attempt_or_a_whole_list(
        self, changes: list[tuple[int, int]], data: st.DataObject
    ) -> None:
        body = bytearray(BODY)
        for place, byte in changes:
            body[place] = byte
        cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=4))
        page = ProtobufList(cut(bytes(body), cuts))
        try:
            found = [one for some in page.secrets() for one in some]
        except (MalformedProtobuf, Permanent):
            return
        # A changed tag may turn an item into an unknown field; its bytes are still accounted for.
        assert page.version and len(found) <= 5
        for one in found:
            kube_list.candidate(one, Bulkhead(), deny_private=False)


class TestContent:
    @given(
        st.dictionaries(
            st.sampled_from(["config", "target", "url", "type", "webhook-url", "other"]),
            st.sampled_from([base64.b64decode(GOOD), base64.b64decode(GOOD)[:-1], b"", b"slack", b"\xff"])
            | st.binary(max_size=9),
        )
    )
    @example({"url": b"\0", "type": b"\0", "target": b"\0"})
    def test_a_secret_is_the_same_in_protobuf_and_in_json(self, data: dict[str, bytes]) -> None:
        made = raw_secret("n", "ns", data)
        made["metadata"] |= {"uid": "u", "resourceVersion": "5"}
        encoded = protobuf.encode(made)
        assert encoded is not None
        ours = secrets_pb2.Secret.FromString(encoded.secret(10))
        json_secret = msgspec.json.decode(json.dumps(made, sort_keys=True), type=json_list.Secret)  # as Go writes maps
        first, second = (kube_list.candidate(one, Bulkhead(), deny_private=False) for one in (ours, json_secret))
        assert msgspec.structs.replace(first, created=second.created) == second
        assert (first.created, second.created) == (1735689600, "2025-01-01T00:00:00Z")
