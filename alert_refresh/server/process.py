"""What the process needs before all else: open standard files, signals that end a start, stack dumps."""

from __future__ import annotations

import faulthandler
import os
import signal

STDERR = 2


def prepare() -> None:
    """Make it safe to start, whatever is closed and whenever a signal comes.

    SIGTERM and SIGINT end the start at once with exit status 0: raising SystemExit instead would be lost where an
    import catches it, and show a traceback where a finalizer runs. SIGHUP asks for what a start does anyway. SIGABRT
    (and every other fatal signal) shows the stacks of all threads on standard error.
    """
    open_standard_files()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    faulthandler.enable(file=STDERR)


def open_standard_files() -> None:
    """Have 0, 1 and 2 lead nowhere if they are closed: another file opened under these numbers would get the log."""
    for number in range(STDERR + 1):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
