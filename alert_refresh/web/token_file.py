"""Reading a file of bearer tokens, one per line, which may be anything by mistake."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from alert_refresh.files.read import READ_ONLY, read_descriptor

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 64 * 1024
"""Bytes of a token file; a longer one is refused."""


def read_tokens(path: Path) -> tuple[bytes, ...]:
    """The tokens in the file, following symlinks; empty if it holds none.

    Raises:
        OSError: it cannot be opened or read.
        AttemptError: it is not a regular file, too long, or changed while it was read.
    """
    content = read_descriptor(os.open(path, READ_ONLY & ~os.O_NOFOLLOW), "the token file", LIMIT)
    return tuple(token for line in content.splitlines() if (token := line.strip()))
