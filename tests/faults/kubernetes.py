"""A worker that refreshes targets from the API stand-in, and one-line assertions about what faults do to it."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import (
    NotHeld,
    Outcome,
    RefreshInProgress,
    RefreshSettings,
    Request,
    Result,
    Snapshot,
    SystemClock,
    Worker,
)
from alert_refresh.observe.outcomes import log_outcome
from alert_refresh.targets import KIND, Settings
from alert_refresh.targets.kubernetes.applier import LONGEST_WINDOW, Applier
from alert_refresh.targets.kubernetes.reflector import Reflector
from alert_refresh.targets.kubernetes.snapshot import Memo
from alert_refresh.targets.kubernetes.source import KubernetesSource
from tests.fakes import FakeClock
from tests.kube import KubeServer, Rule, fill, kubeconfig, secret
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from alert_refresh.engine import Clock, Deadline, WatchHealth
    from alert_refresh.targets.kubernetes.timings import WatchTimings
    from alert_refresh.targets.target import Target

TOKEN = "canary-token-93b1"
RETRIES = 3
TIMEOUT = 30.0
"""Seconds an attempt may take, which no attempt does that is answered; see `World.soon_out_of_time`."""


def refresh_settings(**changes: Any) -> RefreshSettings:
    """The test profile, its waits a tenth, without periodic ticks and rate limit."""
    values: dict[str, Any] = {
        "interval": 3600.0,
        "max_retries": RETRIES,
        "base_backoff": 0.02,
        "max_backoff": 0.16,
        "rate_limit": 0.0,
        "timeout": TIMEOUT,
        "warmup": 3600.0,
    }
    return RefreshSettings(**(values | changes))


def target_settings(file: Path | str, refresh: RefreshSettings | None = None, **changes: Any) -> Settings:
    """Settings of the targets for the server of that kubeconfig."""
    values: dict[str, Any] = {
        "refresh": refresh or refresh_settings(),
        "source": "kubernetes",
        "directory": None,
        "namespaces": ("default",),
        "label_selector": "publishing-target=true",
        "watch": False,
        "kubeconfig": str(file),
        "deny_private": False,
    }
    return Settings(**(values | changes))


class CountedSource(KubernetesSource):
    """Counts the attempts that were started."""

    started = 0

    def refresh(self, previous: Snapshot[Target] | None, request: Request, deadline: Deadline) -> Snapshot[Target]:
        self.started += 1
        return super().refresh(previous, request, deadline)


class World:
    """Ten good targets on a stand-in, served by a worker; everything that is logged is kept."""

    def __init__(
        self, kube: KubeServer, settings: Settings, clock: Clock | None = None, timings: WatchTimings | None = None
    ) -> None:
        self.kube = kube
        self.file = Path(settings.kubeconfig)
        self.source = CountedSource(settings, clock or SystemClock(), timings)
        self.outcomes: list[Outcome] = []
        self.ended = threading.Condition()
        self.lines: list[logging.LogRecord] = []
        self.worker: Worker[Target] = Worker(
            KIND, self.source, settings.refresh, clock=clock, listeners=[log_outcome, self._note]
        )
        self.added = 0

    def _note(self, outcome: Outcome) -> None:
        with self.ended:
            self.outcomes.append(outcome)
            self.ended.notify_all()

    @property
    def served(self) -> Snapshot[Target]:
        snapshot = self.worker.get_status().snapshot
        assert snapshot is not None
        return snapshot

    def wait_for_outcomes(self, count: int) -> list[Outcome]:
        """Block until so many attempts have ended since the start; returns all of them."""
        with self.ended:
            assert self.ended.wait_for(lambda: len(self.outcomes) >= count, timeout=TIMEOUT), self.outcomes
            return list(self.outcomes)

    def refresh(self) -> list[Outcome]:
        """One manual refresh to the end of its cycle, once no other is in progress; returns its attempts."""
        accepted: list[Request] = []

        def accept() -> bool:
            with contextlib.suppress(RefreshInProgress):
                accepted.append(self.worker.refresh_now())
            return bool(accepted)

        eventually(accept, "the end of another refresh")
        assert accepted[0].done.wait(TIMEOUT * (RETRIES + 1))
        return [one for one in self.outcomes if one.request_id == accepted[0].request_id]

    @contextlib.contextmanager
    def soon_out_of_time(self, seconds: float = 1.5) -> Iterator[None]:
        """Attempts have so many seconds for the time being; what is answered before and after has all it needs."""
        refresher: Any = self.worker._refresher
        refresher._timeout = seconds
        yield
        refresher._timeout = TIMEOUT

    def change(self) -> str:
        """Something changes in the cluster: one more target. Returns its name."""
        self.added += 1
        name = f"added-{self.added}"
        self.kube.store.create(secret(name))
        return name

    def fails(self, error_type: str, *, attempts: int, rule: Rule | None = None) -> list[Outcome]:
        """A change meets the fault: so many failures of this type, the same targets served, and the fault fired."""
        before, served = self.worker.get_status(), self.served
        fired = rule.fired if rule is not None else 0
        name = self.change()
        outcomes = self.refresh()
        after = self.worker.get_status()
        assert [one.attempt for one in outcomes] == list(range(1, attempts + 1)), outcomes
        assert {one.error_type for one in outcomes} == {error_type}, outcomes
        assert error_type in KIND.error_types
        assert after.failed == before.failed + attempts and after.succeeded == before.succeeded
        assert after.consecutive_failures == before.consecutive_failures + attempts
        assert after.last is not None and after.last.error_type == error_type and after.last.error
        assert not after.in_progress
        assert self.served.generation == served.generation and self.served.items == served.items
        assert name not in self.served.items
        for outcome in outcomes:
            (line,) = self.lines_of(outcome)
            assert vars(line)["error_type"] == error_type and vars(line)["duration_ms"] >= 0
        if rule is not None:
            assert rule.fired > fired, "the fault did not fire"
        return outcomes

    def heals(self) -> list[Outcome]:
        """Without the fault the same refresh succeeds immediately, and shows all changes since."""
        self.change()
        outcomes = self.refresh()
        assert outcomes[-1].result is Result.SUCCESS, outcomes
        assert self.worker.get_status().consecutive_failures == 0
        names = {key[1] for key in self.kube.store.objects}
        assert set(self.served.items) == names
        assert all(target.stale_since is None for target in self.served.items.values())
        return outcomes

    @property
    def health(self) -> WatchHealth:
        health = self.worker.watch_health()
        assert health is not None
        return health

    def connected(self) -> World:
        """Wait until the watch is connected."""
        eventually(lambda: self.health.connected, "the watch being connected")
        return self

    def serves(self, *names: str) -> None:
        """Wait until these targets are served, among others."""
        eventually(lambda: set(names) <= self.served.items.keys(), f"serving {names}")

    def let_go(self) -> None:
        """Wait until a removal is held, and approve it, unless a refresh confirms it first."""
        eventually(lambda: self.worker.get_status().hold or self.worker.get_status().guard.ended, "a hold")
        hold = self.worker.get_status().hold
        if hold is not None:
            with contextlib.suppress(NotHeld):
                self.worker.decisions.approve(hold.proposal)

    def at_rest(self) -> bool:
        """Whether worker, applier and every reflector sleep on the fake clock, and nothing is under way."""
        clock: Any = self.worker.clock
        status, watches = self.worker.get_status(), self.worker._run.watches
        sleepers = 2 + sum(isinstance(watch, Reflector) for watch in watches)
        return len(clock.sleeping()) == sleepers and status.attempt is None and status.pending is None

    def told_everything(self) -> None:
        """Wait until the watch has received every event there is, and what it received is served."""
        clock = self.worker.clock
        (reflector,) = [watch for watch in self.worker._run.watches if isinstance(watch, Reflector)]
        (applier,) = [watch for watch in self.worker._run.watches if isinstance(watch, Applier)]

        def told() -> bool:
            if reflector._position != self.kube.store.version:
                return False
            if isinstance(clock, FakeClock):
                gathering = [one for one in clock.sleeping() if one <= LONGEST_WINDOW]
                clock.advance(min(gathering, default=0.0))
            return not applier.journal.wake.is_set()

        eventually(told, "the last event")
        self.serves_what_the_cluster_has()

    def serves_what_the_cluster_has(self) -> None:
        """Wait until the targets are those of the existing Secrets."""

        def same() -> bool:
            stored = self.kube.store.objects
            return self._known() == {key[1]: str(one.version) for key, one in stored.items()}

        eventually(same, "serving what the cluster has")
        assert self.served.items.keys() == {key[1] for key in self.kube.store.objects}

    def _known(self) -> dict[str, str]:
        memo = self.served.memo
        assert isinstance(memo, Memo)
        return {found.secret: version for one in memo.known.values() for version, found in one.known.values()}

    def messages(self, level: int = logging.WARNING) -> list[str]:
        """Records at this level or above, except those of the refresh."""
        loud = [line for line in self.lines if line.levelno >= level and line.name != "alert_refresh.refresh"]
        return [line.getMessage() for line in loud]

    def lines_of(self, outcome: Outcome) -> list[logging.LogRecord]:
        """The lines about one attempt, but for alerts."""
        found = [vars(line) | {"line": line} for line in self.lines]
        return [
            one["line"]
            for one in found
            if one.get("request_id") == outcome.request_id
            and one.get("attempt") == outcome.attempt
            and not one.get("alert")
        ]

    def text(self) -> str:
        """Everything that may be shown: log lines with their fields and tracebacks, outcomes, the status."""
        out = io.StringIO()
        formatter = logging.Formatter()
        for line in self.lines:
            out.write(f"{formatter.format(line)} {vars(line)}\n")
        out.write(f"{self.outcomes}\n{self.worker.get_status()}\n")
        return out.getvalue()

    def _ended_as_many(self) -> bool:
        status = self.worker.get_status()
        return self.source.started == status.succeeded + status.failed + status.cancelled

    def check(self) -> None:
        """The assertions after every case."""
        assert self.worker.health() is None
        # One may just be running, such as for a kubeconfig whose change was noticed late.
        eventually(self._ended_as_many, "an end of every attempt that was started")
        assert not any("resourceVersion" in request.query for request in self.kube.lists())
        assert "canary" not in self.text(), "a canary was shown"


@contextlib.contextmanager
def world(
    folder: Path,
    kube: KubeServer,
    *,
    ca: Path | None = None,
    clock: FakeClock | None = None,
    refresh: RefreshSettings | None = None,
    file: Path | None = None,
    served: int = 10,
    timings: WatchTimings | None = None,
    **changes: Any,
) -> Iterator[World]:
    """A world that serves its first ten targets; afterwards it is stopped and searched for canaries."""
    kube.tokens = {TOKEN}
    if not kube.store.objects:
        fill(kube.store, 10)
    if file is None and not changes.get("pod_server"):
        file = kubeconfig(folder / "kubeconfig", kube.url, ca=ca, user={"token": TOKEN})
    it = World(kube, target_settings(file or "", refresh, **changes), clock, timings)
    with captured(it.lines):
        it.worker.start()
        try:
            it.wait_for_outcomes(1)
            assert len(it.served.items) == served, it.outcomes
            yield it
            it.check()
        finally:
            it.worker.stop(TIMEOUT)


def watches_are_gone() -> bool:
    """Whether no watch's thread is left, of those that hold a connection."""
    return not [thread for thread in threading.enumerate() if thread.name.startswith("targets-watch")]


@contextlib.contextmanager
def captured(lines: list[logging.LogRecord]) -> Iterator[None]:
    """Keep every record of every logger, debugging ones included."""

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record)

    handler, root = Keeping(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def at_page(start: str) -> Callable[[Any], bool]:
    """Whether a request continues a list at that Secret."""
    from tests.kube.api import _read_token

    def matches(request: Any) -> bool:
        query: Mapping[str, str] = request.query
        return "continue" in query and _read_token(query["continue"])[1] == ("default", start)

    return matches
