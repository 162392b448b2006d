"""Folders of manifests for tests, and a source that reads them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Deadline, RefreshSettings, Request, Trigger
from alert_refresh.targets import Settings
from alert_refresh.targets.folder.source import DirectorySource
from tests.fakes import FakeClock

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from alert_refresh.engine import Snapshot
    from alert_refresh.targets.target import Target

CANARY = "canary-4f1c"
LABELS = {"publishing-target": "true"}


def config(name: str, /, **changes: Any) -> dict[str, Any]:
    """A valid `config` object."""
    return {
        "name": name,
        "type": "webhook",
        "format": "alertmanager",
        "url": f"https://hooks.example.com/{CANARY}/{name}",
    } | changes


def secret(name: str, **changes: Any) -> dict[str, Any]:
    """The manifest of a Secret with a valid target; `changes` replace its top-level fields."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": LABELS},
        "data": {"config": base64.b64encode(json.dumps(config(name)).encode()).decode()},
    } | changes


def write(path: Path, *documents: Any) -> None:
    """Replace a file with these documents at once; JSON is YAML, too."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text("\n---\n".join(json.dumps(document, indent=1) for document in documents))
    temporary.rename(path)


def mount(folder: Path, version: str, values: dict[str, bytes]) -> None:
    """Put a version of a Secret where the kubelet would, and swap `..data` to it."""
    folder.mkdir(exist_ok=True)
    old = (folder / "..data").readlink() if (folder / "..data").is_symlink() else None
    (folder / version).mkdir()
    for key, value in values.items():
        (folder / version / key).write_bytes(value)
        if not (folder / key).is_symlink():
            (folder / key).symlink_to(f"..data/{key}")
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")
    if old is not None:
        for file in (folder / old).iterdir():
            file.unlink()
        (folder / old).rmdir()


class World:
    """A folder and what a source has made of it so far."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.clock = FakeClock()
        self.clock.wall_offset = 4_000_000_000.0  # long after any file of the test was written
        defaults: dict[str, Any] = {
            "refresh": RefreshSettings(),
            "source": "directory",
            "directory": root,
            "namespaces": (),
            "label_selector": "publishing-target=true",
            "watch": True,
            "kubeconfig": "",
            "deny_private": False,
        }
        self.source = DirectorySource(Settings(**(defaults | settings)), self.clock)
        self.snapshot: Snapshot[Target] | None = None
        self.trigger = Trigger.MANUAL
        self.stopping: threading.Event | None = None

    def refresh(self, scope: str | None = None) -> Snapshot[Target]:
        """Refresh once, as the engine would."""
        deadline = Deadline(self.clock, 30.0)
        if self.stopping is not None:
            deadline.stopping = self.stopping
        self.snapshot = self.source.refresh(self.snapshot, Request(self.trigger, scope=scope), deadline)
        return self.snapshot

    def names(self) -> list[str]:
        """Names of the targets after a refresh, stale ones with a `~`."""
        return [f"~{name}" if one.stale_since is not None else name for name, one in self.refresh().items.items()]

    def served(self, name: str) -> Target:
        """The target of that name in the last refresh."""
        assert self.snapshot is not None
        return self.snapshot.items[name]

    def rejected(self) -> list[tuple[str, str, str]]:
        """Where the rejected of the last refresh are from, with the field and code word of their first fault."""
        assert self.snapshot is not None
        return [
            ("/".join(one.origin.values()), one.faults[0].field, one.faults[0].message.partition(":")[0])
            for one in self.snapshot.rejected
        ]
