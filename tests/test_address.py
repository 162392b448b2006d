"""Why an address cannot be bound is reported before repeated attempts to do so."""

from __future__ import annotations

import os
import re
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
        said = cause(Address(host, taken.getsockname()[1]))
        assert said == "Address already in use; stop the program that listens there, or choose another address"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "nowhere.invalid"])
def test_a_host_that_does_not_exist_is_reported(host: str) -> None:
    assert cause(Address(host, 8080)) == "no such host"


@pytest.mark.parametrize("host", ["192.0.2.1", "203.0.113.7", "2001:db8::1"])
def test_an_address_of_another_machine_is_reported(host: str) -> None:
    assert cause(Address(host, 0)) in (
        "Cannot assign requested address; no interface of this machine has it",
        "Address family not supported by protocol",
    )


def test_paths_that_cannot_be_a_socket_are_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    missing = "No such file or directory; the folder of a Unix socket must exist"
    assert cause(Address(str(tmp_path / "none" / "a.sock"))) == missing
    assert cause(Address(str(tmp_path / "file" / "a.sock"))) == "Not a directory"
    assert cause(Address(str(tmp_path / "file"))) == "File exists; something that is not a socket has this path"
    assert cause(Address(str(tmp_path / "folder"))) == "File exists; something that is not a socket has this path"


def test_a_folder_that_may_not_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    said = cause(Address(str(tmp_path / "a.sock")))
    assert said is not None and said.startswith("Permission denied; a port below 1024 needs CAP_NET_BIND_SERVICE")


def test_a_socket_with_a_listener_is_in_use_and_a_leftover_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as taken:
        taken.bind(path)
        taken.listen()
        said = cause(Address(path))
        assert said == "Address already in use; stop the program that listens there, or choose another address"
    assert cause(Address(path)) is None


def test_an_error_without_a_number_is_reported_by_its_type() -> None:
    assert reason(TimeoutError()) == "TimeoutError"


def test_what_is_written_is_read() -> None:
    assert parse("[::1]:80") == Address("::1", 80)
    assert parse("unix:/a").unix and not parse("a:1").unix
    assert parse("[::ffff:127.0.0.1]:1").loopback and not parse("example.com:1").loopback


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("*:8080", "has no host; 0.0.0.0 is every address"),
        (":8080", "has no host; 0.0.0.0 is every address"),
        ("8080", "has no host; write HOST:PORT"),
        ("127.0.0.1", "has no port; write HOST:PORT"),
        ("localhost", "has no port"),
        ("[::1]", "has no port"),
        ("::1", "has no port"),
        ("fe80::1", "has no port"),
        ("127.0.0.1:65536", "has a port that is not from 0 to 65535"),
        ("127.0.0.1:-1", "has a port that is not from 0 to 65535"),
        ("127.0.0.1:http", "has a port that is not from 0 to 65535"),
        ("127.0.0.1:\u0668\u0660", "has a port that is not from 0 to 65535"),
        ("http://127.0.0.1:8080", "is a URL; write HOST:PORT"),
        ("unix:run/a.sock", "has no absolute path after unix:"),
        ("/run/a.sock", "is a path; write unix:/run/a.sock"),
        ("UNIX:/run/a.sock", "is a path; write unix:/run/a.sock"),
        ("Unix:/run/a.sock", "is a path; write unix:/run/a.sock"),
        ("/run/user:password@a", "is a path; write unix:/PATH"),
        ("/run/\u00e4", "is a path; write unix:/PATH"),
        ("/run/password" + "a" * 60, "is a path; write unix:/PATH"),
        ("UNIX:run/a.sock", "has no absolute path after unix:"),
        ("unix:@a", "has no absolute path after unix:"),
        ("user:password@localhost:80", "has a host that is neither an address nor a name"),
        ("127.0.0.1:8080,127.0.0.1:8081", "has a host that is neither an address nor a name"),
    ],
)
def test_the_fault_of_an_address_names_the_part_that_is_wrong(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)) as raised:
        parse(text)
    assert "password" not in str(raised.value)


@pytest.mark.parametrize("text", ["127.0.0.1]:80", "[::1:80", "[127.0.0.1]:80", "[localhost]:80", "[[::1]]:80"])
def test_brackets_anywhere_but_around_an_ipv6_address_are_a_fault(text: str) -> None:
    with pytest.raises(ValueError, match="has brackets that are not those around an IPv6 address"):
        parse(text)


@pytest.mark.parametrize("text", ["8080:8080", "0:8080", "2130706433:80"])
def test_a_number_is_no_host_though_the_c_library_reads_it_as_an_address(text: str) -> None:
    with pytest.raises(ValueError, match="has a number where the host is expected"):
        parse(text)
