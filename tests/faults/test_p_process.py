"""Faults of the process: signals, limits, clocks, a full log pipe, invalid settings."""

from __future__ import annotations

import json
import logging
import os
import re
import resource
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from alert_refresh.engine import Kind, RateLimitExceeded, RefreshSettings, Snapshot, Transient, Trigger, Worker
from alert_refresh.observe import logs
from tests.fakes import FakeClock, FakeSource, FakeWatch
from tests.process.program import PATIENCE, SOON, Program, eventually
from tests.web.world import TARGETS, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("unmeasured")

KIND = Kind("fake", "FAKE_", ("network", "unknown"))
REFRESH = f"{TARGETS}/refresh"
STATUS = f"{TARGETS}/status"
YEAR = 365 * 24 * 3600.0


def scripted(*words: str, **env: str) -> Program:
    return Program("tests.process.scripted", json.dumps(words), env=env)


# P09


@pytest.mark.parametrize("jump", [-2 * 3600.0, 2 * 3600.0, 10 * YEAR, -1_700_000_000.0])
def test_p09_a_jump_of_the_wall_clock_moves_no_schedule_no_limit_and_no_duration(jump: float) -> None:
    clock = FakeClock()
    held = threading.Event()

    def answer(number: int) -> Snapshot[str]:
        if number == 2:
            clock.wall_offset += jump
            clock.advance(1.5)
        if number == 4:
            held.set()
        return Snapshot({"one": str(number)}, digest=str(number))

    outcomes: list[Any] = []
    settings = RefreshSettings(interval=60, warmup=30, rate_limit=100, timeout=10)
    worker = Worker(KIND, FakeSource(answer), settings, clock=clock, listeners=[outcomes.append])
    worker.start()
    try:
        clock.wait_for_sleeper(30)
        clock.advance(30)
        eventually(lambda: len(outcomes) == 2)
        assert outcomes[1].duration == 1.5
        assert outcomes[1].trigger is Trigger.PERIODIC
        clock.wait_for_sleeper(58.5)
        worker.refresh_now()
        eventually(lambda: len(outcomes) == 3)
        clock.wall_offset -= jump
        with pytest.raises(RateLimitExceeded, match="rate limit") as refused:
            worker.refresh_now()
        assert refused.value.retry_after == 100
        assert worker.health() is None
        clock.wait_for_sleeper(58.5)
        clock.advance(58.5)
        assert held.wait(30)
    finally:
        worker.stop(30)


# P12

SECOND_PROCESS: dict[str, dict[str, str]] = {
    "WEB_CONCURRENCY": {"WEB_CONCURRENCY": "4"},
    "WEB_CONCURRENCY that is no number": {"WEB_CONCURRENCY": "many"},
    "-w": {"GUNICORN_CMD_ARGS": "-w 4 --threads 2"},
    "--preload": {"GUNICORN_CMD_ARGS": "--preload --workers=2"},
    "re-execution": {"GUNICORN_PID": "1", "GUNICORN_FD": "3"},
}


def children(program: Program) -> str:
    return program.proc(f"task/{program.process.pid}/children")


@pytest.mark.parametrize("case", SECOND_PROCESS)
def test_p12_no_setting_of_gunicorns_makes_a_second_process(case: str) -> None:
    with scripted("ok", **SECOND_PROCESS[case]) as program:
        program.wait_for("Serving")
        program.wait_for("Targets refreshed")
        assert program.get("/healthz")[0] == 200
        assert children(program) == ""
        ignored = {"WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"} & set(SECOND_PROCESS[case])
        assert {line["message"].split()[0] for line in program.find("") if "is ignored" in line["message"]} == ignored
        program.stop()
        assert program.process.returncode == 0
        assert len(program.find("alert-refresh ")) == len(program.find("Targets refreshed")) == 1


