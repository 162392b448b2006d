"""Reading a file of bearer tokens, one per line, which may be anything by mistake."""

from __future__ import annotations

import os
from pathlib import Path

from alert_refresh import mistakes
from alert_refresh.credential import Credential
from alert_refresh.engine import AttemptError
from alert_refresh.files.read import READ_ONLY, read_descriptor, storage_error

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


def usable_tokens(path: Path) -> tuple[Credential, ...]:
    """The tokens in the file, one at least, each of which a client can send.

    Raises:
        ValueError: there are none; the message says why, and holds no part of one.
    """
    try:
        found = [token.decode(errors="surrogateescape") for token in read_tokens(path)]
    except OSError as error:
        raise ValueError(storage_error(error, "the token file")) from None
    except AttemptError as error:
        raise ValueError(error) from None
    if not found:
        raise ValueError("the token file holds no token")
    for number, token in enumerate(found, 1):
        if (fault := mistakes.token(token)) is not None:
            raise ValueError(f"token {number} of the token file {fault}")
    return tuple(map(Credential, found))


def is_file(text: str) -> bool:
    """Whether a text that should be a token is the path of a file."""
    try:
        return text.startswith("/") and Path(text).is_file()
    except OSError:
        return False  # longer than any path
