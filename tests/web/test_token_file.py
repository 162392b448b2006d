from __future__ import annotations

import os
from pathlib import Path

import pytest

from alert_refresh.engine import Permanent
from alert_refresh.web.token_file import LIMIT, read_tokens


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        (b"", ()),
        (b" \r\n\t\n", ()),
        (b"one", (b"one",)),
        (b"one\n  two \r\n\nthree", (b"one", b"two", b"three")),
        (b"x" * LIMIT, (b"x" * LIMIT,)),
    ],
)
def test_tokens_are_lines_without_the_blanks_around_them(
    content: bytes, tokens: tuple[bytes, ...], tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    link = tmp_path / "link"
    link.symlink_to(file)
    assert read_tokens(file) == read_tokens(link) == tokens


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with file.open("wb") as long:
        long.truncate(50_000_000)
    with pytest.raises(Permanent, match=f"larger than {LIMIT} bytes"):
        read_tokens(file)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_what_is_not_a_regular_file_is_refused_immediately(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises((Permanent, IsADirectoryError)):
            read_tokens(path)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before, "a descriptor was left open"


def test_a_missing_file_has_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_tokens(tmp_path / "none")