@pytest.mark.parametrize("number", [signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2])
def test_p12_p05_no_signal_makes_a_second_process_or_a_second_refresh(number: signal.Signals) -> None:
    with scripted("ok") as program:
        program.wait_for("Serving")
        program.wait_for("Targets refreshed")
        for count in (1, 2):
            program.send(number)
            program.wait_for(f"{number.name} is ignored", count)
        assert program.get("/healthz")[0] == 200
        assert children(program) == ""
        assert program.stop() < SOON
        assert program.process.returncode == 0
        assert len(program.find("Targets refreshed")) == 1


def test_p05_sighup_refreshes_every_kind_any_number_of_times_regardless_of_the_rate_limit(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{id: one, family: any, targets: [one]}]\n")
    later = {"TARGET_REFRESH_WARMUP": "1h", "RULES_REFRESH_WARMUP": "1h"}
    with scripted("ok", RULES_FILE=str(rules), TARGET_REFRESH_RATE_LIMIT="1h", **later) as program:
        program.wait_for("Serving")
        program.wait_for("Targets refreshed")
        program.wait_for("Rules refreshed")
        assert program.get(REFRESH + "?wait=10s", "POST")[0] == 200
        for count in (1, 2):
            program.send(signal.SIGHUP)
            assert program.wait_for("SIGHUP", count)["kinds"] == ["targets", "rules"]
            assert program.wait_for("Targets refreshed", count + 2)["trigger"] == "file"
            assert program.wait_for("Rules refreshed", count + 1)["trigger"] == "file"
        assert program.get(REFRESH, "POST")[2]["error"] == "rate_limit_exceeded", "the window is that of the POST"
        assert children(program) == ""
        assert program.stop() < SOON
        assert program.process.returncode == 0


def test_p05_sighup_ends_a_wait_between_attempts_and_many_of_them_make_one_more_run(tmp_path: Path) -> None:
    held = f"until {tmp_path / 'released'}"
    with scripted("fail", held, "ok") as program:
        program.wait_for("Serving")
        program.wait_for("Refresh failed, retrying")
        program.send(signal.SIGHUP)
        program.wait_for("Attempt 2: until")
        for count in range(2, 6):
            program.send(signal.SIGHUP)
            program.wait_for("SIGHUP", count)
        (tmp_path / "released").touch()
        program.wait_for("Targets refreshed", 2)
        assert program.get("/healthz")[0] == 200
        program.stop()
        assert [line["message"] for line in program.find("Attempt ")] == [
            "Attempt 1: fail",
            f"Attempt 2: {held}",
            "Attempt 3: ok",
        ]


def test_p05_sigusr1_which_makes_others_open_their_log_again_changes_nothing() -> None:
    with scripted("ok") as program:
        program.wait_for("Serving")
        program.send(signal.SIGUSR1)
        assert program.get("/healthz")[0] == 200
        assert program.stop() < SOON
        assert program.process.returncode == 0


def test_p12_the_command_line_has_no_option_for_more_processes() -> None:
    for extra in (["--preload"], ["-w", "2"], ["--workers", "2"]):
        with Program("alert_refresh", "serve", *extra) as program:
            assert program.wait() == 2
            assert "No such option" in program.stderr


# P13


