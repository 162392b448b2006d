"""A snapshot is immutable."""

from __future__ import annotations

import dataclasses

import pytest

from alert_refresh.engine import Snapshot


def test_c08_a_snapshot_cannot_be_changed_by_its_readers() -> None:
    one: Snapshot[str] = Snapshot(items={"a": "x"}, stats={"discover_seconds": 0.1})
    with pytest.raises(TypeError):
        one.items["b"] = "y"  # type: ignore[index]  # it is frozen
    with pytest.raises(TypeError):
        one.stats["b"] = 1.0  # type: ignore[index]  # it is frozen
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.digest = "other"  # type: ignore[misc]  # it is frozen
    assert dict(one.items) == {"a": "x"}


def test_a_copy_shares_the_mapping_instead_of_wrapping_it_again() -> None:
    one: Snapshot[str] = Snapshot(items={"a": "x"})
    two = dataclasses.replace(one, generation=5)
    assert two.items is one.items
    assert two.stats is one.stats


def test_memo_and_stats_are_not_part_of_the_identity_of_a_snapshot() -> None:
    one: Snapshot[str] = Snapshot(items={}, memo=object(), stats={"x": 1.0})
    assert one == Snapshot(items={})
    assert "memo" not in repr(one)
