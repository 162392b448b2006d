"""How the program stops: immediately if it can, else within the timeout, with the correct exit status."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.process.program import PATIENCE, SLOW_MACHINE, Program, eventually, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAST_BACKOFF_IS_LONG = {"TARGET_REFRESH_BASE_BACKOFF": "10ms", "TARGET_REFRESH_MAX_BACKOFF": "5m"}
STOP_BUDGET = {"ALERT_REFRESH_SHUTDOWN_TIMEOUT": "2s"}


def scripted(*words: str, **env: str) -> Program:
    """The program with a source that follows these words, one per attempt."""
    return Program("tests.process.scripted", json.dumps(words), env=env)


def stop_idle() -> None:
    with scripted("ok") as program:
        program.wait_for("Targets refreshed successfully")
        program.wait_for("Serving")
        took = program.stop()
        assert program.process.returncode == 0, program.stderr
        assert program.log[-1]["message"] == "shutdown_clean"
        assert program.stderr == ""
        assert took < 1 + SLOW_MACHINE


@pytest.mark.parametrize("turn", range(5))
def test_p01_an_idle_program_ends_cleanly_immediately(turn: int) -> None:
    stop_idle()


@pytest.mark.soak
@pytest.mark.parametrize("turn", range(50))
def test_p01_an_idle_program_ends_cleanly_immediately_fifty_times(turn: int) -> None:
    stop_idle()


def test_p02_an_attempt_that_hangs_is_abandoned_after_the_shutdown_timeout_and_publishes_nothing() -> None:
    with scripted("hang", **STOP_BUDGET) as program:
        program.wait_for("Serving")
        program.wait_for("Attempt 1")
        took = program.stop()
        assert 2 <= took < 5 + SLOW_MACHINE
        assert program.process.returncode == 0, program.stderr
        after = [line["message"] for line in program.log[program.log.index(program.find("Stopping")[0]) :]]
        assert after[0] == "Stopping"
        assert "Refresh cancelled" in after
        assert after[-1] == "Stopped; a running refresh was abandoned"
        assert not program.find("Targets refreshed")
        assert program.find("Stopping")[0]["in_progress"] == ["targets"]
        assert program.find("Stopping")[0]["timeout"] == "2s"


def test_p02_a_silent_api_server_does_not_delay_the_end(silent_server: SilentServer) -> None:
    env = {"KUBECONFIG": silent_server.kubeconfig, "TARGET_REFRESH_TIMEOUT": "30s", **STOP_BUDGET}
    with Program(env=env) as program:
        program.wait_for("Serving")
        assert silent_server.asked.wait(PATIENCE), "the program never connected to the API server"
        took = program.stop()
        assert took < 5 + SLOW_MACHINE
        assert program.process.returncode == 0, program.stderr
        assert not program.find("Targets refreshed")


def test_a_running_attempt_may_finish_and_counts(tmp_path: Path) -> None:
    end = tmp_path / "end"
    with scripted(f"until {end}") as program:
        program.wait_for("Serving")
        program.wait_for("Attempt 1")
        program.send(signal.SIGTERM)
        program.wait_for("Stopping")
        end.touch()
        program.wait()
        messages = [line["message"] for line in program.log]
        assert messages.index("Stopping") < messages.index("Targets refreshed successfully")
        assert messages[-1] == "shutdown_clean"


def test_p03_a_request_in_flight_is_answered_with_the_notice_that_the_connection_closes(tmp_path: Path) -> None:
    end = tmp_path / "end"
    with scripted("ok") as program, program.connect() as idle, program.connect() as busy:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"keep-alive" in idle.recv(4096)
        busy.sendall(f"GET /until?path={end} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        program.wait_for("Waiting")
        program.send(signal.SIGTERM)
        program.wait_for("Stopping")
        end.touch()
        began = time.monotonic()
        answer = read_all(busy)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert b"Connection: close" in answer
        assert read_all(idle) in (b"", b'{"status":"ok"}')
        program.wait()
        assert time.monotonic() - began < 2.5 + SLOW_MACHINE
        assert program.process.returncode == 0


def test_a_request_that_hangs_does_not_delay_the_end_for_longer_than_the_timeout() -> None:
    with scripted("ok", **STOP_BUDGET) as program, program.connect() as client:
        client.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        program.wait_for("Hanging")
        took = program.stop()
        assert 2 <= took < 4 + SLOW_MACHINE
        assert program.process.returncode == 0
        assert program.log[-1]["message"] == "shutdown_clean"


@pytest.mark.parametrize("wait", [1, 2, 3])
def test_p04_a_stop_ends_each_backoff_and_starts_no_attempt(wait: int) -> None:
    with scripted(*["fail"] * (wait - 1), "later", **LAST_BACKOFF_IS_LONG) as program:
        program.wait_for("Serving")
        program.wait_for("Refresh failed, retrying", wait)
        if wait >= 3:
            program.wait_for("Refresh failed 3 times in a row")
        took = program.stop()
        assert took < 0.5 + SLOW_MACHINE
        messages = [line["message"] for line in program.log]
        after = messages[messages.index("Stopping") :]
        assert after == ["Stopping", "shutdown_clean"]


def test_p04_a_stop_ends_a_wait_the_server_asked_for() -> None:
    with scripted("later", TARGET_REFRESH_MAX_BACKOFF="5m") as program:
        program.wait_for("Serving")
        assert program.wait_for("Refresh failed, retrying")["message"] == "Refresh failed, retrying in 5m"
        assert program.stop() < 0.5 + SLOW_MACHINE
        assert program.log[-1]["message"] == "shutdown_clean"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_p05_each_signal_that_ends_programs_ends_this_one_cleanly(number: signal.Signals) -> None:
    with scripted("ok") as program:
        program.wait_for("Targets refreshed")
        program.wait_for("Serving")
        assert program.stop(number) < 5 + SLOW_MACHINE
        assert program.process.returncode == 0
        assert program.log[-1]["message"] == "shutdown_clean"
        assert program.stderr == ""


def test_p05_a_second_sigterm_changes_nothing(tmp_path: Path) -> None:
    end = tmp_path / "end"
    with scripted(f"until {end}") as program:
        program.wait_for("Serving")
        program.wait_for("Attempt 1")
        program.send(signal.SIGTERM)
        program.wait_for("Stopping")
        program.send(signal.SIGTERM)
        assert not eventually(lambda: program.process.poll() is not None, 1.0), "it ended before the attempt"
        end.touch()
        program.wait()
        assert program.process.returncode == 0
        assert len(program.find("Stopping")) == 1
        assert program.find("Targets refreshed successfully")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("asked", [True, False], ids=["with a request", "without"])
def test_p05_a_second_interrupt_does_not_wait_for_a_running_attempt(second: signal.Signals, asked: bool) -> None:
    with scripted("hang") as program, ExitStack() as stack:
        program.wait_for("Serving")
        program.wait_for("Attempt 1")
        if asked:
            client = stack.enter_context(program.connect())
            client.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            program.wait_for("Hanging")
        program.send(signal.SIGINT)
        program.wait_for("Stopping")
        assert program.stop(second) < 5 + SLOW_MACHINE
        assert program.process.returncode == 0
        assert program.log[-1]["message"] == "Stopped; a running refresh was abandoned"


def test_p05_a_quit_does_not_wait_for_a_running_attempt() -> None:
    with scripted("hang") as program:
        program.wait_for("Serving")
        program.wait_for("Attempt 1")
        assert program.stop(signal.SIGQUIT) < 5 + SLOW_MACHINE
        assert program.process.returncode == 0
        assert program.log[-1]["message"] == "Stopped; a running refresh was abandoned"


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2, 0.3, 0.5])
def test_p05_a_stop_during_the_start_shows_no_traceback(delay: float) -> None:
    with scripted("ok") as program:
        threading.Event().wait(delay)
        assert program.stop() < 5 + SLOW_MACHINE
        assert program.process.returncode in (0, -signal.SIGTERM), program.stderr
        assert "Traceback" not in program.stderr


class SilentServer:
    """Accepts connections and never answers."""

    def __init__(self, kubeconfig: str) -> None:
        self.kubeconfig = kubeconfig
        self.asked = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                if client.recv(1):
                    self.asked.set()
        except OSError:
            return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            client.close()
        self._thread.join()


@pytest.fixture
def silent_server(tmp_path: Path) -> Iterator[SilentServer]:
    path = tmp_path / "config"
    server = SilentServer(str(path))
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "silent",
        "clusters": [{"name": "silent", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
        "users": [{"name": "silent", "user": {"token": "none"}}],
        "contexts": [{"name": "silent", "context": {"cluster": "silent", "user": "silent"}}],
    }
    path.write_text(json.dumps(config))
    yield server
    server.close()
