"""Threads that begin late, at random, as on a machine that is busy: it finds tests that depend on timing.

Python runs this file at its start when its folder is on PYTHONPATH. With `LATE` set, every second thread begins up
to so many seconds late, in the tests and in the programs that they start.
"""

from __future__ import annotations

import os
import random
import threading
import time

LATE = float(os.environ.get("LATE", "0"))

begin = threading.Thread.run
chance = random.Random()
sleep = time.sleep


def late(thread: threading.Thread) -> None:
    """What a thread does instead of `run`."""
    if chance.random() < 0.5:
        sleep(chance.random() * LATE)
    begin(thread)


if LATE:
    threading.Thread.run = late  # type: ignore[method-assign, assignment]  # the purpose of this file
