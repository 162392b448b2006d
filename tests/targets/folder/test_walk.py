"""Which files and subfolders of a folder are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from alert_refresh.engine import Permanent
from alert_refresh.targets.folder.validate import Validation
from alert_refresh.targets.secret.selector import parse_selector
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


NOT_A_MANIFEST = "is no *.yaml, *.yml or *.json"
NO_MANIFESTS = "a subfolder without ..data holds no manifest (*.yaml, *.yml, *.json)"


def skipped(world: World) -> list[tuple[str, str]]:
    """The file and reason of what the last refresh skipped."""
    assert world.snapshot is not None
    return [(one.origin["file"], one.reason) for one in world.snapshot.skipped]


def put(root: Path, *names: str) -> None:
    """Make empty files, with their folders."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_what_is_no_manifest_but_may_be_meant_as_one_is_skipped_with_the_reason(world: World) -> None:
    write(world.root / "a.yaml", secret("a"))
    put(world.root, "b.yaml.txt", "C.YAML", "d.json_old", "one/E.Yml", "team/slack/url", "team/slack/type")
    assert world.names() == ["a"]
    assert skipped(world) == [
        ("C.YAML", NOT_A_MANIFEST),
        ("b.yaml.txt", NOT_A_MANIFEST),
        ("d.json_old", NOT_A_MANIFEST),
        ("one/E.Yml", NOT_A_MANIFEST),
        ("team/slack", NO_MANIFESTS),
    ]
    assert world.snapshot is not None and world.snapshot.stats["secrets_skipped"] == 5
    check = Validation(parse_selector("publishing-target=true"), deny_private=False)
    check.add_folder(world.root)
    report = check.report()
    assert [(one.place.file, one.reason) for one in report.skipped] == [
        (str(world.root / name), reason) for name, reason in skipped(world)
    ]
    assert (report.targets, report.faults) == (1, [])


def test_hidden_temporary_and_unrelated_files_are_ignored_without_a_word(world: World) -> None:
    put(world.root, ".b.yaml.txt", "b.yaml~", "b.yaml.swp", "b.yaml.tmp", "#b.yaml#", "README.md", "yaml", "x.jsonl")
    put(world.root, "one/.hidden", "one/b~", "two/README.md", "two/deep/.hidden")
    write(world.root / "two" / "deep" / "a.yaml", secret("a"))
    (world.root / "empty").mkdir()
    assert world.names() == ["a"]
    assert skipped(world) == []


def test_a_mounted_secret_that_becomes_a_plain_folder_is_gone_and_said_to_be(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    mount(world.root / "team", "..1", {"config": json.dumps(config("a")).encode()})
    assert world.names() == ["a"]
    (world.root / "team" / "..data").unlink()
    assert world.names() == []
    assert skipped(world) == [("team", NO_MANIFESTS)]
    gone = [record for record in caplog.records if "Secret is gone" in record.message]
    assert [record.__dict__["error"] for record in gone] == [NO_MANIFESTS]
    world.refresh()
    assert sum("Secret is gone" in record.message for record in caplog.records) == 1
