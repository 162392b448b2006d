"""Secret manifests to measure with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.kube import secret

if TYPE_CHECKING:
    from pathlib import Path


def manifests(folder: Path, count: int) -> Path:
    """Fill a folder with `count` valid manifests, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        document = {"apiVersion": "v1", "kind": "Secret"} | secret(f"target-{number:03d}")
        (folder / f"{number:03d}.json").write_text(json.dumps(document))
    return folder
