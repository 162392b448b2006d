"""Ports for what is closed and opened again: nobody else gets them meanwhile."""

from __future__ import annotations

import random
import socket
from pathlib import Path

FIRST = 10_000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def lasting_port() -> int:
    """A free port below those that the system hands out: what binds port 0 or connects does not take it."""
    for port in random.SystemRandom().sample(range(FIRST, int(EPHEMERAL.read_text().split()[0])), 100):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError("no port is free")
