"""Where the program listens, and how it reports that."""

from __future__ import annotations

import json
import signal
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.process.program import PATIENCE, Program, eventually, read_all
from tests.targets.folder.folders import secret, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STOPPED = b"STOPPING=1\nSTATUS=Stopping."
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("arguments", [(), ("alert_refresh", "serve")])
def test_it_starts_with_nothing_configured_says_what_is_off_and_answers(arguments: tuple[str, ...]) -> None:
    with Program(*arguments) as program:
        off = program.wait_for("Targets are off; to switch them on, set TARGET_DIRECTORY")
        assert off["kind"] == "targets"
        assert program.get("/healthz")[0] == program.get("/readyz")[0] == 200
        status = program.get("/api/v2/publishing/targets/status")
        assert (status[0], status[2]["status"]) == (200, "off")
        assert program.get("/api/v2/publishing/targets/refresh", "POST")[0] == 503
        start = program.find("alert-refresh ")[0]
        assert start["settings"]["TARGET_REFRESH_INTERVAL"] == "5m"


def test_with_a_cron_expression_the_next_refresh_is_at_a_full_minute_in_utc(tmp_path: Path) -> None:
    zone = {"ALERT_REFRESH_TIMEZONE": "Asia/Kathmandu"}  # 5:45 ahead of UTC
    with Program(env={"TARGET_DIRECTORY": str(tmp_path), "TARGET_REFRESH_SCHEDULE": "0 * * * *", **zone}) as program:
        program.wait_for("Targets refreshed successfully")
        status = program.get("/api/v2/publishing/targets/status")[2]
        assert status["last_refresh"] < status["next_refresh"] and status["next_refresh"].endswith(":15:00Z")
        assert b'alert_refresh_interval_seconds{kind="targets"} 3600.0' in program.get("/metrics")[2]


def test_it_listens_on_ipv6() -> None:
    with Program(env={"ALERT_REFRESH_BIND": "[::1]:0"}) as program:
        (address,) = program.wait_for("Serving")["address"]
        assert address.startswith("[::1]:")
        with socket.create_connection(("::1", program.port), timeout=PATIENCE) as client:
            client.sendall(HEALTH)
            assert read_all(client).startswith(b"HTTP/1.1 200")


