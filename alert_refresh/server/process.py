"""Process setup before anything else: standard file descriptors, signals during the start, stack dumps."""

from __future__ import annotations

import faulthandler
import os
import signal

STDERR = 2


def prepare() -> None:
    """Make the start robust against closed standard files and early signals.

    SIGTERM and SIGINT end the process immediately with exit status 0: a SystemExit could be caught by an import or
    printed as a traceback by a finalizer. SIGHUP is ignored, since a start refreshes everything. SIGABRT (and every
    other fatal signal) dumps the stacks of all threads to standard error.
    """
    open_standard_files()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    faulthandler.enable(file=STDERR)


def open_standard_files() -> None:
    """Open /dev/null as 0, 1 and 2 if these are closed: another file with one of these numbers would get the log."""
    for number in range(STDERR + 1):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