def test_p13_a_program_without_free_files_answers_again_when_it_has_some(tmp_path: Path) -> None:
    secret = {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": "one", "labels": {"publishing-target": "true"}},
    }
    secret["stringData"] = {"config": '{"name":"one","type":"webhook","url":"https://example.com","format":"webhook"}'}
    (tmp_path / "one.json").write_text(json.dumps(secret))
    env = {"TARGET_DIRECTORY": str(tmp_path), "TARGET_REFRESH_RATE_LIMIT": "0s", "TARGET_WATCH": "false"}
    # However late the limit is lifted, an attempt is still to come.
    env |= {"TARGET_REFRESH_BASE_BACKOFF": "50ms", "TARGET_REFRESH_MAX_BACKOFF": "50ms"}
    env["TARGET_REFRESH_MAX_RETRIES"] = "1000"
    with Program(env=env) as program:
        program.wait_for("Targets refreshed")
        assert program.get(STATUS)[2]["targets_valid"] == 1
        assert eventually(lambda: program.sockets() == 1)
        files = program.fds()
        limits = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)
        with program.connect() as kept:
            assert eventually(lambda: program.sockets() == 2)
            highest = max(int(one.name) for one in Path(f"/proc/{program.process.pid}/fd").iterdir())
            resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
            kept.sendall(f"POST {REFRESH} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            assert kept.recv(65536).startswith(b"HTTP/1.1 202")
            failed = program.wait_for("Refresh failed, retrying")
            assert failed["error_type"] == "storage"
            resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, limits)
        program.wait_for("Targets refreshed", 2)
        assert eventually(lambda: program.get(STATUS)[2]["status"] == "success")
        assert program.get(STATUS)[2]["targets_valid"] == 1
        assert eventually(lambda: program.fds() <= files)
        assert program.stop() < SOON
        assert program.process.returncode == 0


# P14


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    monkeypatch.setattr(threading, "excepthook", logs.thread_died)
    with caplog.at_level(logging.ERROR):
        yield caplog


