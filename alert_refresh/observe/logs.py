"""Logging: one formatter, sampling of DEBUG lines, and standard output that never blocks the caller.

The text of records of other libraries is not logged, since it may contain anything, such as the output of a
credential plugin. Such a line has the logger, the level and the place in the code.

Lines go to standard output through a bounded mailbox, so that a full pipe does not block the program; lines that do
not fit are dropped, counted, and reported once there is room.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sys
import threading
import warnings
import zlib
from pathlib import PurePath
from typing import TYPE_CHECKING

from alert_refresh.engine import Mailbox
from alert_refresh.engine.stack import stack_of
from alert_refresh.observe.formats import Console, Json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alert_refresh.config import Config

PROGRAM = "alert_refresh"
"""The parent of all loggers of this program."""
QUEUE = 10_000
"""Lines that may wait for standard output."""
STDOUT = 1
REDACTED = "Logged by %s; its text is not shown"

log = logging.getLogger(__name__)


class Sampled(logging.Filter):
    """Keeps a share of the DEBUG lines: all or none of one request_id; of those without one, every n-th."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share
        self._seen = itertools.count()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno > logging.DEBUG or self._share >= 1:
            return True
        request_id = getattr(record, "request_id", None)
        if request_id is not None:
            return zlib.crc32(str(request_id).encode("utf-8", "replace")) < self._share * 2**32
        number = next(self._seen)
        return int((number + 1) * self._share) > int(number * self._share)


class Lines(logging.Handler):
    """Passes formatted lines to `put`; a record that cannot be formatted is replaced by a line that says so.

    Records of other libraries are kept from WARNING on, without their text, whatever the level of their logger.
    """

    def __init__(self, put: Callable[[str], None]) -> None:
        super().__init__()
        self._put = put

    def createLock(self) -> None:  # noqa: N802 - overrides
        """Create no lock: `put` is thread-safe, and a thread must not wait for another one's line."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit a record that passes the filters.

        Overrides the base class, which acquires its lock, from Python 3.13 on without checking for None.
        """
        if not _is_own(record.name):
            if record.levelno < logging.WARNING:
                return False
            record = redacted(record)
        kept = bool(self.filter(record))
        if kept:
            self.emit(record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
            line = self.format(
                logging.makeLogRecord(
                    {"name": record.name, "levelno": record.levelno, "levelname": record.levelname}
                    | {"msg": "A log line could not be formatted", "created": record.created, "msecs": record.msecs}
                )
            )
        self._put(line)


class Stdout:
    """Standard output behind a bounded mailbox with a thread of its own. `dropped` counts lost lines.

    `format` formats the line that reports them.
    """

    def __init__(self, fd: int = STDOUT, size: int = QUEUE) -> None:
        self._fd = fd
        self._mailbox: Mailbox[str] = Mailbox("log-writer", self._write, size)
        self._lost = 0
        self._reported = 0
        self.format: Callable[[logging.LogRecord], str] = logging.Formatter().format

    @property
    def dropped(self) -> int:
        """Lines that did not fit into the queue or could not be written."""
        return self._mailbox.dropped + self._lost

    def put(self, line: str) -> None:
        """Queue a line; never blocks."""
        self._mailbox.put(line)

    def start(self) -> None:
        """Start writing."""
        self._mailbox.start()

    def stop(self, timeout: float) -> None:
        """Write the queued lines, for at most about `timeout` seconds."""
        self._mailbox.stop(timeout)

    def _write(self, line: str) -> None:
        try:
            _write_all(self._fd, line)
            missing = self.dropped - self._reported
            if missing:
                _write_all(self._fd, self.format(_dropped_record(missing)))
                self._reported += missing
        except OSError:
            self._lost += 1


def configure(config: Config, stdout: Stdout) -> None:
    """Send all log records and warnings of this process through one formatter to `stdout`."""
    handler = Lines(stdout.put)
    handler.setFormatter(Json() if config.log_format == "json" else Console())
    stdout.format = handler.format
    handler.addFilter(Sampled(config.debug_sample))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger(PROGRAM).setLevel(config.log_level)
    threading.excepthook = thread_died
    sys.unraisablehook = _unraisable
    warnings.showwarning = _log_warning  # type: ignore[assignment]  # all arguments are positional


@contextlib.contextmanager
def command(put: Callable[[str], None]) -> Iterator[None]:
    """Pass warnings and errors to `put`, as plain text, within the context; restores the previous logging."""
    handler = Lines(put)
    handler.setFormatter(Console())
    before = logging.root.handlers[:], threading.excepthook, warnings.showwarning
    logging.root.handlers[:] = [handler]
    threading.excepthook, warnings.showwarning = thread_died, _log_warning  # type: ignore[assignment]  # the same
    try:
        yield
    finally:
        logging.root.handlers[:], threading.excepthook, warnings.showwarning = before


def redacted(record: logging.LogRecord) -> logging.LogRecord:
    """A copy with the same logger, level and time and the place in the code, but without message and arguments."""
    return logging.makeLogRecord(
        {name: getattr(record, name) for name in ("name", "levelno", "levelname", "created", "msecs", "exc_info")}
        | {"msg": REDACTED, "args": (record.name,), "place": f"{PurePath(record.pathname).name}:{record.lineno}"}
    )


def _is_own(name: str) -> bool:
    return name == PROGRAM or name.startswith(f"{PROGRAM}.")


def _log_warning(_: Warning | str, category: type[Warning], filename: str, lineno: int, *__: object) -> None:
    """Log a warning of the `warnings` module: its category and place, without its message."""
    log.warning("%s was issued", category.__name__, extra={"place": f"{PurePath(filename).name}:{lineno}"})


def thread_died(args: threading.ExceptHookArgs) -> None:
    """Log an exception that ended a thread: its type and stack, without its message, which may hold a credential."""
    log.error(
        "Thread died of %s",
        args.exc_type.__name__,
        extra={
            "thread_name": args.thread.name if args.thread else None,
            "stack": stack_of(args.exc_value),
        },
    )


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    log.error(
        "%s was raised where it cannot be caught",
        args.exc_type.__name__,
        extra={"stack": stack_of(args.exc_value)},
    )


def _dropped_record(lines: int) -> logging.LogRecord:
    """The record that reports dropped lines."""
    return log.makeRecord(
        log.name, logging.WARNING, "", 0, "Log lines were dropped", (), None, extra={"dropped": lines}
    )


def _write_all(fd: int, line: str) -> None:
    data = memoryview(line.encode("utf-8", "backslashreplace") + b"\n")
    while data:
        data = data[os.write(fd, data) :]
