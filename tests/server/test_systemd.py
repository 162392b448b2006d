"""Notifications to systemd."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from alert_refresh.server.systemd import READY, Systemd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@alert-refresh-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        one.settimeout(30)
        yield name, one


def test_a_state_is_one_datagram(listener: tuple[str, socket.socket]) -> None:
    name, channel = listener
    Systemd({"NOTIFY_SOCKET": name}).send(READY)
    assert channel.recv(100) == b"READY=1"


@pytest.mark.parametrize("variables", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/does/not/exist"}])
def test_a_missing_receiver_is_not_an_error(variables: dict[str, str]) -> None:
    Systemd(variables).send(READY)


def test_a_full_queue_does_not_block(listener: tuple[str, socket.socket]) -> None:
    name, _ = listener
    systemd = Systemd({"NOTIFY_SOCKET": name})
    for _ in range(5000):
        systemd.send(READY)


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000"}, 30.0),
        ({"NOTIFY_SOCKET": "/x"}, None),
        ({"WATCHDOG_USEC": "30000000"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_a_watchdog_needs_a_time_and_someone_to_tell(variables: dict[str, str], seconds: float | None) -> None:
    assert Systemd(variables).watchdog == seconds


def test_a_sentence_is_told_when_it_has_changed(listener: tuple[str, socket.socket]) -> None:
    name, channel = listener
    systemd = Systemd({"NOTIFY_SOCKET": name})
    for sentence in ("one", "one", "two", "one"):
        systemd.tell(sentence)
    assert [channel.recv(100) for _ in range(3)] == [b"STATUS=one", b"STATUS=two", b"STATUS=one"]
    channel.setblocking(False)
    with pytest.raises(BlockingIOError):
        channel.recv(100)


def test_a_sentence_that_did_not_arrive_is_told_again(tmp_path: Path) -> None:
    name = str(tmp_path / "notify")
    systemd = Systemd({"NOTIFY_SOCKET": name})
    systemd.tell("one")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(name)
        channel.settimeout(30)
        systemd.tell("one")
        assert channel.recv(100) == b"STATUS=one"


def test_a_reload_has_the_time_that_systemd_compares(listener: tuple[str, socket.socket]) -> None:
    name, channel = listener
    before = time.monotonic_ns() // 1000
    Systemd({"NOTIFY_SOCKET": name}).reloading()
    first, second = channel.recv(100).decode().split("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
