"""docs/library.md is true: its code runs as it is written, and its tables say what the engine has."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alert_refresh import engine
from alert_refresh.engine import RefreshSettings

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "library.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_block_runs_and_prints_what_is_written_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "library"}
    for block in BLOCKS:
        exec(compile(block, "docs/library.md", "exec"), names)
    said = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert said == re.findall(r"^ *print\(.*?\) +# (.+)$", PAGE, re.MULTILINE)
    assert len(said) == 3


def test_the_table_of_settings_has_every_field_with_its_default() -> None:
    shown = {name: float(default) for name, default in re.findall(r"^\| `(\w+)` \| ([0-9]+) \|", PAGE, re.MULTILINE)}
    fields = {field.name: field.default for field in dataclasses.fields(RefreshSettings)}
    assert shown == {name: fields[name] for name in shown}
    assert len(shown) == 7


def test_the_table_of_errors_names_errors_of_the_engine() -> None:
    named = re.findall(r"^\| `(\w+)` \| `\w+` \|", PAGE, re.MULTILINE)
    assert len(named) == 6
    for name in named:
        assert issubclass(getattr(engine, name), engine.RefreshError)
