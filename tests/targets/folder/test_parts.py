"""What has not changed is not read again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alert_refresh.targets.folder import parts
from tests.targets.folder.folders import World, config, secret, write

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """The files for which a function of `parts` is called."""
    calls: list[str] = []
    real: Callable[..., Any] = getattr(parts, name)

    def count(*args: Any, **options: Any) -> Any:
        calls.extend(arg if isinstance(arg, str) else arg.name for arg in args[:2] if isinstance(arg, str | Path))
        return real(*args, **options)

    monkeypatch.setattr(parts, name, count)
    return calls


def test_what_has_not_changed_is_neither_read_nor_parsed_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write(world.root / "a.yaml", secret("a"))
    write(world.root / "b.yaml", secret("b"))
    (world.root / "c.yaml").write_text("kind: [")
    first = world.refresh()
    read, loaded = counted(monkeypatch, "read_file"), counted(monkeypatch, "load")
    write(world.root / "b.yaml", secret("b", stringData={"config": json.dumps(config("b", enabled=False))}))
    second = world.refresh()
    assert "b.yaml" in read and "a.yaml" not in read and "c.yaml" not in read
    assert loaded == ["b.yaml"]
    assert second.items["a"] is first.items["a"]
    assert second.items["b"].enabled is False
    assert world.refresh().digest == second.digest


def test_a_file_as_young_as_its_time_stamp_is_read_again_but_not_parsed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(world.root / "a.yaml", secret("a"))
    os.utime(world.root / "a.yaml", (1, 1))  # else it might still be being written
    world.clock.wall_offset = (world.root / "a.yaml").stat().st_ctime
    first = world.refresh()
    read, loaded = counted(monkeypatch, "read_file"), counted(monkeypatch, "load")
    assert world.refresh().items["a"] is first.items["a"]
    assert "a.yaml" in read and not loaded


def test_files_of_the_same_content_stay_the_same_snapshot(world: World) -> None:
    write(world.root / "a.yaml", secret("a"))
    first = world.refresh()
    (world.root / "a.yaml").write_text(json.dumps(secret("a"), indent=7))
    assert world.refresh().digest == first.digest