class DyingWatch(FakeWatch):
    """A watch whose first run raises `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error: BaseException | None = error
        self.again = threading.Event()

    def run(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.again.set()
        super().run()


DEATHS = [RuntimeError("canary"), MemoryError("canary"), SystemExit("canary"), KeyboardInterrupt("canary")]


@pytest.mark.parametrize("error", DEATHS, ids=lambda error: type(error).__name__)
def test_p14_a_watch_that_dies_is_reported_and_runs_again(error: BaseException, log: pytest.LogCaptureFixture) -> None:
    watch = DyingWatch(error)
    source = FakeSource()
    source.make_watches = lambda sink: (watch,)
    worker = Worker(KIND, source, RefreshSettings())
    worker.start()
    try:
        assert watch.again.wait(30)
        assert worker.health() is None
    finally:
        worker.stop(30)
    heard = [record for record in log.records if record.message == f"Thread died of {type(error).__name__}"]
    assert [vars(record)["thread_name"] for record in heard] == ["fake-watch"]
    assert "DyingWatch" not in log.text
    assert "raise error" in vars(heard[0])["stack"]
    assert not any("canary" in str(vars(record)) for record in log.records)


@pytest.mark.parametrize("error", DEATHS, ids=lambda error: type(error).__name__)
def test_p14_a_worker_that_dies_is_reported_and_runs_again(error: BaseException, log: pytest.LogCaptureFixture) -> None:
    source = FakeSource()
    worker = Worker(KIND, source, RefreshSettings(rate_limit=0))
    whole, died, again = worker.tick, threading.Event(), threading.Event()

    def tick(run: Any) -> float | None:
        if not died.is_set():
            died.set()
            raise error
        again.set()
        return whole(run)

    worker.tick = tick  # type: ignore[method-assign]  # fault injection
    worker.start()
    try:
        assert again.wait(30)
        assert worker.health() is None
    finally:
        worker.stop(30)
    heard = [record for record in log.records if record.message == f"Thread died of {type(error).__name__}"]
    assert [vars(record)["thread_name"] for record in heard] == ["fake-worker"]
    assert not any("canary" in str(vars(record)) for record in log.records)


@pytest.mark.parametrize(
    ("word", "name"), [("exit", "SystemExit"), ("memory", "MemoryError"), ("crash", "RuntimeError")]
)
def test_p14_an_attempt_that_dies_is_reported_and_the_next_one_runs(word: str, name: str) -> None:
    env = {"TARGET_REFRESH_BASE_BACKOFF": "10ms", "TARGET_REFRESH_MAX_BACKOFF": "10ms"}
    with scripted(word, "ok", **env) as program:
        program.wait_for("Targets refreshed")
        program.wait_for("Serving")
        failed = program.wait_for("Refresh failed, retrying")
        assert failed["error_type"] == "unknown"
        assert name in failed["error"]
        assert any(name in line["message"] and "stack" in line for line in program.log)
        assert program.get("/healthz")[0] == 200
        program.stop()
        assert "canary" not in "".join(program.lines) + program.stderr


# P15, P16


def test_p15_without_its_source_the_program_is_alive_and_not_ready() -> None:
    env = {"TARGET_REFRESH_BASE_BACKOFF": "1h", "TARGET_REFRESH_MAX_BACKOFF": "1h"}
    with scripted("fail", "ok", **env) as program:
        program.wait_for("Serving")
        program.wait_for("Refresh failed, retrying")
        assert program.get("/healthz")[0] == 200
        assert program.get("/readyz")[0] == 503
        status, _, body = program.get(TARGETS)
        assert (status, body["error"]) == (503, "not_loaded")
        program.send(signal.SIGHUP)
        program.wait_for("Targets refreshed")
        assert program.get("/readyz")[0] == 200
        assert program.get(TARGETS)[0] == 200


def test_p16_an_hour_without_the_source_is_not_a_reason_for_a_restart() -> None:
    ended = threading.Semaphore(0)

    def answer(number: int) -> Snapshot[str]:
        if number > 1:
            raise Transient("connection refused", "network")
        return Snapshot({}, digest="one")

    settings = RefreshSettings(interval=300, warmup=30, max_retries=0)
    with World(answer=answer, settings=settings) as world:
        world.start()
        worker = world.daemon.workers["targets"]
        worker.listen(lambda _outcome: ended.release())
        for _ in range(13):
            due = worker.get_status().next_due
            assert due is not None
            world.clock.wait_for_sleeper(due - world.clock.monotonic())
            world.clock.advance(due - world.clock.monotonic())
            assert ended.acquire(timeout=30)
        assert worker.get_status().consecutive_failures == 13
        assert world.client.get("/healthz").status_code == 200
        assert world.client.get("/readyz").status_code == 200
        assert world.client.get(TARGETS).status_code == 200
        health = world.client.get("/health").json
        assert health["kinds"]["targets"]["stale"] is True


# P19

BAD: dict[str, tuple[str, str]] = {
    "zero interval": ("TARGET_REFRESH_INTERVAL", "0s"),
    "negative interval": ("TARGET_REFRESH_INTERVAL", "-1s"),
    "interval without unit": ("TARGET_REFRESH_INTERVAL", "5"),
    "huge interval": ("TARGET_REFRESH_INTERVAL", "1e99"),
    "base above max": ("TARGET_REFRESH_BASE_BACKOFF", "10m"),
    "misspelt name": ("TARGET_REFRESH_INTERVALL", "5m"),
    "cron with seconds": ("RULES_REFRESH_SCHEDULE", "0 */5 * * * *"),
    "unknown time zone": ("ALERT_REFRESH_TIMEZONE", "Europe/Berln"),
    "empty token": ("ALERT_REFRESH_ADMIN_TOKEN", ""),
    "token with a space": ("ALERT_REFRESH_ADMIN_TOKEN", "canary canary"),
    "token in quotes": ("ALERT_REFRESH_ADMIN_TOKEN", '"canary"'),
    "user info in the address": ("ALERT_REFRESH_BIND", "user:canary@127.0.0.1:8080"),
    "URL for a kubeconfig": ("KUBECONFIG", "https://user:canary@10.0.0.1:6443"),
    "connection string for names": ("VIEWS", "postgresql://user:canary@host/database"),
    "slash in a password": ("VIEWS_DATABASE_URL", "postgresql://user:canary/canary@host/database"),
    "missing token file": ("ALERT_REFRESH_READ_TOKEN_FILE", "/does/not/exist"),
    "open to the world": ("ALERT_REFRESH_BIND", "0.0.0.0:8080"),
}


@pytest.mark.parametrize("case", BAD)
def test_p19_a_wrong_setting_ends_the_start_with_2_and_a_line_that_names_it(case: str) -> None:
    name, value = BAD[case]
    with Program(env={name: value}) as program:
        assert program.wait() == 2
        assert program.lines == []
        (line,) = program.stderr.splitlines()
        named = "TARGET_REFRESH_MAX_BACKOFF" if name.endswith("BASE_BACKOFF") else name
        assert line.startswith(f"{named}=")
        assert "canary" not in line


def test_p19_every_fault_has_a_line_of_its_own() -> None:
    with Program(env=dict([BAD["zero interval"], BAD["misspelt name"], BAD["token with a space"]])) as program:
        assert program.wait() == 2
        assert [line.partition("=")[0] for line in program.stderr.splitlines()] == [
            "TARGET_REFRESH_INTERVAL",
            "ALERT_REFRESH_ADMIN_TOKEN",
            "TARGET_REFRESH_INTERVALL",
        ]


# P20


def with_stdout(prepare: Callable[[int, int], None]) -> tuple[Program, int]:
    """The program, its standard output a pipe that is not read; `prepare` gets both its ends."""
    read, write = os.pipe()
    prepare(read, write)
    program = Program("tests.process.scripted", '["ok"]', env={"ALERT_REFRESH_LOG_LEVEL": "DEBUG"}, stdout=write)
    os.close(write)
    assert eventually(lambda: listening(program) is not None)
    program.fixed_port = listening(program)
    return program, read


def listening(program: Program) -> int | None:
    """The port it listens on, found without its log."""
    found = psutil.Process(program.process.pid).net_connections("tcp")
    return next((one.laddr.port for one in found if one.status == psutil.CONN_LISTEN), None)


def fill(_read: int, write: int) -> None:
    """Fill a pipe."""
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)


def dropped(program: Program) -> float:
    found = re.search(rb"^alert_refresh_log_lines_dropped_total (\S+)$", program.get("/metrics")[2], re.MULTILINE)
    return float(found[1]) if found else -1


def test_p20_a_closed_log_pipe_stops_nothing() -> None:
    program, _ = with_stdout(lambda read, _write: os.close(read))
    with program:
        assert eventually(program.answers)
        for _ in range(20):
            assert program.get("/healthz")[0] == 200
        assert eventually(lambda: dropped(program) >= 20)
        assert program.stop() < SOON
        assert program.process.returncode == 0


def test_p20_a_full_log_pipe_does_not_block_and_the_loss_is_reported_once_there_is_room() -> None:
    program, read = with_stdout(fill)
    with program, os.fdopen(read, "rb") as pipe:
        assert eventually(program.answers)
        with program.connect() as client:
            lost = 0
            request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
            for turn in range(60):
                client.sendall(request * 200)
                answered = 0
                while answered < 200:
                    answered += client.recv(1 << 20).count(b"HTTP/1.1 200")
                if turn % 10 == 9 and (lost := int(dropped(program))):
                    break
        assert lost > 0
        collected: list[bytes] = []
        reader = threading.Thread(target=lambda: collected.append(pipe.read()))
        reader.start()
        assert eventually(lambda: program.get("/healthz")[0] == 200)
        assert program.stop() < SOON
        reader.join(PATIENCE)
    lines = b"".join(collected).decode().lstrip("x").splitlines()
    said = [one for one in map(json.loads, lines) if one["message"] == "Log lines were dropped"]
    assert said
    assert sum(one["dropped"] for one in said) >= lost


def test_p20_a_full_log_pipe_does_not_delay_the_end() -> None:
    program, read = with_stdout(fill)
    with program:
        assert eventually(program.answers)
        assert program.stop() < SOON
        assert program.process.returncode == 0
    os.close(read)
