"""Notifies systemd that the service is ready, is stopping, or makes progress: one datagram each.

Source: sd_notify(3) and sd_watchdog_enabled(3).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"


class Systemd:
    """The notification socket, if systemd set one. `watchdog` is its timeout in seconds, or None without a watchdog."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        address = variables.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = variables.get("WATCHDOG_USEC", "")
        self.watchdog = int(microseconds) / 1e6 if address and microseconds.isdecimal() else None

    def send(self, state: str) -> None:
        """Send a state without blocking; a missing receiver or a full queue is not an error."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
                channel.sendto(state.encode(), self._address)
        except OSError:
            return
