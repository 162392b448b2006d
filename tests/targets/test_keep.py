"""The targets' snapshot as bytes and back: the same targets, states and reasons, or nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.credential import Credential
from alert_refresh.engine import Fault, Rejected, Skipped, Snapshot
from alert_refresh.targets import protection
from alert_refresh.targets.assemble import Candidate, assemble
from alert_refresh.targets.keep import TargetCodec
from alert_refresh.targets.secret.json_object import JsonObject, canonical
from alert_refresh.targets.secret.parse import parse
from alert_refresh.targets.target import Target
from tests.fakes import FakeSource
from tests.web.world import target

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE: Any = FakeSource()
CODEC = TargetCodec(SOURCE)
ALL = tuple(Target.__struct_fields__)


def snapshot_of(targets: Sequence[Target], rejected: Sequence[tuple[Fault, ...]] = ()) -> Snapshot[Target]:
    found: list[Candidate] = [Candidate(one.namespace, one.secret, "", "", one) for one in targets]
    found += [Candidate("default", f"bad-{n}", "", "", faults) for n, faults in enumerate(rejected)]
    items, bad, digest = assemble(found, None, 1.0)
    return Snapshot(items=items, rejected=bad, digest=digest, taken_at=12.5, generation=1_700_000_000_123)


def again(snapshot: Snapshot[Target]) -> Snapshot[Target]:
    return CODEC.load(CODEC.dump(snapshot))


def same(one: Target, other: Target) -> bool:
    """Whether two targets are equal in every field; JSON objects are compared by their text."""
    return all(
        canonical(dict(getattr(one, name))) == canonical(dict(getattr(other, name)))
        if name == "filter_config"
        else getattr(one, name) == getattr(other, name)
        for name in ALL
    )


def test_everything_that_can_be_seen_comes_back() -> None:
    faults = (Fault("url", "has no host"), Fault("name", "is not valid"))
    before = replace(
        snapshot_of([target("fresh"), target("old").stale(99.25, faults), target("off", enabled=False)], [faults]),
        skipped=(Skipped({"file": "a.yaml", "name": "x"}, "no label"),),
        skipped_count=7,
    )
    before = replace(before, digest=before.digest, memo=object(), stats={"secrets_valid": 1.0})
    after = again(before)
    assert list(after.items) == list(before.items)
    assert all(same(after.items[name], one) for name, one in before.items.items())
    assert (after.rejected, after.skipped, after.skipped_count) == (before.rejected, before.skipped, 7)
    assert (after.digest, after.generation, after.taken_at) == (before.digest, before.generation, 12.5)
    assert (after.memo, after.rebase, dict(after.stats)) == (None, None, {})
    assert CODEC.mark(after) == CODEC.mark(before)


def test_what_is_loaded_cannot_be_changed_and_shows_no_credential() -> None:
    [loaded] = again(snapshot_of([target("one")])).items.values()
    assert isinstance(loaded.filter_config, JsonObject)
    with pytest.raises(TypeError):
        loaded.headers["X-Key"] = Credential("other")  # type: ignore[index]
    assert "header-secret" not in f"{loaded!r} {loaded.headers} {loaded.url}"
    assert loaded.url.reveal() == target("one").url.reveal()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(
    name=st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True),
    headers=st.dictionaries(st.sampled_from(["X-A", "X-B", "Authorization"]), st.text("abcXYZ 0=", min_size=1)),
    filters=st.dictionaries(st.text("abc", max_size=3), JSON, max_size=3),
    enabled=st.booleans() | st.none(),
)
def test_whatever_a_secret_holds_comes_back(name: str, headers: Any, filters: Any, enabled: bool | None) -> None:
    config = {"name": name, "type": "webhook", "format": "alertmanager", "url": f"https://example.com/{name}?k=1"}
    config |= {"headers": headers, "filter_config": filters} | ({} if enabled is None else {"enabled": enabled})
    parsed = parse({"config": json.dumps(config).encode()}, namespace="ns", secret="s")
    if isinstance(parsed, Target):
        assert same(again(snapshot_of([parsed])).items[name], parsed)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_snapshot_or_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which one does not matter
        CODEC.load(data)


ONE = msgspec.msgpack.decode(CODEC.dump(snapshot_of([target("one"), target("two")], [(Fault("url", "x"),)])))


def edited(*path: int | str, value: object) -> bytes:
    """The bytes with another value at this place."""
    document = msgspec.msgpack.decode(msgspec.msgpack.encode(ONE))
    inner: Any = document
    for step in path[:-1]:
        inner = inner[step]
    assert inner[path[-1]] != value
    inner[path[-1]] = value
    return msgspec.msgpack.encode(document)


@pytest.mark.parametrize("field", range(12))
def test_a_field_of_another_type_or_value_is_refused(field: int) -> None:
    for value in ("other", b"{}", 7, [["a"]], {"a": 1}, 3.5, not ONE[3][0][field]):
        if value == ONE[3][0][field]:
            continue
        with pytest.raises(ValueError):  # noqa: PT011 - which one does not matter
            CODEC.load(edited(3, 0, field, value=value))


@pytest.mark.parametrize(
    "data",
    [
        edited(1, value="0" * 128),
        edited(3, value=ONE[3][:1]),
        edited(3, 1, value=ONE[3][0]),
        edited(4, value=[]),
        edited(4, 0, 1, value=[["url", "y"]]),
        edited(3, 0, 6, value=b"[1]"),
        edited(3, 0, 6, value=b'{"a": \xff}'),
        edited(3, 0, 6, value=b"[" * 100_000),
    ],
)
def test_content_that_is_not_that_of_the_digest_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which one does not matter
        CODEC.load(data)


def test_plain_filters_are_kept_too() -> None:
    before = snapshot_of([target("one", filter_config={"b": 1, "a": [2.5]})])
    assert dict(again(before).items["one"].filter_config) == {"a": [2.5], "b": 1}


def test_the_reasons_of_rejected_secrets_are_kept() -> None:
    before = replace(snapshot_of([]), rejected=(Rejected({"namespace": "a", "secret": "b"}, (Fault("x", "y"),)),))
    with pytest.raises(ValueError, match="not those of the digest"):
        again(before)


def test_what_remains_when_held_targets_go_after_a_restart_is_kept() -> None:
    found = snapshot_of([target("stays")], [(Fault("url", "has no host"),)])
    served = again(protection.retain(found, {"gone": target("gone")}, 5.0))
    rest = protection.drop(served, ("gone",))
    assert list(rest.items) == ["stays"]
    assert rest.digest == found.digest
    assert list(again(rest).items) == ["stays"]