def test_it_listens_on_a_unix_socket_for_its_owner_and_takes_it_away(tmp_path: Path) -> None:
    path = tmp_path / "alert.sock"
    with Program(env={"ALERT_REFRESH_BIND": f"unix:{path}"}) as program:
        assert program.wait_for("Serving")["address"] == [f"unix:{path}"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            client.sendall(HEALTH)
            assert read_all(client).startswith(b"HTTP/1.1 200")
        program.stop()
        assert program.process.returncode == 0
        assert not path.exists()


def test_an_address_in_use_ends_the_start_with_a_line_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Program(env={"ALERT_REFRESH_BIND": f"127.0.0.1:{port}"}) as program:
            assert program.wait() == 1
            [line] = program.find("Cannot listen on ALERT_REFRESH_BIND")
            assert ": Address already in use; stop the program that listens there" in line["message"]
            assert "Traceback" not in program.stderr


@pytest.mark.parametrize(
    ("bind", "cause"),
    [
        ("nowhere.invalid:8080", "no such host"),
        ("unix:/none/a.sock", "No such file or directory; the folder of a Unix socket must exist"),
        ("unix:/etc/passwd", "File exists; something that is not a socket has this path"),
    ],
)
def test_an_address_that_never_can_be_listened_on_ends_the_start_with_the_cause(bind: str, cause: str) -> None:
    with Program(env={"ALERT_REFRESH_BIND": bind, "ALERT_REFRESH_ALLOW_UNAUTHENTICATED": "true"}) as program:
        assert program.wait() == 1
        [line] = program.find("Cannot listen on ALERT_REFRESH_BIND")
        assert line["message"].endswith(f": {cause}")
        assert "Traceback" not in program.stderr


def test_it_runs_where_only_shared_memory_can_be_written(tmp_path: Path) -> None:
    with Program(env={"TMPDIR": str(tmp_path / "none")}) as program:
        assert program.get("/healthz")[0] == 200


class Systemd:
    """Listens as systemd does."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel.bind(self.path)
        self.channel.settimeout(PATIENCE)

    def next(self) -> bytes:
        return self.channel.recv(1000)

    def drain(self) -> list[bytes]:
        """The messages received so far; `next` no longer waits."""
        self.channel.setblocking(False)
        found = []
        with suppress(BlockingIOError):
            while True:
                found.append(self.next())
        return found


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    one = Systemd(tmp_path)
    yield one
    one.channel.close()


def test_systemd_gets_ready_when_http_answers_then_watchdog_messages_and_stopping(systemd: Systemd) -> None:
    with Program(env={"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "3000000"}) as program:
        # A queue that is full takes no more; it holds ten messages, one a second.
        assert systemd.next() == b"READY=1"
        assert program.get("/healthz")[0] == 200
        told = [systemd.next() for _ in range(3)]
        assert told.count(b"WATCHDOG=1") == 2 and told.count(b"STATUS=Nothing is configured.") == 1
        program.stop()
        left = systemd.drain()
        assert left.count(STOPPED) == 1
        assert left[-1] == STOPPED
        assert "NOTIFY_SOCKET" not in json.dumps(program.log)


def test_systemd_gets_no_watchdog_message_when_threads_hang(systemd: Systemd, tmp_path: Path) -> None:
    hanging = tmp_path / "hanging"
    env = {
        "NOTIFY_SOCKET": systemd.path,
        "WATCHDOG_USEC": "150000",
        "TARGET_REFRESH_TIMEOUT": "50ms",
        "TARGET_REFRESH_WARMUP": "1h",
        "TARGET_REFRESH_BASE_BACKOFF": "10ms",
        "TARGET_REFRESH_MAX_BACKOFF": "10ms",
        "ALERT_REFRESH_SHUTDOWN_TIMEOUT": "100ms",
    }
    with Program("tests.process.scripted", f'["while {hanging}"]', "20", "0.3", env=env) as program:
        assert systemd.next() == b"READY=1"
        assert systemd.next() == b"WATCHDOG=1"
        program.wait_for("Targets refreshed successfully")
        hanging.touch()
        assert program.get("/api/v2/publishing/targets/refresh", "POST")[0] == 202
        assert eventually(lambda: program.get("/healthz")[0] == 503)
        assert program.wait_for("Threads make no progress")["stuck"]
        systemd.drain()
        program.wait_for("Threads make no progress", len(program.find("Threads make no progress")) + 3)
        assert [one for one in systemd.drain() if not one.startswith(b"STATUS=")] == []


def test_systemd_is_told_in_a_sentence_how_everything_is_when_that_changes_and_of_a_reload(
    systemd: Systemd, tmp_path: Path
) -> None:
    folder = tmp_path / "targets"
    folder.mkdir()
    write(folder / "good.yaml", secret("good"))
    with Program(env={"NOTIFY_SOCKET": systemd.path, "TARGET_DIRECTORY": str(folder)}) as program:
        fresh = b"STATUS=Everything is fresh: 1 target."
        while (message := systemd.next()) != fresh:
            assert message in (b"READY=1", b"STATUS=Not fresh: targets (not loaded yet).")
        write(folder / "good.yaml", secret("good", data={"config": "e30="}))
        assert systemd.next().startswith(b"STATUS=Not fresh: targets (1 stale since 20")
        write(folder / "good.yaml", secret("good"))
        assert systemd.next() == fresh
        program.send(signal.SIGHUP)
        assert systemd.next().startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert systemd.next() == b"READY=1"
        program.wait_for("Targets refreshed successfully", 2)
        program.stop()
        assert systemd.drain() == [STOPPED], "nothing is told while nothing changes"
