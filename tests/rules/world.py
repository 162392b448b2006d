"""A daemon with rules from a file, a clock that the test advances, and its app."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from alert_refresh.daemon import Daemon, read_config
from alert_refresh.rules.rule_set import RuleSet, rule_set
from alert_refresh.web.app import create_app
from tests.fakes import FakeClock
from tests.rules.examples import packed
from tests.stage import eventually

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from alert_refresh.engine import Outcome, Status, Worker

RULES = "/api/v2/rules"


class World:
    """`file` holds ten rules by default; leaving the context stops the daemon. `start` waits for the first load."""

    def __init__(self, folder: Path, data: bytes | None = packed(10), *, clock: Any = None, **environ: str) -> None:
        folder.mkdir(exist_ok=True)
        self.file = folder / "rules.warm"
        if data is not None:
            self.file.write_bytes(data)
        self.clock = FakeClock() if clock is None else clock
        self.daemon = Daemon(read_config({"RULES_FILE": str(self.file)} | environ), self.clock)
        self.client = create_app(self.daemon).test_client()
        self.worker: Worker[Any] = self.daemon.workers["rules"]
        self.outcomes: list[Outcome] = []
        self._ended = threading.Semaphore(0)
        self.worker.listen(self.outcomes.append)
        self.worker.listen(lambda outcome: self._ended.release())

    @property
    def status(self) -> Status[Any]:
        """The current status of the worker."""
        return self.worker.get_status()

    @property
    def generation(self) -> int:
        """The generation that is served."""
        assert self.status.snapshot is not None
        return self.status.snapshot.generation

    @property
    def loaded(self) -> RuleSet:
        """The loaded rule set."""
        found = rule_set(self.status.snapshot)
        assert found is not None
        return found

    @property
    def word(self) -> str:
        """The description of all loaded rules, which identifies the version of the file."""
        (word,) = {one.description for one in self.loaded.all()}
        return word

    def start(self) -> Self:
        self.daemon.start()
        self.attempt_ends()
        return self

    def attempt_ends(self) -> Outcome:
        """Wait for one more attempt to end, and return the last outcome."""
        assert self._ended.acquire(timeout=20)
        return self.outcomes[-1]

    def put(self, data: bytes) -> Outcome:
        """Replace the file by a rename, and wait for the attempt that this causes."""
        self.rename_in(data)
        return self.attempt_ends()

    def rename_in(self, data: bytes) -> None:
        """Replace the file by a rename."""
        temporary = self.file.with_name(".new")
        temporary.write_bytes(data)
        temporary.replace(self.file)

    def refresh(self, scope: str | None = None) -> Outcome:
        """Request a manual refresh after the rate limit window, and wait for its end."""
        self.clock.advance(2)
        request = self.worker.refresh_now(scope=scope)
        self.attempt_ends()
        assert request.outcome is not None
        return request.outcome

    def read_from(self, file: Path, data: bytes) -> None:
        """Make the source read another file from now on, which is not watched."""
        file.write_bytes(data)
        source: Any = self.worker.source
        source._file = file

    def settles(self) -> None:
        """Wait until no request is pending and no attempt is running."""
        eventually(lambda: self.status.pending is None and self.status.attempt is None, "rest")

    def get(self, path: str = "", **arguments: Any) -> Any:
        return self.client.get(RULES + path, **arguments)

    def post(self, path: str, **arguments: Any) -> Any:
        return self.client.post(RULES + path, **arguments)

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics: `name{labels}` to value."""
        lines = self.client.get("/metrics").get_data(as_text=True).splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.stop()
