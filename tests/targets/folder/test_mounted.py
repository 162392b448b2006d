"""Mounted Secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.targets.folder.folders import World, config, mount, secret

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_folder_with_data_is_one_mounted_secret(world: World) -> None:
    mount(world.root / "team-a", "..2024_1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    mount(world.root / "team-b", "..2024_1", {"config": json.dumps(config("b")).encode()})
    items = world.refresh().items
    assert list(items) == ["b", "team-a"]
    assert (items["team-a"].namespace, items["team-a"].secret, items["team-a"].shape) == ("default", "team-a", "flat")


def test_the_folder_itself_may_be_the_mounted_secret(tmp_path: Path) -> None:
    world = World(tmp_path / "team-a")
    mount(world.root, "..2024_1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    assert world.names() == ["team-a"]
    first = world.snapshot
    assert first is not None and world.refresh().items["team-a"] is first.items["team-a"]
    mount(world.root, "..2024_2", {"type": b"fax", "url": b"https://hooks.example.com/x"})
    assert world.names() == ["~team-a"]


def test_a_mounted_secret_may_hold_manifests(tmp_path: Path) -> None:
    world = World(tmp_path / "volume")
    mount(world.root, "..1", {"a.yaml": json.dumps(secret("a")).encode(), "b.json": json.dumps(secret("b")).encode()})
    assert world.names() == ["a", "b"]
    mount(world.root, "..2", {"a.yaml": b"kind: [", "b.json": json.dumps(secret("b")).encode()})
    assert world.names() == ["~a", "b"]


def test_a_mounted_secret_of_neither_kind_is_rejected(world: World) -> None:
    mount(world.root / "odd", "..1", {"password": b"x"})
    assert world.names() == []
    assert world.rejected() == [("default/odd", "config", "missing_config")]


def test_a_mounted_secret_that_leads_out_is_rejected(tmp_path: Path) -> None:
    world = World(tmp_path / "root")
    mount(tmp_path / "outside", "..1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    world.root.mkdir()
    (world.root / "link").symlink_to(tmp_path / "outside")
    assert world.names() == []
    assert world.rejected() == [("link", "file", "storage")]


def test_a_volume_of_manifests_that_cannot_be_read_keeps_them_all(world: World) -> None:
    mount(world.root / "volume", "..1", {"a.yaml": json.dumps(secret("a")).encode()})
    assert world.names() == ["a"]
    (world.root / "volume" / "..data").unlink()
    (world.root / "volume" / "..data").symlink_to("/etc")
    assert world.names() == ["~a"]


def test_folders_and_special_files_in_a_mounted_secret_are_not_keys(world: World) -> None:
    mount(world.root / "a", "..1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    (world.root / "a" / "..1" / "name").symlink_to("type")
    (world.root / "a" / "..1" / "format").mkdir()
    assert world.names() == ["a"]


def test_a_mounted_secret_has_a_limit_of_keys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_refresh.targets.folder.mounted.MAX_KEYS", 1)
    mount(world.root / "a", "..1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    assert world.names() == []
    assert world.rejected() == [("a", "file", "too_large")]
