"""Why an address cannot be bound is reported before repeated attempts to do so."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from alert_refresh.address import Address, error_of, parse, reason

if TYPE_CHECKING:
    from pathlib import Path


def cause(address: Address) -> str | None:
    error = error_of(address)
    return None if error is None else reason(error)


def test_a_free_port_and_a_free_path_have_no_error(tmp_path: Path) -> None:
    assert cause(Address("127.0.0.1", 0)) is None
    assert cause(Address("localhost", 0)) is None
    assert cause(Address(str(tmp_path / "a.sock"))) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_in_use_is_reported(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert cause(Address(host, taken.getsockname()[1])) == "Address already in use"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "nowhere.invalid"])
def test_a_host_that_does_not_exist_is_reported(host: str) -> None:
    assert cause(Address(host, 8080)) == "no such host"


@pytest.mark.parametrize("host", ["192.0.2.1", "203.0.113.7", "2001:db8::1"])
def test_an_address_of_another_machine_is_reported(host: str) -> None:
    assert cause(Address(host, 0)) in ("Cannot assign requested address", "Address family not supported by protocol")


def test_paths_that_cannot_be_a_socket_are_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    assert cause(Address(str(tmp_path / "none" / "a.sock"))) == "No such file or directory"
    assert cause(Address(str(tmp_path / "file" / "a.sock"))) == "Not a directory"
    assert cause(Address(str(tmp_path / "file"))) == "File exists"
    assert cause(Address(str(tmp_path / "folder"))) == "File exists"


def test_a_folder_that_may_not_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cause(Address(str(tmp_path / "a.sock"))) == "Permission denied"


def test_a_socket_with_a_listener_is_in_use_and_a_leftover_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as taken:
        taken.bind(path)
        taken.listen()
        assert cause(Address(path)) == "Address already in use"
    assert cause(Address(path)) is None


def test_an_error_without_a_number_is_reported_by_its_type() -> None:
    assert reason(TimeoutError()) == "TimeoutError"


def test_what_is_written_is_read() -> None:
    assert parse("[::1]:80") == Address("::1", 80)
    assert parse("unix:/a").unix and not parse("a:1").unix
    assert parse("[::ffff:127.0.0.1]:1").loopback and not parse("example.com:1").loopback
