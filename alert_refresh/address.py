"""The address that the server listens on: what a setting means, and why it cannot be listened on."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import stat
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from alert_refresh.mistakes import LONGEST_SHOWN, may_be_secret

LONGEST_SOCKET = 107
"""Bytes of the path of a Unix socket (unix(7))."""
EXPECTED = "write HOST:PORT such as 127.0.0.1:8080 or [::1]:8080, or unix:/PATH"
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
HINTS = {
    errno.EADDRINUSE: "; stop the program that listens there, or choose another address",
    errno.EADDRNOTAVAIL: "; no interface of this machine has it",
    errno.EACCES: "; a port below 1024 needs CAP_NET_BIND_SERVICE, a Unix socket a folder that may be written",
    errno.EEXIST: "; something that is not a socket has this path",
    errno.ENOENT: "; the folder of a Unix socket must exist",
}
PATIENCE = 0.5
"""Seconds for a server at the same Unix socket to answer."""


class Address(NamedTuple):
    """A host and port, or with port 0 the path of a Unix socket, which begins with a slash."""

    host: str
    port: int = 0

    @property
    def unix(self) -> bool:
        return self.host.startswith("/")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect, in any spelling of the host."""
        address = _ip(self.host)
        if address is None:
            return self.host.lower().removesuffix(".") == "localhost"
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def parse(text: str) -> Address:
    """Read `HOST:PORT`, `[HOST]:PORT` or `unix:/PATH`.

    Raises:
        ValueError: malformed; the message says what is expected.
    """
    if text.startswith("unix:/"):
        if len(text.removeprefix("unix:").encode()) > LONGEST_SOCKET:
            raise ValueError(f"has a path of more than {LONGEST_SOCKET} bytes, which no Unix socket can have")
        return Address(text.removeprefix("unix:"))
    if "://" in text:
        raise ValueError(f"is a URL; {EXPECTED}")
    if text.startswith("/") or text[:6].lower() == "unix:/":
        path = text[text.index("/") :]
        shown = path.isascii() and len(path) <= LONGEST_SHOWN and not may_be_secret(path)
        raise ValueError(f"is a path; write unix:{path if shown else '/PATH'}")
    if text[:5].lower() == "unix:" or text.startswith("@"):
        raise ValueError(f"has no absolute path after unix:; {EXPECTED}")
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in text and _ip(text) is not None and not _is_host(host)):
        raise ValueError(f"has no {'host' if text.isdecimal() else 'port'}; {EXPECTED}")
    if host in ("", "*", "[]"):
        raise ValueError("has no host; 0.0.0.0 is every address of this machine, 127.0.0.1 is for itself alone")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"has a port that is not from 0 to 65535; {EXPECTED}")
    return Address(_host(host), int(port))


def _host(text: str) -> str:
    """The host as it is written before the port, without the brackets of an IPv6 address.

    Raises:
        ValueError: malformed; the message says what is expected.
    """
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if (host != text and ":" not in host) or "[" in host or "]" in host:
        raise ValueError(f"has brackets that are not those around an IPv6 address; {EXPECTED}")
    if host.isdecimal():
        raise ValueError("has a number where the host is expected, such as 0.0.0.0 or 127.0.0.1")
    if not _is_host(host):
        raise ValueError(f"has a host that is neither an address nor a name; {EXPECTED}")
    return host


def error_of(address: Address) -> OSError | None:
    """Why an address cannot be bound now; None if it can, or if only binding it shows that."""
    try:
        if address.unix:
            _try_path(Path(address.host))
        else:
            _try_port(address)
    except OSError as error:
        return error
    return None


def reason(error: OSError) -> str:
    """The operating system's message for an error, without the address, and how to fix it."""
    if isinstance(error, socket.gaierror):
        return "no such host"
    said = os.strerror(error.errno) if error.errno else type(error).__name__
    return said + HINTS.get(error.errno or 0, "")


def _try_port(address: Address) -> None:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(tuple(address))


def _try_path(path: Path) -> None:
    """Check that a socket can be created there; a leftover one without a listener is replaced."""
    if not stat.S_ISDIR(path.parent.stat().st_mode):
        raise OSError(errno.ENOTDIR, "")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, "")
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "")
    except FileNotFoundError:
        return
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(PATIENCE)
        try:
            probe.connect(str(path))
        except OSError:
            return
        raise OSError(errno.EADDRINUSE, "")


def _is_host(host: str) -> bool:
    """Whether this is an address or may be a name."""
    if _ip(host) is not None:
        return True
    return bool(HOST.fullmatch(host)) and not host.rpartition(".")[2].isdigit()


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is, as the C library reads it: `127.1` is one."""
    try:
        return ipaddress.ip_address(host) if ":" in host else ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
