"""Notifies systemd that the service is ready, reloads, is stopping, makes progress, or how it is: one datagram each.

Source: sd_notify(3) and sd_watchdog_enabled(3).
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

READY = "READY=1"
STOPPING = "STOPPING=1\nSTATUS=Stopping."
ALIVE = "WATCHDOG=1"


class Systemd:
    """The notification socket. `listens` is whether systemd set one, `watchdog` its timeout in seconds, or None without
    a watchdog.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        address = variables.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.listens = bool(address)
        self._told = ""
        microseconds = variables.get("WATCHDOG_USEC", "")
        self.watchdog = int(microseconds) / 1e6 if address and microseconds.isdecimal() else None

    def tell(self, sentence: str) -> None:
        """Show a sentence as the status of the service, unless it is what was told last."""
        if sentence != self._told and self.send(f"STATUS={sentence}"):
            self._told = sentence

    def reloading(self) -> None:
        """A reload begins; READY ends it. The time is what `Type=notify-reload` needs."""
        self.send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def send(self, state: str) -> bool:
        """Send a state without blocking; False for a missing receiver or a full queue, which is not an error."""
        if not self.listens:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
                channel.sendto(state.encode(), self._address)
        except OSError:
            return False
        return True
