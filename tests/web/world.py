"""A daemon with one targets worker and a scripted source, and its app."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from alert_refresh.config import read_server
from alert_refresh.credential import Credential
from alert_refresh.daemon import KINDS, Daemon
from alert_refresh.engine import Fault, RefreshSettings, Rejected, Snapshot, Trigger, Worker
from alert_refresh.env import Env
from alert_refresh.targets import KIND
from alert_refresh.targets.target import Target
from alert_refresh.web.app import create_app
from tests.fakes import FakeClock, FakeSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from flask import Flask

ADMIN, READ = "admin-token-1", "read-token-1"
TARGETS = "/api/v2/publishing/targets"


def target(name: str, **changes: Any) -> Target:
    """A target that posts to Slack, with `changes`."""
    fields: dict[str, Any] = {
        "name": name,
        "type": "slack",
        "format": "slack",
        "url": Credential(f"https://hooks.example.com:8443/services/{name}?key=1"),
        "headers": {"X-Key": Credential("header-secret")},
        "filter_config": {"severity": ["critical"]},
        "namespace": "default",
        "secret": f"{name}-secret",
        "shape": "config",
    }
    return Target(**fields | changes)


def targets(
    *items: Target, digest: str = "one", rejected: int = 0, stats: Mapping[str, float] | None = None
) -> Snapshot[Any]:
    """A snapshot of these targets and a number of rejected Secrets."""
    return Snapshot(
        items={item.name: item for item in items},
        rejected=tuple(
            Rejected({"namespace": "default", "secret": f"bad-{n}"}, (Fault("url", "has no host"),))
            for n in range(rejected)
        ),
        digest=digest,
        stats=stats or {},
    )


class OneKind(Daemon):
    """A daemon with one targets worker, or with none: then targets are off."""

    def __init__(
        self,
        source: FakeSource | None,
        clock: FakeClock,
        settings: RefreshSettings,
        environ: Mapping[str, str],
        kind: Any = KIND,
    ) -> None:
        env = Env(environ)
        super().__init__(read_server(env, {kind.name: kind.read(env) for kind in KINDS}), clock)
        assert not env.faults
        self.off = {}
        if source is None:
            self.off[KIND.name] = "set TARGET_DIRECTORY"
        else:
            self.workers = {kind.name: Worker(kind, source, settings, clock=clock)}


class World:
    """The clock, the source and the daemon of a test; leaving its context stops them. `start` waits for one attempt."""

    def __init__(
        self,
        *,
        answer: Callable[[int], Snapshot[Any]] | None = None,
        off: bool = False,
        settings: RefreshSettings | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.source = FakeSource(answer or (lambda n: targets(target("one"), target("two"), rejected=1)))
        self.daemon = OneKind(None if off else self.source, self.clock, settings or RefreshSettings(), environ or {})
        self.app: Flask = create_app(self.daemon)
        self.client: Any = self.app.test_client()
        self._hanging: list[threading.Event] = []
        self._ended = threading.Semaphore(0)
        for worker in self.daemon.workers.values():
            worker.listen(lambda outcome: self._ended.release())

    @property
    def worker(self) -> Worker[Any]:
        return self.daemon.workers["targets"]

    def start(self) -> Self:
        """Start, and wait for the start-up attempt to end."""
        self.daemon.start()
        self.attempt_ends()
        return self

    def attempt_ends(self) -> None:
        """Wait for one more attempt to end and for all listeners to be called."""
        assert self._ended.acquire(timeout=30)

    def fail(self, error: Exception) -> None:
        """Make every attempt from now on fail."""

        def answer(number: int) -> Snapshot[Any]:
            raise error

        self.source.answer = answer

    def hang(self) -> tuple[threading.Event, threading.Event]:
        """Make every attempt from now on wait; returns the events that it has begun and that release it."""
        begun, release = threading.Event(), threading.Event()
        before = self.source.answer

        def answer(number: int) -> Snapshot[Any]:
            begun.set()
            assert release.wait(30)
            return before(number)

        self.source.answer = answer
        self._hanging.append(release)
        return begun, release

    def change(self) -> None:
        """Report a change to the worker, as a watch would."""
        self.worker.notify(Trigger.WATCH)

    def post(self, query: str = "", token: str | None = None, **arguments: Any) -> Any:
        """Request a refresh."""
        headers = dict(arguments.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self.client.post(f"{TARGETS}/refresh{query}", headers=headers, **arguments)

    def get(self, path: str = "", **arguments: Any) -> Any:
        """Request a path below the targets."""
        return self.client.get(TARGETS + path, **arguments)

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics: `name{labels}` to value."""
        lines = self.client.get("/metrics").get_data(as_text=True).splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release what hangs, and stop."""
        for release in self._hanging:
            release.set()
        self.daemon.stop()
