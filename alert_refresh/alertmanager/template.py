"""The user's own alertmanager.yml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

LARGEST = 8 * 1024 * 1024
"""Maximum bytes of a template."""


@dataclass(frozen=True)
class Template:
    """A template that was read: `name` is what it is called in messages, `digest` identifies its content."""

    name: str
    digest: str

    @classmethod
    def read(cls, data: bytes, name: str, folder: Path) -> Self:
        """Read a template; `folder` is where the template lies, from which its relative paths count.

        Raises:
            Permanent: it cannot be used (error type `validate`): the line and the reason, never a value.
        """
        raise NotImplementedError
