"""A list of Secrets is decoded while it arrives, and comes out as if it had been decoded whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import AttemptError, Deadline, Permanent, Transient
from alert_refresh.targets.bulkhead import Bulkhead
from alert_refresh.targets.kubernetes import list as kube_list
from alert_refresh.targets.kubernetes import page as secret_list
from alert_refresh.targets.kubernetes.page import Page, decode
from alert_refresh.targets.kubernetes.store import UNKNOWN
from alert_refresh.targets.secret.parse import parse_base64
from tests.fakes import FakeClock
from tests.kube import secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

HEAD = {"kind": "SecretList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": "c"}}
GOOD: str = secret("good")["data"]["config"]
AWKWARD = ['},{"metadata":{', '"items":[', '"items":[]}', "]}", "}", "\\", '"', "\0", "é", "\ud83d\ude00", ""]

texts = st.lists(st.sampled_from(AWKWARD), max_size=3).map("".join) | st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.just("metadata"), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_list, "CHUNK", 8)
    monkeypatch.setattr(secret_list, "LAST", 1000)


def compact(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def one(number: int, **more: object) -> dict[str, Any]:
    """A Secret as a list has it."""
    about = {"name": f"n{number}", "namespace": "default", "uid": f"u{number}", "resourceVersion": str(number)}
    return {"metadata": about, "data": {"config": "YQ=="}} | more


def listed(*secrets: dict[str, Any], **more: object) -> bytes:
    return compact(HEAD | {"items": list(secrets)} | more) + b"\n"


def arriving(body: bytes, cuts: Iterable[int]) -> tuple[secret_list.ListMetadata, list[secret_list.Secret], int]:
    """What comes of a body that arrives in pieces, and how many Secrets did before its end."""
    page, arrived, found = Page(), bytearray(), list[secret_list.Secret]()
    for cut in sorted(cuts):
        arrived += body[len(arrived) : cut]
        while some := page.some(arrived):
            found += some
    early = len(found)
    arrived += body[len(arrived) :]
    metadata, rest = page.rest(arrived)
    return metadata, found + rest, early


def plain(secrets: Iterable[secret_list.Secret]) -> list[tuple[object, bytes]]:
    return [(secret.metadata, bytes(secret.data)) for secret in secrets]


class TestArriving:
    @given(st.lists(st.dictionaries(texts | st.just("data"), values, max_size=3), max_size=5), st.data())
    def test_it_comes_out_as_if_decoded_whole_however_it_arrives(
        self, extras: list[dict[str, object]], data: st.DataObject
    ) -> None:
        body = listed(*(one(number, **extra) for number, extra in enumerate(extras)))
        cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=6))
        metadata, found, _ = arriving(body, cuts)
        whole = decode(body)
        assert metadata == whole.metadata
        assert plain(found) == plain(whole.items)

    def test_secrets_come_out_before_the_end_has_arrived(self) -> None:
        body = listed(*map(one, range(9)))
        _, found, early = arriving(body, range(len(body) - 4))
        assert early == 8 and len(found) == 9

    def test_much_that_came_at_once_comes_out_bit_by_bit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        body, page = bytearray(listed(*map(one, range(100)))), Page()
        monkeypatch.setattr(secret_list, "CHUNK", 1000)
        sizes = []
        while some := page.some(body):
            sizes.append(len(some))
        assert len(sizes) > 8 and all(5 < size < 15 for size in sizes)
        assert sum(sizes) + len(page.rest(body)[1]) == 100

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(compact({"items": [one(1), one(2)], **HEAD}), id="items-first"),
            pytest.param(json.dumps(HEAD | {"items": [one(1), one(2)]}).encode(), id="blanks"),
            pytest.param(json.dumps(HEAD | {"items": [one(1), one(2)]}, indent=2).encode(), id="lines"),
            pytest.param(listed(one(1), one(2), x=1), id="a-field-behind"),
            pytest.param(listed(one(1), one(2), x=[one(3), one(4)]), id="a-list-behind"),
            pytest.param(
                compact({"x": {"items": [one(3)]}} | HEAD | {"items": [one(1), one(2)]}), id="items-in-another"
            ),
            pytest.param(listed(one(1, x=[one(8), one(9)]), one(2)), id="secrets-in-a-secret"),
            pytest.param(listed(), id="none"),
            pytest.param(listed(one(1), one(2, x="x" * 2000)), id="large"),
            pytest.param(
                compact(HEAD).replace(b"}}", b'},"items": [')
                + compact(one(1))
                + b'],"x\\",\\"items":[%b]}' % compact(one(8)),
                id="quoted",
            ),
        ],
    )
    def test_a_list_that_is_written_otherwise_is_read_too(self, body: bytes) -> None:
        for cuts in (1, len(body)):
            metadata, found, _ = arriving(body, range(cuts))
            assert metadata.next_page == "c"
            assert plain(found) == plain(decode(body).items)

    @pytest.mark.parametrize("body", [listed(one(1, x="x" * 5000)), compact({"x": "x" * 5000})], ids=["items", "none"])
    def test_what_was_searched_in_vain_is_not_searched_again(self, body: bytes) -> None:
        searched = []

        class Body(bytearray):
            def find(self, *where: Any) -> int:
                searched.append(len(self) - where[1])
                return super().find(*where)

        page, arrived = Page(), Body()
        for byte in body:
            arrived.append(byte)
            page.some(arrived)
        assert len(body) < sum(searched) < 20 * len(body)

    @pytest.mark.parametrize("items_first", [False, True])
    def test_no_byte_is_decoded_again_unless_the_list_is_written_otherwise(
        self, monkeypatch: pytest.MonkeyPatch, items_first: bool
    ) -> None:
        body = compact({"x": 1, "items": [one(1), one(2)], **HEAD}) if items_first else listed(one(1), one(2))
        decoded: list[int] = []

        def counted(part: bytearray) -> secret_list.SecretList:
            decoded.append(len(part))
            return decode(part)

        monkeypatch.setattr(secret_list, "decode", counted)
        arriving(body, range(len(body)))
        head = body.index(b"[") + 3
        assert decoded == ([head, len(body)] if items_first else [head])

    def test_a_list_that_has_its_items_twice_is_never_two_lists_mixed(self) -> None:
        body = listed(one(1), one(2)).replace(b"]}\n", b'],"items":[%b]}' % compact(one(3)))
        assert [found.metadata.name for found in arriving(body, [])[1]] == ["n3"]
        with pytest.raises(Permanent, match="is not a list of Secrets"):
            arriving(body, range(len(body)))

    def test_a_large_rest_is_not_copied_but_decoded_in_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        body = bytearray(listed(one(1), one(2, x="x" * 2000)))
        decoded: list[object] = []

        def counted(part: bytearray) -> secret_list.SecretList:
            decoded.append(part)
            return decode(part)

        monkeypatch.setattr(secret_list, "decode", counted)
        assert len(Page().rest(body)[1]) == 2
        assert decoded[-1] is body

    def test_a_list_that_ends_early_is_told_at_whatever_byte(self) -> None:
        body = listed(*map(one, range(3))).rstrip()
        for end in range(len(body)):
            with pytest.raises(Transient) as raised:
                arriving(body[:end], range(end))
            assert raised.value.error_type == "parse"

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (listed(one(1), one(2, metadata={"name": "n"}), one(3)), Permanent),
            (listed(one(1), one(2), one(3)).replace(b'"n2"', b"n2"), Transient),
            (listed(one(1), one(2), one(3)).replace(b'"n2"', b'"\xff"'), Transient),
            (listed(one(1), one(2, x="deep")).replace(b'"deep"', b"[" * 100_000), Transient),
            (listed(one(1), one(2)) + b"x", Transient),
            (listed(one(1), one(2)) + b"\x0b", Transient),
            (listed(one(1), one(2), metadata={"resourceVersion": ""}), Permanent),
            (listed(one(1), one(2), kind="Status"), Permanent),
        ],
        ids=["no-uid", "no-json", "no-utf8", "deep", "more-behind", "no-blank-behind", "no-version", "no-list"],
    )
    def test_a_fault_is_told_as_of_the_whole(self, body: bytes, expected: type[AttemptError]) -> None:
        messages = set()
        for read in (decode, lambda body: arriving(body, range(len(body)))):
            with pytest.raises(expected) as raised:
                read(body)
            messages.add((str(raised.value), raised.value.error_type))
        assert len(messages) == 1


class Trickle:
    """In place of a reader: each body arrives byte by byte, with time to do something else in between."""

    def __init__(self, *bodies: bytes) -> None:
        self.bodies = list(bodies)
        self.idle = 0

    def get(
        self, path: str, query: Mapping[str, str], deadline: Deadline, meanwhile: Callable[[bytearray], bool]
    ) -> bytearray:
        body, arrived = self.bodies.pop(0), bytearray()
        for byte in body:
            while meanwhile(arrived):
                pass
            self.idle += 1
            arrived.append(byte)
        return arrived


class TestLister:
    def test_secrets_are_parsed_while_the_rest_of_their_page_arrives(self, monkeypatch: pytest.MonkeyPatch) -> None:
        parsed: list[str] = []
        parse = kube_list.candidate

        def candidate(found: secret_list.Secret, *args: Any, **options: Any) -> Any:
            parsed.append(found.metadata.name)
            return parse(found, *args, **options)

        monkeypatch.setattr(kube_list, "candidate", candidate)
        items = [one(number) | {"data": secret(f"t{number}")["data"]} for number in range(6)]
        reader = Trickle(listed(*items[:4]), listed(*items[4:], metadata={"resourceVersion": "7"}))
        bodies = len(reader.bodies[0])
        clock = FakeClock()
        seen: list[tuple[int, int]] = []
        get = reader.get

        def watched(path: str, query: Any, deadline: Deadline, meanwhile: Callable[[bytearray], bool]) -> bytearray:
            def some(body: bytearray) -> bool:
                done = meanwhile(body)
                seen.append((len(body), len(parsed)))
                return done

            return get(path, query, deadline, some)

        reader.get = watched  # type: ignore[method-assign]
        lister = kube_list.Lister(reader, "", Bulkhead(), deny_private=False, clock=clock)  # type: ignore[arg-type]
        known, version, went_back = lister.read("default", {}, Deadline(clock, 5), UNKNOWN)
        assert version == 7 and not went_back and list(known) == [f"u{number}" for number in range(6)]
        assert parsed == [f"n{number}" for number in range(6)]
        assert max(count for size, count in seen[:bodies] if size < bodies) == 3, "the fourth may still go on"


class TestDecoding:
    def test_only_what_counts_is_read(self) -> None:
        page = decode(
            b'{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"c"},"items":['
            b'{"metadata":{"name":"n","uid":"u","resourceVersion":"3","annotations":{"x":"canary"}},"data":{"a":"YQ=="}},'
            b'{"metadata":{"name":"m","uid":"v","resourceVersion":"4","creationTimestamp":null},"data":null}]}\n'
        )
        assert page.metadata.next_page == "c"
        first, second = page.items
        assert secret_list.values(first.data) == {"a": b"a"}
        assert secret_list.values(second.data) is None
        assert "canary" not in repr(first.metadata)

    @given(st.binary(max_size=200))
    def test_any_bytes_are_a_parse_error(self, body: bytes) -> None:
        with pytest.raises(AttemptError) as raised:
            arriving(body, range(len(body)))
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

    @pytest.mark.parametrize("read", [secret_list.values, secret_list.any_values])
    def test_values_that_are_no_mapping_are_told(self, read: Callable[[msgspec.Raw], object]) -> None:
        with pytest.raises(ValueError, match="Expected"):
            read(msgspec.Raw(b"[1]"))

    @pytest.mark.parametrize("value", ['"Y Q=="', '"YQ"', '"YQ==\\n"', '"Y!=="', '"C9/A="', "5", "null", "[]"])
    def test_values_that_are_not_as_the_api_writes_them_are_told_or_had_as_they_stand(self, value: str) -> None:
        data = msgspec.Raw(f'{{"a": "YQ==", "b": {value}}}'.encode())
        with pytest.raises(ValueError, match=r"base64|Expected"):
            secret_list.values(data)
        assert secret_list.any_values(data) == {"a": "YQ==", "b": json.loads(value)}

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
            secret_list.Secret(secret_list.Metadata("n", "u", "1", "ns"), raw), Bulkhead(), deny_private=False
        )
        assert made.result == parse_base64(data, namespace="ns", secret="n")
