"""On which machine, when and by which command numbers were measured."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime


def where(module: str) -> str:
    """One line for the head of the tables."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"{now}, {platform.python_implementation()} {platform.python_version()}, {platform.system()}"
        f" {platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start."
        f" Command: `{' '.join(['python -m', module, *sys.argv[1:]])}`.\n"
    )
