"""One target of a folder is refreshed by reading again what holds it, and ends as a look at everything would."""

from __future__ import annotations

import base64
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alert_refresh.engine import AttemptError, Trigger
from alert_refresh.files.read import read_file
from alert_refresh.targets.folder.mounted import read_mounted
from tests.fakes import FakeSink
from tests.targets.folder.folders import World, config, mount, secret, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files and mounted Secrets that were read."""
    names: list[str] = []

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(root: Path, path: Path, limit: int) -> Any:
            names.append(str(path.relative_to(root)))
            return function(root, path, limit)

        return call

    module = "alert_refresh.targets.folder.parts"
    monkeypatch.setattr(f"{module}.read_file", noted(read_file))
    monkeypatch.setattr(f"{module}.read_mounted", noted(read_mounted))
    return names


@pytest.fixture
def world(tmp_path: Path, read: list[str]) -> World:
    """Two files and a mounted Secret with four targets."""
    write(tmp_path / "a.yaml", secret("one"), secret("two"))
    write(tmp_path / "b.json", secret("three"))
    mount(tmp_path / "mounted", "v1", {"config": json.dumps(config("four")).encode()})
    world = World(tmp_path)
    world.refresh()
    assert len(world.snapshot.items) == 4  # type: ignore[union-attr]
    read.clear()
    return world


def changed(name: str, **changes: Any) -> dict[str, Any]:
    return secret(name, data={"config": base64.b64encode(json.dumps(config(name) | changes).encode()).decode()})


def test_the_file_that_holds_it_is_read_alone(world: World, read: list[str]) -> None:
    write(world.root / "a.yaml", changed("one", enabled=False), secret("two"))
    write(world.root / "b.json", changed("three", enabled=False))
    write(world.root / "c.yaml", secret("new"))
    snapshot = world.refresh("one")
    assert read == ["a.yaml"]
    assert {name: one.enabled for name, one in snapshot.items.items()} == {
        "four": True,
        "one": False,
        "three": True,
        "two": True,
    }
    assert (snapshot.stats["secrets_valid"], snapshot.stats["secrets_invalid"]) == (1, 0)
    assert list(world.refresh().items) == ["four", "new", "one", "three", "two"]
    assert not world.served("three").enabled and world.snapshot.stats["secrets_valid"] == 5  # type: ignore[union-attr]


def test_a_file_that_is_as_it_was_is_not_read(world: World, read: list[str]) -> None:
    before = world.snapshot
    assert world.refresh("one").digest == before.digest and read == []  # type: ignore[union-attr]


def test_a_mounted_secret_is_read_alone(world: World, read: list[str]) -> None:
    mount(world.root / "mounted", "v2", {"config": json.dumps(config("four") | {"enabled": False}).encode()})
    assert not world.refresh("four").items["four"].enabled
    assert read == ["mounted"]


def test_one_that_is_invalid_now_is_stale(world: World, read: list[str]) -> None:
    write(world.root / "a.yaml", changed("one", url="x"), secret("two"))
    world.refresh("one")
    assert [fault.field for fault in world.served("one").faults] == ["url"]
    assert read == ["a.yaml"] and world.served("two").stale_since is None
    (world.root / "a.yaml").write_text("{")
    world.refresh("one")
    assert world.served("one").faults[0].field == world.served("two").faults[0].field == "file"
    assert read == ["a.yaml", "a.yaml"]


def test_one_with_another_name_loses_its_old_one(world: World, read: list[str]) -> None:
    write(world.root / "a.yaml", secret("one", data=secret("renamed")["data"]), secret("two"))
    assert list(world.refresh("one").items) == ["four", "renamed", "three", "two"]
    assert read == ["a.yaml"]


def test_a_rejected_one_is_asked_for_by_the_name_of_its_secret(world: World, read: list[str]) -> None:
    write(world.root / "c.yaml", changed("bad", url="x"))
    world.refresh()
    read.clear()
    write(world.root / "c.yaml", secret("bad", data=secret("good")["data"]))
    assert "good" in world.refresh("bad").items and read == ["c.yaml"]


@pytest.mark.parametrize("how", ["moved", "deleted", "without its label"])
def test_one_that_is_not_in_its_file_any_more_is_looked_for_everywhere(world: World, read: list[str], how: str) -> None:
    if how == "moved":
        (world.root / "a.yaml").rename(world.root / "z.yaml")
    elif how == "deleted":
        (world.root / "a.yaml").unlink()
    else:
        write(world.root / "a.yaml", secret("one", metadata={"name": "one"}), secret("two"))
    names = {"moved": {"one", "two"}, "deleted": set(), "without its label": {"two"}}[how]
    assert set(world.refresh("one").items) == names | {"three", "four"}


def test_without_its_label_it_is_skipped_and_gone(world: World) -> None:
    write(world.root / "a.yaml", secret("one", metadata={"name": "one"}), secret("two"))
    assert world.refresh("one").skipped_count == 1
    assert "one" not in world.snapshot.items  # type: ignore[union-attr]


def test_before_anything_is_known_everything_is_read(tmp_path: Path, read: list[str]) -> None:
    write(tmp_path / "a.yaml", secret("one"))
    write(tmp_path / "b.yaml", secret("two"))
    world = World(tmp_path)
    assert list(world.refresh("one").items) == ["one", "two"]
    assert read == ["a.yaml", "b.yaml"]


def test_after_a_look_at_everything_that_failed_everything_is_read(world: World, tmp_path: Path) -> None:
    write(world.root / "b.json", changed("three", enabled=False))
    elsewhere = tmp_path.with_name("elsewhere")
    world.root.rename(elsewhere)
    with pytest.raises(AttemptError):
        world.refresh()
    elsewhere.rename(world.root)
    assert not world.refresh("one").items["three"].enabled


def test_after_the_watch_told_of_a_change_everything_is_read(world: World) -> None:
    told: list[Trigger] = []
    write(world.root / "b.json", changed("three", enabled=False))
    world.source._notice(FakeSink(told.append), Trigger.FILE)
    assert told == [Trigger.FILE]
    assert not world.refresh("one").items["three"].enabled
    write(world.root / "b.json", secret("three"))
    assert not world.refresh("one").items["three"].enabled, "now it is read alone again"


def test_a_folder_that_is_one_mounted_secret_is_read(tmp_path: Path) -> None:
    mount(tmp_path / "only", "v1", {"config": json.dumps(config("one")).encode()})
    world = World(tmp_path / "only")
    world.refresh()
    mount(tmp_path / "only", "v2", {"config": json.dumps(config("one") | {"enabled": False}).encode()})
    assert not world.refresh("one").items["one"].enabled


FILES = ("a.yaml", "b.json", "sub/c.yaml")
NAMES = ("one", "two", "three")
objects = st.sampled_from(
    [
        *(secret(name) for name in NAMES),
        *(changed(name, enabled=False) for name in NAMES),
        *(changed(name, url="x") for name in NAMES),
        secret("one", data=secret("two")["data"]),
        secret("one", metadata={"name": "one"}),
        secret("nobody", metadata={"labels": {"publishing-target": "true"}}),
    ]
)
histories = st.lists(
    st.tuples(st.sampled_from(FILES), st.lists(objects, max_size=3), st.sampled_from(NAMES)), min_size=1, max_size=8
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories)
def test_a_target_is_as_a_look_at_everything_would_have_it_on_any_history(tmp_path: Path, done: Any) -> None:
    """Where only files changed that hold the target that is asked for, all of it is the same."""
    root = tmp_path / "root"
    shutil.rmtree(root, ignore_errors=True)
    (root / "sub").mkdir(parents=True)
    for file, name in zip(FILES, NAMES, strict=True):
        write(root / file, secret(name))
    selective, full = World(root), World(root)
    selective.refresh()
    full.refresh()
    for file, documents, name in done:
        write(root / file, *(documents[:1] if file.endswith(".json") else documents))
        memo: Any = selective.snapshot.memo  # type: ignore[union-attr]
        target = selective.snapshot.items.get(name)  # type: ignore[union-attr]
        holds = target is not None and any(one.secret == target.secret for one in memo.parts[file].candidates)
        selective.refresh(name if holds else None)
        full.refresh()
        assert selective.snapshot == full.snapshot
