"""Processes that do nothing but write kept snapshots, to be killed; starting the program each time would take a minute.

    python -m tests.process.keeping FOLDER [KEY]

For each line `NUMBER` on standard input it forks a process that writes the versions from that number on. It prints
`process ID`, `wrote NUMBER` once a version is written, and `killed` when that process was.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Outcome, RefreshSettings, Result, Snapshot, SystemClock, Trigger, Worker
from alert_refresh.keep.folder import StateFolder
from alert_refresh.keep.kept_kind import KeptKind
from alert_refresh.keep.key import Key
from alert_refresh.keep.outcomes_file import OutcomesFile
from alert_refresh.targets import KIND
from alert_refresh.targets.assemble import Candidate, assemble
from alert_refresh.targets.keep import TargetCodec
from tests.fakes import FakeSource
from tests.web.world import target

if TYPE_CHECKING:
    from alert_refresh.targets.target import Target

COUNT = 40
"""Targets of a version; each one's URL says which version it is of."""


def version(number: int) -> Snapshot[Target]:
    """The snapshot of one version."""
    found = [target(f"target-{n:02}", headers={"X-Version": target(str(number)).url}) for n in range(COUNT)]
    items, rejected, digest = assemble([Candidate("", one.name, "", "", one) for one in found], None, 0.0)
    return Snapshot(items=items, rejected=rejected, digest=digest, generation=number)


def version_of(snapshot: Snapshot[Target]) -> int:
    """The version of all targets of a snapshot, which must be whole and of one version."""
    assert len(snapshot.items) == COUNT
    (url,) = {one.headers["X-Version"].reveal() for one in snapshot.items.values()}
    return int(url.rpartition("/")[2].partition("?")[0])


def outcome(number: int) -> Outcome:
    return Outcome("targets", Trigger.PERIODIC, f"request-{number}", 1, Result.SUCCESS, float(number), 0.0)


def write_forever(folder: Path, key: Key | None, number: int) -> None:
    """Write version after version until killed."""
    clock, state = SystemClock(), StateFolder(folder)
    source: Any = FakeSource()
    worker: Worker[Target] = Worker(KIND, source, RefreshSettings(), clock=clock)
    kind = KeptKind(worker, TargetCodec(source), state, key, clock)
    outcomes = OutcomesFile(state)
    outcomes.read()
    while True:
        worker.restore(version(number), last=None, last_success_at=None)
        kind.write()
        outcomes.append([outcome(number)])
        os.write(1, f"wrote {number}\n".encode())
        number += 1


def main() -> None:
    folder = Path(sys.argv[1])
    key = Key(bytes.fromhex(sys.argv[2])) if len(sys.argv) > 2 else None
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            write_forever(folder, key, int(line))
        os.write(1, f"process {pid}\n".encode())
        os.waitpid(pid, 0)
        os.write(1, b"killed\n")


if __name__ == "__main__":
    main()
