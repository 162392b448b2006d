"""Which files and subfolders of a folder are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from alert_refresh.engine import Permanent
from tests.targets.folder.folders import LABELS, World, config, mount, secret, write

if TYPE_CHECKING:
    from pathlib import Path


def test_subfolders_are_read_and_hidden_ones_are_not(world: World) -> None:
    for place in ("one", "one/two/three", ".git", "one/.cache", "mounts"):
        (world.root / place).mkdir(parents=True, exist_ok=True)
    write(world.root / "a.yaml", secret("a"))
    write(world.root / "one" / "a.yaml", secret("b"))
    write(world.root / "one" / "two" / "three" / "c.json", secret("c"))
    write(world.root / ".git" / "d.yaml", secret("d"))
    write(world.root / "one" / ".cache" / "e.yaml", secret("e"))
    mount(world.root / "mounts" / "f", "..1", {"config": json.dumps(config("f")).encode()})
    assert world.names() == ["a", "b", "c", "f"]
    write(world.root / "one" / "two" / "three" / "c.json", secret("c", data={}))
    assert world.names() == ["a", "b", "~c", "f"]
    (world.root / "one" / "a.yaml").unlink()
    assert world.names() == ["a", "~c", "f"]


def test_a_file_in_a_subfolder_is_reported_with_its_path(world: World) -> None:
    (world.root / "one" / "two").mkdir(parents=True)
    write(world.root / "one" / "two" / "x.yaml", {"kind": "Secret", "metadata": {"labels": LABELS}}, secret("a"))
    assert world.names() == ["a"]
    assert world.rejected() == [("one/two/x.yaml/1", "metadata.name", "schema")]


def test_subfolders_that_are_links_are_read_once_and_never_outside(tmp_path: Path) -> None:
    world = World(tmp_path / "root")
    (world.root / "one" / "two").mkdir(parents=True)
    write(world.root / "one" / "two" / "a.yaml", secret("a"))
    (world.root / "one" / "circle").symlink_to("..")
    (world.root / "one" / "two" / "self").symlink_to(".")
    (world.root / "zwei").symlink_to("one/two")
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    write(outside / "b.yaml", secret("b"))
    (world.root / "out").symlink_to(outside)
    assert world.names() == ["a"]
    assert world.rejected() == [("out", "file", "storage")]


def test_folders_that_are_nested_too_deeply_are_reported(world: World) -> None:
    deep = world.root.joinpath(*["d"] * 17)
    deep.mkdir(parents=True)
    write(deep.parent / "a.yaml", secret("a"))
    write(deep / "b.yaml", secret("b"))
    assert world.names() == ["a"]
    assert world.rejected() == [("/".join("d" * 17), "file", "storage")]


def test_the_limit_of_files_holds_for_all_folders_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_refresh.targets.folder.walk.MAX_ENTRIES", 3)
    (world.root / "one").mkdir()
    write(world.root / "one" / "a.yaml", secret("a"))
    write(world.root / "b.yaml", secret("b"))
    assert world.names() == ["a", "b"]
    write(world.root / "one" / "c.yaml", secret("c"))
    with pytest.raises(Permanent, match="more than 3 files"):
        world.refresh()
