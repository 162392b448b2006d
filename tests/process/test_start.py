"""Starts with closed files, signals at any moment, and the stack dump on abort."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.process.program import PATIENCE, ROOT, SOON, Program, eventually, read_all

ENDS = (0, -signal.SIGTERM)


def closed(*numbers: int, at: Path) -> subprocess.Popen[bytes]:
    """The program with these of its standard files closed, on a Unix socket."""
    redirect = " ".join(f"{number}>&-" for number in numbers)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ALERT_REFRESH_BIND": f"unix:{at}"}
    env |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    command = f"exec {sys.executable} -m alert_refresh {redirect}"
    streams = [None if number in numbers else subprocess.PIPE for number in (0, 1, 2)]
    return subprocess.Popen(
        ["/bin/sh", "-c", command], env=env, cwd=ROOT, stdin=streams[0], stdout=streams[1], stderr=streams[2]
    )


def files(process: subprocess.Popen[bytes]) -> dict[int, str]:
    """Where the process's files lead."""
    found = {}
    for one in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            found[int(one.name)] = str(one.readlink())
        except FileNotFoundError:
            continue
    return found


def answers(at: Path) -> bool:
    """Whether something serves on this Unix socket."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(at))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return read_all(client).startswith(b"HTTP/1.1 200")
    except (ConnectionError, FileNotFoundError):
        return False


@pytest.mark.parametrize("numbers", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)], ids=str)
def test_p05_with_standard_files_closed_it_serves_ends_with_0_and_writes_into_no_other_file(
    numbers: tuple[int, ...], tmp_path: Path
) -> None:
    at = tmp_path / "socket"
    process = closed(*numbers, at=at)
    try:
        assert eventually(lambda: answers(at))
        assert {files(process)[number] for number in numbers} == {"/dev/null"}
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        assert 2 in numbers or errors == b""
        assert 1 in numbers or b"shutdown_clean" in output
    finally:
        process.kill()
        process.communicate()


def stop_after(seconds: float, number: signal.Signals) -> None:
    with Program(env={}, bare=True) as program:
        threading.Event().wait(seconds)
        assert program.stop(number) < SOON
        assert program.process.returncode in (0, -number), program.stderr
        assert "Traceback" not in program.stderr
        assert not [line for line in program.log if line["level"] in ("ERROR", "CRITICAL")]


@pytest.mark.parametrize("turn", range(20))
def test_p05_a_stop_at_a_random_moment_of_the_start_is_a_clean_end(turn: int) -> None:
    stop_after(random.Random(turn).uniform(0.1, 1.2), signal.SIGTERM)


@pytest.mark.soak
@pytest.mark.parametrize("turn", range(300))
def test_p05_a_stop_at_three_hundred_moments_of_the_start_is_a_clean_end(turn: int) -> None:
    stop_after(turn * 0.004, signal.SIGTERM)


STALL = '''
import os, sys, threading

class Stall:
    """Blocks the import of one module until a signal arrives, within code that catches every exception."""

    def find_spec(self, name, path=None, target=None):
        if name == os.environ["STALL_AT"]:
            os.write(2, b"STALLED\\n")
            try:
                for _ in range(600):  # a signal just before one long wait would be seen at its end
                    threading.Event().wait(0.1)
            except BaseException:
                pass
        return None

sys.meta_path.insert(0, Stall())
'''

MOMENTS = {
    "click": False,
    "alert_refresh.cli.rules": False,
    "alert_refresh.daemon": True,
    "alert_refresh.server.server": True,
    "gunicorn.sock": True,
    "alert_refresh.server.worker": True,
    "flask": True,
    "prometheus_client": True,
    "alert_refresh.web.views.routes": True,
}


@pytest.mark.parametrize(
    ("module", "number"),
    [(module, signal.SIGTERM) for module in MOMENTS]
    # Until the program's first line Python itself answers this one.
    + [(module, signal.SIGINT) for module, prepared in MOMENTS.items() if prepared],
)
def test_p05_a_stop_while_a_module_is_imported_ends_immediately(
    module: str, number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(STALL)
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "STALL_AT": module}
    process = subprocess.Popen(
        [sys.executable, "-m", "alert_refresh"],
        env={"PATH": os.environ["PATH"], "ALERT_REFRESH_BIND": "127.0.0.1:0"} | env,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == b"STALLED\n", "the moment never came"
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == (0 if MOMENTS[module] else -number)
        assert errors == b""
    finally:
        process.kill()
        process.communicate()


def test_p05_sighup_during_the_start_changes_nothing(tmp_path: Path) -> None:
    with Program() as program:
        program.wait_for("alert-refresh ")
        for _ in range(20):
            program.send(signal.SIGHUP)
        assert program.get("/healthz")[0] == 200
        program.stop()
        assert program.process.returncode == 0


@pytest.mark.parametrize("thread", ["MainThread", "busy"])
def test_sigabrt_shows_the_stacks_of_all_threads(thread: str) -> None:
    with Program("tests.process.scripted", '["hang"]') as program:
        program.wait_for("Serving")
        program.wait_for("Attempt 1")
        with program.connect() as client:
            if thread == "busy":
                client.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
                program.wait_for("Hanging")
            program.send(signal.SIGABRT)
            assert program.wait() == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in program.stderr
    assert program.stderr.count("hread 0x") >= 3
    assert re.search(r"scripted\.py.* in refresh", program.stderr)
    assert re.search(r"server/worker\.py.* in run", program.stderr)
    assert ("in hang" in program.stderr) == (thread == "busy")
    assert "canary" not in program.stderr
