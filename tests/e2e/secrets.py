"""Secrets in a folder, as the tests of the page need them: valid, broken, removed."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

from tests.process.program import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.process.program import Program

CANARY = "canary-9f3c71"
"""In the path of every URL and the value of every header: it must never reach a browser."""
TYPES = ("slack", "pagerduty", "rootly", "webhook")


def put(folder: Path, name: str, **changes: Any) -> None:
    """Write the manifest of a Secret whose target has this name, replacing it in one step."""
    written = folder / f".{name}.new"
    written.write_text(json.dumps(manifest(name, **changes)))
    written.rename(folder / f"{name}.json")


def put_together(folder: Path, name: str, names: Iterable[str]) -> None:
    """Write one file with the Secrets of these targets, so that they go together too."""
    items = [manifest(one) for one in names]
    (folder / f"{name}.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def manifest(name: str, *, secret: str = "", namespace: str = "monitoring", **changes: Any) -> dict[str, Any]:
    """A Secret whose target has this name; `changes` are fields of the target."""
    kind = changes.get("type", TYPES[sum(map(ord, name)) % len(TYPES)])
    config = {
        "name": name,
        "type": kind,
        "format": "alertmanager" if kind == "webhook" else kind,
        "url": f"https://hooks.example.com/services/{CANARY}",
        "headers": {"X-Key": CANARY},
    }
    text = json.dumps(config | changes)
    metadata = {"name": secret or f"{name}-secret", "namespace": namespace, "labels": {"publishing-target": "true"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"config": text}}


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


def remove_together(program: Program, folder: Path, names: Iterable[str]) -> None:
    """Delete the Secrets of these targets while the daemon is stopped, so that it misses all of them at once."""
    program.process.send_signal(signal.SIGSTOP)
    assert eventually(lambda: "\nState:\tT" in program.proc("status"))
    for name in names:
        remove(folder, name)
    program.process.send_signal(signal.SIGCONT)
