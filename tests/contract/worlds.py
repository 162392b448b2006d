"""What each source reads, under the test's control. A new source joins with a class here and its name in `WORLDS`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import RefreshSettings, Snapshot, SystemClock, Transient
from alert_refresh.rules import KIND as RULES
from alert_refresh.rules import Settings as RuleSettings
from alert_refresh.targets import KIND, Settings
from tests.fakes import FakeSource
from tests.kube import KubeServer, faults, kubeconfig, secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from alert_refresh.engine import Deadline, Request, Source

    Fired = Callable[[], bool]
    Fault = Callable[[], AbstractContextManager[Fired]]

CANARY = "canary-4f1c"
"""Is in what every source reads, and must be in no error."""


class World(ABC):
    """One source and its input, which holds the items `first` and `second`.

    `faults` maps words to contexts in which a refresh must fail; each yields a function that tells whether the
    fault was met. `hang` names the one in which the source's other side never answers, if there is such a thing.
    """

    kind = KIND
    hang = ""
    watches = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source: Source[Any] = self.build()
        self.write(1)

    @abstractmethod
    def build(self) -> Source[Any]:
        """The source, before anything is there to be read."""

    @abstractmethod
    def write(self, version: int) -> None:
        """Change `second`, so that every version's content differs; `first` stays as it is."""

    @abstractmethod
    def faults(self) -> dict[str, Fault]:
        """What can go wrong."""

    def close(self) -> None:  # noqa: B027 - most worlds hold nothing
        """Release what the world holds, after the source was closed."""


class FakeWorld(World):
    """The fake source of the engine's tests must itself fulfil the contract."""

    version = 0
    broken = False

    def build(self) -> Source[Any]:
        world = self

        class Checked(FakeSource):
            def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[str]:
                deadline.check()
                return super().refresh(previous, request, deadline)

        def answer(_: int) -> Snapshot[str]:
            if world.broken:
                raise Transient("broken", "network")
            return Snapshot(
                items={"first": "1", "second": f"{CANARY}-{world.version}"}, digest=str(world.version), taken_at=1.0
            )

        return Checked(answer)

    def write(self, version: int) -> None:
        self.version = version

    def faults(self) -> dict[str, Fault]:
        @contextmanager
        def broken() -> Iterator[Fired]:
            self.broken = True
            yield lambda: True
            self.broken = False

        return {"broken": broken}


def target_settings(**changes: Any) -> Settings:
    values: dict[str, Any] = {
        "refresh": RefreshSettings(),
        "source": "directory",
        "directory": None,
        "namespaces": ("default",),
        "label_selector": "publishing-target=true",
        "watch": True,
        "kubeconfig": "",
        "deny_private": False,
    }
    return Settings(**(values | changes))


def manifest(name: str, version: int) -> dict[str, Any]:
    body: dict[str, Any] = secret(name, url=f"https://example.com/{CANARY}/{version}")
    return {"apiVersion": "v1", "kind": "Secret"} | body


class DirectoryWorld(World):
    """A folder of two manifests."""

    watches = True

    def build(self) -> Source[Any]:
        from alert_refresh.targets.folder.source import DirectorySource

        self.manifests = self.folder / "manifests"
        self.manifests.mkdir()
        return DirectorySource(target_settings(directory=self.manifests), SystemClock())

    def write(self, version: int) -> None:
        for name, content in (("first", 0), ("second", version)):
            temporary = self.manifests / f".{name}"
            temporary.write_text(json.dumps(manifest(name, content)))
            temporary.rename(self.manifests / f"{name}.json")

    def faults(self) -> dict[str, Fault]:
        @contextmanager
        def moved(instead: Callable[[], object]) -> Iterator[Fired]:
            away = self.manifests.rename(self.folder / "away")
            instead()
            yield lambda: True
            if self.manifests.is_file():
                self.manifests.unlink()
            away.rename(self.manifests)

        return {
            "the folder is gone": lambda: moved(lambda: None),
            "the folder is a file": lambda: moved(self.manifests.touch),
        }


class KubernetesWorld(World):
    """Two Secrets on the API server's stand-in."""

    hang = "no answer"

    def build(self) -> Source[Any]:
        from alert_refresh.targets.kubernetes.source import KubernetesSource

        self.kube = KubeServer().__enter__()
        file = kubeconfig(self.folder / "kubeconfig", self.kube.url)
        settings = target_settings(source="kubernetes", kubeconfig=str(file), watch=False)
        return KubernetesSource(settings, SystemClock())

    def write(self, version: int) -> None:
        present = self.kube.store.at()
        assert present is not None
        if not present[1]:
            self.kube.store.create(manifest("first", 0))
            self.kube.store.create(manifest("second", version))
        else:
            self.kube.store.replace(manifest("second", version))

    def faults(self) -> dict[str, Fault]:
        @contextmanager
        def ruled(action: Any) -> Iterator[Fired]:
            rule = self.kube.fault(action)
            yield lambda: rule.fired > 0
            self.kube.faults.clear()

        @contextmanager
        def refused() -> Iterator[Fired]:
            self.kube.close()
            yield lambda: True
            self.kube.open()

        return {
            "connection refused": refused,
            "no answer": lambda: ruled(faults.silence),
            "503": lambda: ruled(faults.status(503)),
            "403": lambda: ruled(faults.status(403)),
            "a page of HTML": lambda: ruled(faults.page(f"<html>{CANARY}</html>".encode(), "text/html")),
            "half a body": lambda: ruled(faults.truncated("length")),
        }

    def close(self) -> None:
        self.kube.__exit__()


class RulesWorld(World):
    """A warm file of two rules."""

    kind = RULES
    watches = True

    def build(self) -> Source[Any]:
        from alert_refresh.rules.source import FileSource

        self.file = self.folder / "rules.warm"
        return FileSource(self.file, RuleSettings(RefreshSettings(), 300, self.file, 100, None), SystemClock())

    def write(self, version: int) -> None:
        from alert_refresh.files import write as atomic_file
        from alert_refresh.rules.forms import warm_file
        from alert_refresh.rules.rule import Rule

        rules = [Rule(id="first"), Rule(id="second", description=f"{CANARY}-{version}")]
        atomic_file.write(self.file, warm_file.pack(rules))

    def faults(self) -> dict[str, Fault]:
        @contextmanager
        def instead(data: bytes | None) -> Iterator[Fired]:
            before = self.file.read_bytes()
            self.file.unlink()
            if data is not None:
                self.file.write_bytes(data)
            yield lambda: True
            self.file.write_bytes(before)

        return {
            "the file is gone": lambda: instead(None),
            "the file is cut": lambda: instead(self.file.read_bytes()[:-1]),
            "a rule is bad": lambda: instead(f'[{{"id": "first", "priority": "{CANARY}"}}]'.encode()),
        }


WORLDS: tuple[type[World], ...] = (FakeWorld, DirectoryWorld, KubernetesWorld, RulesWorld)
