"""What the engine adds to a process, and what the program costs while nothing happens."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

from bench.samples import manifests
from bench.table import Table
from tests.process.program import ROOT, Program

WITH_AND_WITHOUT = """
import gc, sys, time, re, flask, msgspec, prometheus_client, yaml, inotify_simple, logging
from pathlib import Path
def pss():
    gc.collect()
    return int(re.search(r"^Pss:\\s+(\\d+)", Path("/proc/self/smaps_rollup").read_text(), re.M)[1])
before = pss()
from alert_refresh.engine import RefreshSettings, SystemClock, Worker
from alert_refresh.targets import KIND, Settings
from alert_refresh.targets.folder.source import DirectorySource
settings = Settings(RefreshSettings(), "directory", Path(sys.argv[1]), (), "publishing-target=true", True, "", False)
worker = Worker(KIND, DirectorySource(settings, SystemClock()), settings.refresh)
worker.start()
while not worker.get_status().succeeded: time.sleep(0.01)
time.sleep(0.1)
print(pss() - before, len(worker.get_status().snapshot.items))
worker.stop()
"""


def pss_of(program: Program) -> int:
    """Kilobytes."""
    found = re.search(r"^Pss:\s+(\d+) kB", program.proc("smaps_rollup"), re.MULTILINE)
    assert found is not None
    return int(found[1])


def wake_ups(program: Program) -> int:
    """How often all threads of the program together gave up the processor to wait."""
    tasks = Path(f"/proc/{program.process.pid}/task").iterdir()
    return sum(
        int((task / "status").read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for task in tasks
    )


def memory(folder: Path, seconds: float = 20.0) -> Table:
    table = Table("Memory and idling", note="PSS; 20 Secrets in a watched folder; the program as it is run.")
    targets = manifests(folder / "idle", 20)
    run = subprocess.run(
        [sys.executable, "-c", WITH_AND_WITHOUT, str(targets)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    added, count = map(int, run.stdout.split())
    assert count == 20
    table.promise(
        "engine, source and 20 targets, over the same process without",
        f"{added / 1000:.1f} MB",
        "< 5 MB",
        kept=added < 5000,
    )
    with Program(env={"TARGET_DIRECTORY": str(targets)}) as program:
        program.wait_for("Serving")
        program.wait_for("Targets refreshed successfully")
        program.get("/api/v2/publishing/targets")
        program.get("/metrics")
        threading.Event().wait(2)
        before = wake_ups(program)
        threading.Event().wait(seconds)
        woken = (wake_ups(program) - before) / seconds
        whole = pss_of(program)
        stop = program.stop()
    table.promise("the whole program", f"{whole / 1000:.1f} MB", "< 45 MB", kept=whole < 45_000)
    table.promise(f"its wake-ups in {seconds:g} s", f"{woken:.2f} a second", "<= 1 a second", kept=woken <= 1)
    table.promise("SIGTERM to its end", f"{stop:.2f} s", "< 1 s", kept=stop < 1)
    return table
