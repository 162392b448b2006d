"""The program's use of CPU and memory while idle, with targets from a directory."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.process.program import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = 45_000
"""Kilobytes."""
SECONDS = 6.0

MANIFEST = """\
apiVersion: v1
kind: Secret
metadata: {{name: s{number}, namespace: default, labels: {{publishing-target: "true"}}}}
stringData:
  config: '{{"name":"t{number}","type":"webhook","url":"https://example.com/{number}","format":"webhook"}}'
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("targets")
    for number in range(20):
        (folder / f"{number}.yaml").write_text(MANIFEST.format(number=number))
    with Program(env={"TARGET_DIRECTORY": str(folder)}, bare=True) as one:
        assert one.wait_for("Targets refreshed successfully")["target_count"] == 20
        one.wait_for("Serving")
        one.get("/api/v2/publishing/targets")
        one.get("/metrics")
        yield one


def test_it_is_one_process_of_less_than_45_mb(program: Program) -> None:
    assert program.proc(f"task/{program.process.pid}/children") == ""
    pss = int(re.findall(r"^Pss:\s+(\d+) kB", program.proc("smaps_rollup"), re.MULTILINE)[0])
    rss = int(re.findall(r"^Rss:\s+(\d+) kB", program.proc("smaps_rollup"), re.MULTILINE)[0])
    assert pss <= rss < MEMORY


def wake_ups(program: Program) -> int:
    """The voluntary context switches of all its threads."""
    tasks = Path(f"/proc/{program.process.pid}/task").iterdir()
    statuses = [(task / "status").read_text() for task in tasks]
    return sum(int(one.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for one in statuses)


def rests(program: Program) -> bool:
    """Whether it wakes at most once a second from now on, for some seconds."""
    before, began = wake_ups(program), time.monotonic()
    threading.Event().wait(SECONDS)
    return wake_ups(program) - before <= time.monotonic() - began


def test_it_wakes_at_most_once_a_second(program: Program) -> None:
    threading.Event().wait(1.5)
    # A wake-up of the kernel's own making, such as for a page that has to be read, is not the program's habit.
    assert any(rests(program) for _ in range(5))


def test_the_kubernetes_client_is_not_imported() -> None:
    code = (
        "import sys, alert_refresh.server.server, alert_refresh.web.app, alert_refresh.server.worker,"
        " alert_refresh.targets.folder.source; sys.exit('kubernetes' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["check", "--help"]])
def test_help_imports_no_expensive_module(arguments: list[str]) -> None:
    code = (
        "import sys; from alert_refresh.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        "heavy = ('flask', 'gunicorn', 'tenacity', 'msgspec', 'alert_refresh.engine')\n"
        "sys.exit(any(name in sys.modules for name in heavy))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, stdout=subprocess.DEVNULL).returncode == 0
    )


def test_help_of_all_settings_imports_no_server_and_no_client() -> None:
    code = (
        "import sys; from alert_refresh.cli.main import main\n"
        "try: main(['serve', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('flask', 'gunicorn', 'kubernetes', 'psycopg', 'redis')))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
    assert run.returncode == 0
