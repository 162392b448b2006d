"""Secrets in a folder, as the tests of the page need them: valid, broken, removed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CANARY = "canary-9f3c71"
"""In the path of every URL and the value of every header: it must never reach a browser."""
TYPES = ("slack", "pagerduty", "rootly", "webhook")


def put(folder: Path, name: str, *, secret: str = "", namespace: str = "monitoring", **changes: Any) -> None:
    """Write the manifest of a Secret whose target has this name, replacing it in one step."""
    kind = changes.get("type", TYPES[sum(map(ord, name)) % len(TYPES)])
    config = {
        "name": name,
        "type": kind,
        "format": "alertmanager" if kind == "webhook" else kind,
        "url": f"https://hooks.example.com/services/{CANARY}",
        "headers": {"X-Key": CANARY},
    } | changes
    metadata = {"name": secret or f"{name}-secret", "namespace": namespace, "labels": {"publishing-target": "true"}}
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": {"config": json.dumps(config)},
    }
    written = folder / f".{name}.new"
    written.write_text(json.dumps(manifest))
    written.rename(folder / f"{name}.json")


def fill(folder: Path, names: Iterable[str]) -> Path:
    """Write a Secret for each of these names."""
    folder.mkdir(exist_ok=True)
    for name in names:
        put(folder, name)
    return folder


def spoil(folder: Path, name: str) -> None:
    """Make the Secret of this target invalid in two fields."""
    put(folder, name, type="slak", url="hooks.example.com/none")


def remove(folder: Path, name: str) -> None:
    """Delete the Secret of this target."""
    (folder / f"{name}.json").unlink()
