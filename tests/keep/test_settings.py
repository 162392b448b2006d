"""The settings of what is kept: the key file, the age."""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.daemon import read_config
from alert_refresh.engine import ConfigErrors
from alert_refresh.keep.key import Key, decoded
from alert_refresh.keep.settings import KEY_FILE, MAX_AGE

if TYPE_CHECKING:
    from collections.abc import Callable

RAW = bytes(range(200, 232))


def fault(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigErrors) as raised:
        read_config(environ)
    [one] = raised.value.faults
    return one.reason


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> dict[str, str]:
    file = folder / "key"
    file.write_bytes(content)
    file.chmod(mode)
    return {KEY_FILE: str(file)}


def test_nothing_is_set_by_default() -> None:
    keep = read_config({}).keep
    assert (keep.folder, keep.key, keep.max_age) == (None, None, None)


def test_the_folder_and_the_age_are_read() -> None:
    keep = read_config({"STATE_DIRECTORY": "/a", MAX_AGE: "2h"}).keep
    assert (keep.folder, keep.max_age) == (Path("/a"), 7200.0)


@pytest.mark.parametrize("text", ["0s", "-1s", "a day", "5"])
def test_an_age_that_is_none_is_a_fault(text: str) -> None:
    assert fault({MAX_AGE: text})


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda raw: raw,
    "hexadecimal": lambda raw: raw.hex().encode(),
    "hexadecimal with a line end": lambda raw: raw.hex().upper().encode() + b"\n",
    "base64": base64.b64encode,
    "base64 with a line end": lambda raw: base64.b64encode(raw) + b"\r\n",
    "base64 for URLs": base64.urlsafe_b64encode,
    "base64 without its end": lambda raw: base64.b64encode(raw).rstrip(b"="),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_read_in_every_form(tmp_path: Path, form: str) -> None:
    config = read_config(key_file(tmp_path, FORMS[form](RAW)))
    assert config.keep.key == Key(RAW)
    assert str(RAW) not in repr(config)


@given(st.binary(min_size=32, max_size=32), st.sampled_from(sorted(FORMS)))
def test_every_key_is_read_in_every_form(raw: bytes, form: str) -> None:
    assert decoded(FORMS[form](raw)) == raw


@given(st.binary(max_size=100))
def test_any_content_is_a_key_or_none(content: bytes) -> None:
    key = decoded(content)
    assert key is None or len(key) == 32


def test_a_key_may_be_a_mounted_secret(tmp_path: Path) -> None:
    folder = tmp_path / "..2026"
    folder.mkdir()
    key_file(folder, RAW, 0o440)
    (tmp_path / "..data").symlink_to(folder.name)
    (tmp_path / "mounted").symlink_to("..data/key")
    assert read_config({KEY_FILE: str(tmp_path / "mounted")}).keep.key == Key(RAW)


def test_every_fault_of_a_key_file_is_told(tmp_path: Path) -> None:
    assert fault({KEY_FILE: str(tmp_path / "none")}) == "the key file cannot be read: No such file or directory"
    assert fault({KEY_FILE: str(tmp_path)}) == "the key file cannot be read: Is a directory"
    assert "does not hold 32 bytes" in fault(key_file(tmp_path, RAW + b"\n"))
    assert "does not hold 32 bytes" in fault(key_file(tmp_path, b""))
    assert "open to everybody" in fault(key_file(tmp_path, RAW, 0o644))
    assert "larger than" in fault(key_file(tmp_path, RAW * 1000))


def test_a_key_without_the_library_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "extra 'encryption'" in fault(key_file(tmp_path, RAW))
