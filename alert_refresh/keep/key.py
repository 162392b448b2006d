"""The key of encrypted snapshots: a file of 32 bytes, plain or in base64 or hexadecimal."""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alert_refresh.files.read import READ_ONLY, read_descriptor

if TYPE_CHECKING:
    from pathlib import Path

BYTES = 32
LIMIT = 4096
HEX = re.compile(rb"[0-9a-fA-F]{64}")
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{43}=?")


@dataclass(frozen=True, slots=True)
class Key:
    """A key for AES-256-GCM, never shown."""

    value: bytes = field(repr=False)


def read_key(path: Path) -> Key:
    """The key in a file; symlinks are followed, since a mounted Secret is one.

    Raises:
        ValueError: others may read it, or it holds something else.
        OSError, AttemptError: it cannot be read, or is no regular file.
    """
    descriptor = os.open(path, READ_ONLY & ~os.O_NOFOLLOW)
    if os.fstat(descriptor).st_mode & 0o007:
        os.close(descriptor)
        raise ValueError("the key file is open to everybody; take that right away (chmod o-rwx)")
    content = read_descriptor(descriptor, "the key file", LIMIT)
    if (value := decoded(content)) is None:
        raise ValueError(f"the key file does not hold {BYTES} bytes, plain or in base64 or hexadecimal")
    return Key(value)


def decoded(content: bytes) -> bytes | None:
    """The key in the content of a file, None if there is none."""
    if len(content) == BYTES:
        return content
    text = content.strip()
    if HEX.fullmatch(text):
        return binascii.unhexlify(text)
    if BASE64.fullmatch(text):
        return base64.urlsafe_b64decode(text.rstrip(b"=").translate(bytes.maketrans(b"+/", b"-_")) + b"=")
    return None
