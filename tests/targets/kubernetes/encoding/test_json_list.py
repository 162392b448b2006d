"""A list of Secrets in JSON is decoded as far as it is needed, and whatever is not one is an error of the attempt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import AttemptError, Permanent, Transient
from alert_refresh.targets.bulkhead import Bulkhead
from alert_refresh.targets.kubernetes import list as kube_list
from alert_refresh.targets.kubernetes.encoding import json_list
from alert_refresh.targets.kubernetes.encoding.json_list import decode
from alert_refresh.targets.secret.parse import parse_base64
from tests.kube import secret

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = {"kind": "SecretList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": "c"}}
GOOD: str = secret("good")["data"]["config"]


def one(number: int, **more: object) -> dict[str, Any]:
    """A Secret as a list has it."""
    about = {"name": f"n{number}", "namespace": "default", "uid": f"u{number}", "resourceVersion": str(number)}
    return {"metadata": about, "data": {"config": "YQ=="}} | more


def listed(*secrets: dict[str, Any], **more: object) -> bytes:
    return json.dumps(HEAD | {"items": list(secrets)} | more, separators=(",", ":")).encode() + b"\n"


class TestDecoding:
    def test_only_what_counts_is_read(self) -> None:
        page = decode(
            b'{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"c"},"items":['
            b'{"metadata":{"name":"n","uid":"u","resourceVersion":"3","annotations":{"x":"canary"}},"data":{"a":"YQ=="}},'
            b'{"metadata":{"name":"m","uid":"v","resourceVersion":"4","creationTimestamp":null},"data":null}]}\n'
        )
        assert page.metadata.next_page == "c"
        first, second = page.items
        assert json_list.values(first.data) == {"a": b"a"}
        assert json_list.values(second.data) is None
        assert "canary" not in repr(first.metadata)

    def test_a_list_truncated_at_any_byte_is_reported(self) -> None:
        body = listed(*map(one, range(3))).rstrip()
        for end in range(len(body)):
            with pytest.raises(Transient) as raised:
                decode(body[:end])
            assert raised.value.error_type == "parse"

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (listed(one(1), one(2, metadata={"name": "n"}), one(3)), Permanent),
            (listed(one(1), one(2), one(3)).replace(b'"n2"', b"n2"), Transient),
            (listed(one(1), one(2), one(3)).replace(b'"n2"', b'"\xff"'), Transient),
            (listed(one(1), one(2, x="deep")).replace(b'"deep"', b"[" * 100_000), Transient),
            (listed(one(1), one(2)) + b"x", Transient),
            (listed(one(1), one(2), metadata={"resourceVersion": ""}), Permanent),
            (listed(one(1), one(2), kind="Status"), Permanent),
        ],
        ids=["no-uid", "no-json", "no-utf8", "deep", "more-behind", "no-version", "no-list"],
    )
    def test_what_is_not_a_list_of_secrets_is_an_error(self, body: bytes, expected: type[AttemptError]) -> None:
        with pytest.raises(expected) as raised:
            decode(body)
        assert raised.value.error_type == "parse"

    @given(st.binary(max_size=200))
    def test_any_bytes_are_a_parse_error(self, body: bytes) -> None:
        with pytest.raises(AttemptError) as raised:
            decode(body)
        assert raised.value.error_type == "parse"

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["kind", "metadata", "items"]), inner),
        )
    )
    def test_any_json_is_a_parse_error_that_is_not_retried(self, document: object) -> None:
        with pytest.raises(Permanent) as raised:
            decode(json.dumps(document).encode())
        assert raised.value.error_type == "parse"

    @pytest.mark.parametrize("read", [json_list.values, json_list.any_values])
    def test_values_that_are_not_a_mapping_are_reported(self, read: Callable[[msgspec.Raw], object]) -> None:
        with pytest.raises(ValueError, match="Expected"):
            read(msgspec.Raw(b"[1]"))

    @pytest.mark.parametrize("value", ['"Y Q=="', '"YQ"', '"YQ==\\n"', '"Y!=="', '"C9/A="', "5", "null", "[]"])
    def test_values_that_are_not_as_the_api_writes_them_are_reported_or_returned_undecoded(self, value: str) -> None:
        data = msgspec.Raw(f'{{"a": "YQ==", "b": {value}}}'.encode())
        with pytest.raises(ValueError, match=r"base64|Expected"):
            json_list.values(data)
        assert json_list.any_values(data) == {"a": "YQ==", "b": json.loads(value)}

    @given(
        st.dictionaries(
            st.sampled_from(["config", "target", "url", "type", "webhook-url", "other"]),
            st.sampled_from(
                [GOOD, GOOD[:-1], GOOD + "=", f"{GOOD[:9]}\n{GOOD[9:]}", "", "!", "C9/A=", "c2xhY2s=", None, 5]
            )
            | st.text("AB+/= \n_", max_size=8),
        )
    )
    def test_a_secret_is_the_same_whichever_way_its_values_are_had(self, data: dict[str, Any]) -> None:
        raw = msgspec.Raw(json.dumps(data).encode())
        made = kube_list.candidate(
            json_list.Secret(json_list.Metadata("n", "u", "1", "ns"), raw), Bulkhead(), deny_private=False
        )
        assert made.result == parse_base64(data, namespace="ns", secret="n")
